"""Renew expiring credentials in a thread of their own, so that no timed request waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class BackgroundRefresh:
    """Run `refresh` in a daemon thread, one at a time.

    A failure is not raised: the old credentials serve until they expire, then the server's 401 or 403 tells.
    """

    def __init__(self, refresh: Callable[[], Any], name: str) -> None:
        self._refresh, self._name, self._lock = refresh, name, threading.Lock()

    def start(self) -> bool:
        """Start a refresh unless one is running; return whether one was started."""
        if not self._lock.acquire(blocking=False):
            return False
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return True

    def _run(self) -> None:
        try:
            self._refresh()
        except Exception:  # noqa: S110 - see the class
            pass
        finally:
            self._lock.release()
