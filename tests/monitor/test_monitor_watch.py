"""Promises that burn, levels that change, targets that fail: told when it begins and when it ends."""

import pytest
from msgspec.structs import replace
from probes import answer

from lens.config.settings import TargetConfig
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.monitor.burn import LONGEST_S, ErrorBudget, parse_objective
from lens.monitor.watch import SERIES, Watch, Who, slo_warnings

EMPTY_ANSWER = answer(tokens=0)
WHOLE_ANSWER = replace(answer(tokens=0), stream=False)


@pytest.mark.parametrize(
    ("text", "metric", "objective"),
    [("ttft<1000 99%", "ttft_ms", 0.99), ("total_latency<=2s 99.5 %", "total_latency_ms", 0.995),
     ("success 99.9%", None, 0.999)],
)  # fmt: skip
def test_a_promise_is_read_as_it_is_typed(text, metric, objective):
    found = parse_objective(text)
    assert (found.threshold.metric if found.threshold else None) == metric
    assert found.share == pytest.approx(objective)


@pytest.mark.parametrize("text", ["ttft<1000", "ttft 99%", "ttft<1000 100%", "tft<1 99%", "success", "itl<5 99%", ""])
def test_what_is_no_slo_is_reported(text):
    with pytest.raises(ConfigError):
        parse_objective(text)


def test_the_burn_rate_is_the_share_that_broke_over_the_share_that_may():
    budget = ErrorBudget(parse_objective("ttft<200 99%"))
    for minute in range(60):
        budget.add(minute * 60.0, table_of([answer(ttft_ms=500 if minute % 10 == 0 else 100)]))
    assert budget.rate(3540.0, 3600.0) == pytest.approx(0.1 / 0.01)
    assert budget.rate(3540.0, 300.0) == 0, "the last five minutes are five requests"
    assert budget.rate(3600.0 + 2 * LONGEST_S, 3600.0) is None


@pytest.mark.parametrize(
    ("slo", "request_", "kept", "lacks"),
    [
        ("ttft<1000 99%", answer(), True, False),
        ("ttft<1000 99%", answer(ok=False), False, False),
        ("ttft<1000 99%", EMPTY_ANSWER, False, True),
        ("ttft<1000 99%", WHOLE_ANSWER, False, True),
        ("success 99%", EMPTY_ANSWER, True, False),
        ("total_latency<1000 99%", WHOLE_ANSWER, True, False),
        ("rtt_ms<1 99%", answer(), False, True),
        ("tpot<50 99%", EMPTY_ANSWER, False, True),
        ("tpot<50 99%", answer(tokens=1), True, False),
        ("longest_gap_ms<50 99%", answer(tokens=1), True, False),
        ("longest_gap_ms<50 99%", EMPTY_ANSWER, False, True),
    ],
)
def test_a_figure_that_was_not_measured_keeps_no_promise(slo, request_, kept, lacks):
    objective, request_ = parse_objective(slo), table_of([request_])
    assert (objective.kept(request_), objective.lacks(request_)) == (kept, lacks)


def test_an_endpoint_whose_answers_are_empty_burns_and_fires():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%")])
    told = [alert for _, alert in alerts(watch, [EMPTY_ANSWER] * 12)]
    assert [(alert.alert, alert.status) for alert in told] == [
        ("failing", "firing"), ("slo_burn", "firing"), ("slo_burn_slow", "firing"),
    ]  # fmt: skip
    assert "brought no text, reasoning or tool call" in told[0].says
    assert watch.budgets[0].rate(660.0, 3600.0) == pytest.approx(100)
    assert watch.failures == 0


@pytest.mark.parametrize(
    ("slo", "stream", "says"),
    [
        (
            "ttft<10 99%",
            False,
            "chat: SLO 'ttft<10 99%': answers that are not streamed (stream: false) have no ttft_ms",
        ),
        ("tokens_per_second>5 99%", False, None),
        ("success 99%", False, None),
        ("ttft<10 99%", True, None),
    ],
)
def test_an_slo_that_a_target_can_never_keep_is_named_before_anything_is_asked(slo, stream, says):
    target = TargetConfig(provider="openai", model="gpt-4", stream=stream)
    told = [*slo_warnings([target], [Who("openai", "gpt-4", "chat")], {}, [parse_objective(slo)])]
    assert [says in one for one in told] == ([True] if says else [])


