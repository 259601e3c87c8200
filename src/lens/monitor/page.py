"""What the monitor tells of itself and of its targets, for /metrics and /healthz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lens.export.prometheus import CONTENT_TYPE, PREFIX, Family, Labels, PrometheusMetrics, Sample, exposition
from lens.monitor.outbox import Outbox
from lens.monitor.watch import BURNS, Watch, burn_rates
from lens.secrets import one_line
from lens.server import Page


class Health(msgspec.Struct, kw_only=True):
    """How the monitor itself does; /healthz."""

    ok: bool = True
    rounds: int = 0
    rounds_late: int = 0  # began while a target was not done with the one before
    last_round_age_s: float | None = None
    targets: int = 0
    firing: list[str] = []
    troubles: list[str] = []


def metrics_page(
    metrics: PrometheusMetrics, watches: Sequence[Watch], outboxes: Sequence[Outbox], health: Health, now_s: float
) -> Page:
    """Return the page of /metrics."""
    families = [*metrics.families(), *own(watches, outboxes, health, now_s)]
    return Page(200, CONTENT_TYPE, exposition(iter(families)))


def health_page(health: Health) -> Page:
    """Return the page of /healthz; what receivers and servers said stands there without secrets."""
    said = {"firing": [*map(one_line, health.firing)], "troubles": [*map(one_line, health.troubles)]}
    body = msgspec.json.encode(msgspec.structs.replace(health, **said))
    return Page(200 if health.ok else 503, "application/json", body + b"\n")


def own(watches: Sequence[Watch], outboxes: Sequence[Outbox], health: Health, now_s: float) -> Iterator[Family]:
    """Yield the monitor's own families."""
    yield _family("monitor_up", "The monitor runs", "gauge", [((), 1)])
    yield _family("monitor_rounds_total", "Rounds of probes that were begun", "counter", [((), health.rounds)])
    late = "Rounds that began while a target was not done with the one before"
    yield _family("monitor_rounds_late_total", late, "counter", [((), health.rounds_late)])
    rates = [
        ((*g.who._asdict().items(), ("slo", g.objective), ("window", g.window)), g.rate)
        for g in burn_rates(watches, now_s)
    ]
    yield _family("slo_burn_rate", "How many times too fast an error budget burns", "gauge", rates)
    firing = [
        ((*watch.who._asdict().items(), ("alert", alert)), count)
        for watch in watches
        for alert in (*BURNS, "failing", "hanging")
        for count in [sum(one.alert == alert for one in watch.firing)]
    ]
    yield _family("alerts_firing", "Alerts of the monitor that are on", "gauge", firing)
    waiting = [((("receiver", box.name),), box.waiting) for box in outboxes]
    yield _family("push_waiting", "What a receiver has not taken yet", "gauge", waiting)
    dropped = [((("receiver", box.name),), box.dropped) for box in outboxes]
    yield _family("push_dropped_total", "What left a full buffer unsent", "counter", dropped)


def _family(name: str, says: str, kind: str, values: Sequence[tuple[Labels, float]]) -> Family:
    full = PREFIX + name
    samples = [Sample(full, labels, value) for labels, value in values]
    return Family(full, says, "counter" if kind == "counter" else "gauge", samples)
