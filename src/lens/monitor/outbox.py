"""Outboxes of the monitor: metrics to backends and alerts to a webhook, each with a bounded buffer.

Sending happens in threads; the loop that measures never waits for it. Up to the bound nothing is lost: it is
sent again until the receiver accepts it. Beyond it the oldest are dropped and counted.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import trio

from lens.errors import LensError
from lens.model import Record
from lens.monitor.watch import Alert
from lens.push.http import Request, in_thread, send
from lens.push.push import WAITING_MOST, Pusher

ALERTS_MOST = 1000
# Back-off after a failure, doubled with each up to the longest.
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 5.0, 300.0
# How long the last delivery may take when the monitor ends.
LAST_S = 10.0
Sender = Callable[[Callable[[], None]], Awaitable[None]]
Accepted = Callable[[int], None]  # is told how many entries the receiver has accepted


class Outbox(abc.ABC):
    """The buffer of one receiver, and the state of its delivery."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.waiting = 0  # not accepted by the receiver yet
        self.dropped = 0
        self.trouble: str | None = None  # why the last delivery failed
        self._pending = trio.Event()
        self._back_off_s = FIRST_BACK_OFF_S

    def _count(self) -> None:
        self.waiting += 1
        if self.waiting > self.most:
            self.waiting -= 1
            self.dropped += 1
        self._pending.set()

    @abc.abstractmethod
    def _send(self, accepted: Accepted) -> None:
        """Send everything that is buffered, and report what the receiver accepts; runs in a thread.

        Raises:
            TransportError: the receiver did not accept all of it.
        """

    async def run(self, every_s: float, sender: Sender = in_thread) -> None:
        """Deliver until cancelled: at most every `every_s` seconds, less often while the receiver is away."""
        while True:
            await self._pending.wait()
            self._pending = trio.Event()
            taken = await self.deliver(sender)
            if not taken:
                self._pending.set()
            await trio.sleep(every_s if taken else self._back_off_s)

    async def deliver(self, sender: Sender = in_thread) -> bool:
        """Try once to deliver; return whether the receiver accepted everything."""
        accepted: list[int] = []
        try:
            await sender(lambda: self._send(accepted.append))
        except Exception as error:  # no receiver, and no answer of one, ends the monitor
            self.trouble = str(error) if isinstance(error, LensError) else f"{type(error).__name__}: {error}"
            self._back_off_s = min(self._back_off_s * 2, LONGEST_BACK_OFF_S)
            return False
        finally:
            self.waiting -= min(sum(accepted), self.waiting)
        self.trouble, self._back_off_s = None, FIRST_BACK_OFF_S
        return True


class MetricsOutbox(Outbox):
    """A backend of metrics. Only the sending thread uses the pusher."""

    def __init__(self, name: str, pusher: Pusher, most: int = WAITING_MOST) -> None:
        super().__init__(name, most)
        self._pusher = pusher
        self._records: deque[Record] = deque(maxlen=most)
        self._handed_over = 0  # to the pusher, and not accepted by the backend yet

    def add(self, record: Record) -> None:
        """Queue a record for the backends."""
        self._records.append(record)
        self._count()

    def _send(self, accepted: Accepted) -> None:
        while self._records:
            self._pusher.add(self._records.popleft())
            self._handed_over += 1
        self._pusher.flush()
        accepted(self._handed_over)
        self._handed_over = 0


class WebhookOutbox(Outbox):
    """Alerts to a webhook, one POST each, in their order."""

    def __init__(self, url: str, most: int = ALERTS_MOST) -> None:
        super().__init__("webhook", most)
        self._url = url
        self._alerts: deque[Alert] = deque(maxlen=most)

    def add(self, alert: Alert) -> None:
        """Queue an alert for the webhook."""
        self._alerts.append(alert)
        self._count()

    def _send(self, accepted: Accepted) -> None:
        while self._alerts:
            body = msgspec.json.encode(self._alerts[0])
            send(Request("POST", self._url, {"Content-Type": "application/json"}, body), budget_s=LAST_S)
            self._alerts.popleft()
            accepted(1)