def test_an_slo_whose_figure_did_not_come_is_named():
    who, slos = Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%"), parse_objective("success 99%")]
    target, watch = TargetConfig(provider="openai", model="gpt-4"), Watch(who, slos)
    alerts(watch, [answer()] * 3)
    assert [*slo_warnings([target], [who], {who: watch}, slos)] == []
    alerts(watch, [EMPTY_ANSWER])
    (says,) = slo_warnings([target], [who], {who: watch}, slos)
    assert says == "warning: chat: SLO 'ttft<200 99%': an answer came without ttft_ms, which breaks it"


def alerts(watch, records, *, start_s=0.0, every_s=60.0):
    return [
        (number, alert)
        for number, record in enumerate(records)
        for alert in watch.add(record, start_s + number * every_s)
    ]


def test_a_burning_budget_fires_once_and_is_resolved_when_the_short_window_is_well():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%")])
    told = alerts(watch, [answer(ttft_ms=100)] * 30 + [answer(ttft_ms=500)] * 30 + [answer(ttft_ms=100)] * 60)
    burns = [(number, alert.status) for number, alert in told if alert.alert == "slo_burn"]
    assert [status for _, status in burns] == ["firing", "resolved"]
    assert 30 < burns[0][0] < 40
    assert 60 < burns[1][0] <= 91, "half an hour after the last bad one, not six"


def test_one_slow_request_at_the_beginning_is_no_fire():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%")])
    assert alerts(watch, [answer(ttft_ms=500), *[answer(ttft_ms=100)] * 3]) == []


def test_one_failed_probe_never_fires():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("success 99.9%")])
    told = alerts(watch, [*[answer()] * 40, answer(ok=False), *[answer()] * 400])
    assert told == []


def test_a_budget_that_leaks_slowly_fires_by_the_third_pair():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%")])
    leak = [answer(ttft_ms=500 if k % 50 == 49 else 100) for k in range(500)]
    told = [alert for _, alert in alerts(watch, leak)]
    assert [(alert.alert, alert.status) for alert in told] == [("slo_burn_slow", "firing")]
    assert "slow: over 3 d and 6 h" in told[0].says


def test_a_target_that_fails_three_times_fires_and_one_success_resolves():
    watch = Watch(Who("openai", "gpt-4", "chat"), [])
    told = alerts(watch, [answer(), *[answer(ok=False)] * 4, answer()])
    assert [(number, alert.status) for number, alert in told] == [(3, "firing"), (5, "resolved")]
    assert "HTTP 500: no" in told[0][1].says


def test_a_new_level_is_told_once_and_is_the_level_from_then_on():
    watch = Watch(Who("openai", "gpt-4", "chat"), [])
    records = [answer(ttft_ms=100 + k % 7) for k in range(60)] + [answer(ttft_ms=180 + k % 7) for k in range(60)]
    told = [alert for _, alert in alerts(watch, records) if "ttft_ms" in alert.says]
    assert [alert.status for alert in told] == ["firing"]
    assert "worse" in told[0].says
    assert told[0].limit == pytest.approx(103, abs=3)
    assert told[0].value == pytest.approx(183, abs=3)


def test_what_is_held_is_bounded():
    watch = Watch(Who("openai", "gpt-4", "chat"), [parse_objective("ttft<200 99%")])
    alerts(watch, [answer(ttft_ms=100 + k % 7) for k in range(1500)], every_s=180)
    assert watch.held() <= 2 * SERIES + 6 * 60 + LONGEST_S / 900 + 4


def test_a_level_that_got_worse_is_resolved_when_its_target_is_watched_no_longer():
    watch = Watch(Who("openai", "gpt-4", "chat"), [])
    told = alerts(
        watch, [answer(ttft_ms=100 + n % 3) for n in range(60)] + [answer(ttft_ms=300 + n) for n in range(30)]
    )
    assert {alert.status for _, alert in told} == {"firing"}
    last = {alert.says.split()[0]: f"no longer watched; it was: {alert.says}" for _, alert in told}
    ends = list(watch.end("2026-01-02T00:00:00Z"))
    assert [(end.status, end.alert, end.at) for end in ends] == [
        ("resolved", "level_changed", "2026-01-02T00:00:00Z")
    ] * len(last)
    assert {end.says for end in ends} == set(last.values())
    assert not [*watch.end("2026-01-03T00:00:00Z")]
