"""Ctrl-C, SIGTERM and a hang-up end a command that has no handlers of its own, whatever they come in between."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# An interrupt that was lost is raised again this long afterwards: what swallowed it has ended by then.
AGAIN_S = 0.01


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt the block as Ctrl-C does, which cleans up and says so; a second ends it at once.

    Python drops an exception that is raised while a destructor or the callback of a weak reference runs, as each
    import has them. An interrupt that is lost so is raised again. Only in the main thread, where signals arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    usual = sys.unraisablehook

    def hook(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            _thread.start_new_thread(_raise_again, ())
        else:
            usual(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL)
    signal.raise_signal(number if ignored else signal.SIGINT)


def _raise_again() -> None:
    """Send SIGINT to the main thread, so that it also leaves what it waits for."""
    time.sleep(AGAIN_S)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
