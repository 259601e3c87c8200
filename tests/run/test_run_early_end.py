"""A run that is doomed ends early, and says why; what its end cut is in no figure."""

from __future__ import annotations

import pytest
import trio
from handmade import START, failed_record, record, stamps
from waiting import HANG_S

from lens.analysis.gates.sla import Gate
from lens.analysis.gates.thresholds import parse_threshold
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, ExitCode
from lens.metrics.summarize import summarize
from lens.model import Failure, Status
from lens.run import early_end
from lens.run.driver import RunOptions, run
from lens.run.early_end import EarlyEnd
from lens.simulator import make_script, start_thread
from lens.units import NS_PER_S

GOOD = record()
BAD = failed_record(status=Status.SERVER_ERROR, category="server_error")
REFUSED = failed_record(
    status=Status.AUTH_ERROR, category="auth", http_status=401, failure=Failure(message="no such key")
)
CUT = failed_record(status=Status.CANCELLED, category="interrupted")


def said(early, records):
    """(how many records were taken, why the run should end)."""
    for taken, one in enumerate(records, 1):
        if (why := early.add(one)) is not None:
            return taken, why
    return None


@pytest.mark.parametrize(
    ("limit", "records", "ends_at"),
    [
        ("0", [GOOD, BAD], 2),
        ("2", [BAD, GOOD, BAD, GOOD, BAD], 5),
        ("2", [BAD, BAD], None),
        ("2", [BAD, BAD, CUT, CUT], None),
        ("10%", [BAD] * 9, None),
        ("10%", [GOOD] * 9 + [BAD], None),
        ("10%", [GOOD] * 9 + [BAD, BAD], 11),
    ],
)
def test_more_failures_than_the_limit_end_a_run(limit, records, ends_at):
    found = said(EarlyEnd(limit), records)
    assert (found and found[0]) == ends_at
    assert found is None or f"--max-errors {limit}" in found[1]


@pytest.mark.parametrize("limit", ["", "few", "-1", "1.5", "100%", "101%", "5 %%"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(ConfigError, match="--max-errors"):
        EarlyEnd(limit)


def gate(text):
    return Gate(threshold=parse_threshold(text))


@pytest.mark.parametrize(
    ("text", "records", "ends_at"),
    [
        ("success_rate>=0.9 abort", [BAD] * 12, 10),
        ("success_rate>=0.9 abort", [GOOD] * 20, None),
        ("success_rate>=0.9 abort=1h", [BAD] * 12, None),
        ("success_rate>=0.9", [BAD] * 12, None),
        ("ttft_p50<0.001 abort=0s", [GOOD] * 12, 10),
    ],
)
def test_a_threshold_that_is_lost_ends_a_run_after_its_delay(text, records, ends_at):
    found = said(EarlyEnd(None, [gate(text)]), records)
    assert (found and found[0]) == ends_at
    assert found is None or "ends the run" in found[1]


@pytest.mark.parametrize(
    ("text", "done", "in_flight", "ends_at_s"),
    [
        ("requests_per_second>10 abort=3s", 12, 4, 3),
        ("requests_per_second>10 abort", 12, 4, 1.25),
        ("output_tokens_per_second>10 abort=3s", 12, 4, 3.75),  # 36 tokens
        ("requests_per_second>10 abort=3s", 0, 4, 3),
        ("requests_per_second>10 abort=3s", 2, 40, 4.25),  # even if all that are open ended now
        ("requests_per_second>10 abort", 2, 4, None),  # of so few nothing is said without a delay
        ("requests_per_second<100 abort=3s", 12, 4, None),
        ("ttft_p50<1000 abort=3s", 12, 4, None),
        ("requests_per_second>0.1 abort=3s", 12, 4, None),
    ],
)
def test_a_rate_is_lost_by_the_time_that_passes_while_no_request_ends(monkeypatch, text, done, in_flight, ends_at_s):
    at_ns = START
    monkeypatch.setattr(early_end, "now_ns", lambda: at_ns)
    early = EarlyEnd(None, [gate(text)])
    for index in range(done):
        assert early.add(record((10, 20, 30), index=index, stamps=stamps(START, end=40))) is None
    assert early.watches_time is ("per_second>" in text)
    while at_ns < START + 60 * NS_PER_S:
        at_ns += NS_PER_S // 4
        if (why := early.look(in_flight)) is not None:
            break
    assert (why and (at_ns - START) / NS_PER_S) == (ends_at_s and pytest.approx(ends_at_s, rel=0.11))


async def test_a_server_that_hangs_ends_a_run_whose_rate_is_lost():
    with start_thread(make_script(ttft="5ms", itl="1ms", tokens=4, stall="2:60s")) as handle:
        target = TargetConfig(provider="openai", model="m", base_url=f"{handle.url}/v1", proxy="")
        load, prompts = LoadConfig(iterations=50, concurrency=4), PromptConfig(texts=("hi",))
        with trio.fail_after(HANG_S):
            options = RunOptions(gates=(gate("requests_per_second>1000 abort=200ms"),))
            result = await run(RunConfig(targets=(target,), load=load, prompts=prompts), options=options)
    assert "requests_per_second > 1000 is not met" in result.ended_by
    assert result.info.stopped_by == result.ended_by
    assert result.summary.interrupted == 4


def test_first_answers_that_all_refuse_the_key_end_a_run():
    assert said(EarlyEnd(None, end_if_refused=True), [REFUSED] * 5) == (
        3, "the key is not accepted: the first 3 answers were 401: no such key",
    )  # fmt: skip
    assert said(EarlyEnd(None, end_if_refused=True), [GOOD, *[REFUSED] * 5]) is None
    assert said(EarlyEnd(None), [REFUSED] * 5) is None


def test_what_the_end_of_a_run_cut_is_in_no_figure():
    summary = summarize([GOOD, GOOD, BAD, CUT, CUT])
    assert (summary.requests, summary.successes, summary.interrupted) == (3, 2, 2)
    assert summary.success_rate == pytest.approx(2 / 3)
    assert "interrupted" not in summary.by_category


@pytest.mark.parametrize(
    ("script", "load", "options", "says", "code"),
    [
        ({"status": 503}, {"max_errors": "4"}, {}, "--max-errors 4: 5 of 5", ExitCode.NOTHING_MEASURED),
        ({"status": 401}, {}, {"end_if_refused": True}, "the key is not accepted", ExitCode.NOTHING_MEASURED),
        ({}, {}, {"gates": (gate("ttft_p50<0.01 abort"),)}, "ends the run", ExitCode.THRESHOLD),
    ],
)
async def test_a_doomed_run_ends_itself_and_keeps_what_it_measured(script, load, options, says, code):
    with start_thread(make_script(**{"ttft": "5ms", "itl": "1ms", "tokens": 4, **script})) as handle:
        target = TargetConfig(provider="openai", model="m", base_url=f"{handle.url}/v1", proxy="")
        config = RunConfig(
            targets=(target,), load=LoadConfig(iterations=5000, **load), prompts=PromptConfig(texts=("hi",))
        )
        with trio.fail_after(HANG_S):
            result = await run(config, options=RunOptions(**options))
    assert says in result.ended_by
    assert result.exit_code == code
    assert 3 <= len(result.records) < 100
    assert any("stopped early" in warning for warning in result.warnings)
