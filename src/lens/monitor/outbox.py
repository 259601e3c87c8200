"""What goes out: metrics to backends and alerts to a webhook, each with a bounded buffer while they are away.

Sending happens in threads; the loop that measures never waits for it. Up to the bound nothing is lost: it is
sent again until it is taken. Beyond it the oldest go, and are counted.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import trio

from lens.errors import TransportError
from lens.model import Record
from lens.monitor.watch import Alert
from lens.push.http import Request, in_thread, send
from lens.push.push import WAITING_MOST, Pusher

ALERTS_MOST = 1000
# After a failure the next attempt waits twice as long as the last, no longer than this.
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0
# At the end, what has not been taken yet has so long.
LAST_S = 10.0
Sender = Callable[[Callable[[], None]], Awaitable[None]]


class Outbox(abc.ABC):
    """One receiver: what waits for it, and how it went."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.waiting = 0  # that the receiver has not taken
        self.dropped = 0
        self.trouble: str | None = None
        self._something = trio.Event()
        self._wait_s = FIRST_WAIT_S

    def _came(self) -> None:
        self.waiting += 1
        if self.waiting > self.most:
            self.waiting -= 1
            self.dropped += 1
        self._something.set()

    @abc.abstractmethod
    def _send(self) -> int:
        """In a thread: send what there is, and say how much that was.

        Raises:
            TransportError: it was not taken.
        """

    async def run(self, every_s: float, sender: Sender = in_thread) -> None:
        """Until cancelled: send what has come, at most this often, more rarely while the receiver is away."""
        while True:
            await self._something.wait()
            self._something = trio.Event()
            taken = await self.deliver(sender)
            if not taken:
                self._something.set()
            await trio.sleep(every_s if taken else self._wait_s)

    async def deliver(self, sender: Sender = in_thread) -> bool:
        """One attempt; whether it was taken."""
        sent: list[int] = []
        try:
            await sender(lambda: sent.append(self._send()))
        except TransportError as error:
            self.trouble = str(error)
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
            return False
        self.trouble, self._wait_s = None, FIRST_WAIT_S
        self.waiting -= min(sum(sent), self.waiting)
        return True


class Metrics(Outbox):
    """A backend of metrics. The pusher is touched only by whoever sends."""

    def __init__(self, name: str, pusher: Pusher, most: int = WAITING_MOST) -> None:
        super().__init__(name, most)
        self._pusher = pusher
        self._come: deque[Record] = deque(maxlen=most)
        self._given = 0  # to the pusher, and not taken by the backend yet

    def add(self, record: Record) -> None:
        self._come.append(record)
        self._came()

    def _send(self) -> int:
        while self._come:
            self._pusher.add(self._come.popleft())
            self._given += 1
        self._pusher.flush()
        taken, self._given = self._given, 0
        return taken


class Webhook(Outbox):
    """Alerts, one POST each, in their order."""

    def __init__(self, url: str, most: int = ALERTS_MOST) -> None:
        super().__init__("webhook", most)
        self._url = url
        self._alerts: deque[Alert] = deque(maxlen=most)

    def add(self, alert: Alert) -> None:
        self._alerts.append(alert)
        self._came()

    def _send(self) -> int:
        sent = 0
        while self._alerts:
            body = msgspec.json.encode(self._alerts[0])
            send(Request("POST", self._url, {"Content-Type": "application/json"}, body), budget_s=LAST_S)
            self._alerts.popleft()
            sent += 1
        return sent
