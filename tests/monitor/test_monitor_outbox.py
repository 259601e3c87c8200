"""Outboxes: what a receiver accepted is counted, also when it accepts only a part."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lens.monitor.outbox import WebhookOutbox
from lens.monitor.watch import Alert

sys.path.insert(0, str(Path(__file__).parent.parent / "push"))
from backend import Answer, backend


def alert(number: int) -> Alert:
    return Alert(status="firing", alert="failing", provider="p", model="m", says=f"alert {number}")


async def test_alerts_that_were_accepted_before_a_failure_are_not_sent_again_and_not_waiting():
    with backend(Answer(200), Answer(400)) as there:
        box = WebhookOutbox(there.url)
        for number in range(3):
            box.add(alert(number))
        assert not await box.deliver()
        assert (box.waiting, box.dropped) == (2, 0)
        assert "HTTP 400" in box.trouble
        assert await box.deliver()
        assert (box.waiting, box.trouble) == (0, None)
    assert [json.loads(got.body)["says"] for got in there.got] == ["alert 0", "alert 1", "alert 1", "alert 2"]


async def test_beyond_the_bound_the_oldest_are_dropped_and_counted():
    with backend() as there:
        box = WebhookOutbox(there.url, most=2)
        for number in range(3):
            box.add(alert(number))
        assert (box.waiting, box.dropped) == (2, 1)
        assert await box.deliver()
    assert [json.loads(got.body)["says"] for got in there.got] == ["alert 1", "alert 2"]
