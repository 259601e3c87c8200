"""The library's own ways to the driver: profilers, streams, a result, and what each refuses."""

from __future__ import annotations

import pytest

import lens
from lens import Profiler, Sink
from lens.config.settings import ExportConfig, OutputConfig
from lens.errors import BudgetError, ConfigError
from lens.simulator import make_script, start_thread


@pytest.fixture(scope="module")
def profiler():
    with start_thread(make_script(ttft="8ms", itl="1ms", tokens=5, usage="always")) as handle:
        yield Profiler("openai", "m", base_url=f"{handle.url}/v1", proxy="", price="in=3,out=15", max_tokens=50)


def test_a_result_is_a_header_and_records_and_all_that_follows_from_them(profiler):
    result = profiler.run_blocking("hi", iterations=4)
    info, records = result
    assert (info, records) == (result.info, result.records)
    assert [one.index for one in records] == [0, 1, 2, 3]
    assert (result.summary.successes, result.verdicts, result.exit_code, result.warnings) == (4, (), 0, ())


def test_a_spend_ceiling_ends_a_run_and_the_result_says_so(profiler):
    result = profiler.run_blocking("hi", iterations=6, max_cost_usd="0.00000001")
    assert result.records == []
    assert result.spent_nusd == 0
    assert result.outcome.over_budget.startswith("--max-cost $")
    assert result.outcome.over_budget in result.warnings


def test_a_single_request_over_the_ceiling_is_an_error_and_not_sent(profiler):
    tight = Profiler(profiler.target, book=profiler.book, load=lens.LoadConfig(max_cost_usd="0.00000001"))
    with pytest.raises(BudgetError, match="--max-cost"):
        tight.profile("hi")


def test_a_stop_rule_ends_a_run_that_names_no_number_of_requests(profiler):
    result = profiler.run_blocking("hi", until="output_tokens_mean 90%", concurrency=4)
    assert len(result.records) >= 125, "two looks, the first after 100"
    assert result.notes[0].startswith("output_tokens mean: reached")


def test_a_stream_has_a_result_once_it_has_ended(profiler):
    stream = profiler.stream_metrics("hi", iterations=3)
    assert stream.result is None
    handed = [metrics.record.request_id for metrics in stream]
    assert [one.request_id for one in stream.result.records] == handed


def test_a_stream_that_its_ceiling_ends_says_so(profiler):
    stream = profiler.stream_metrics("hi", iterations=3, max_cost_usd="0.00000001")
    assert list(stream) == []
    assert stream.result.outcome.over_budget


@pytest.mark.parametrize("load", [{"warmup": "auto"}, {"cooldown": "5"}])
def test_a_stream_refuses_what_is_known_only_afterwards(profiler, load):
    with pytest.raises(ConfigError, match=next(iter(load))):
        profiler.stream_metrics("hi", **load)


class Noting(Sink):
    """Remembers what it was told, in order."""

    def __init__(self):
        self.told = []

    def on_start(self, info):
        self.told.append("start")

    def on_warmup(self, record):
        self.told.append("warm-up")

    def on_record(self, record):
        self.told.append(record.index)

    def on_progress(self, state):
        self.done = state.done

    def on_end(self, result):
        self.told.append(len(result.records))


def test_a_sink_is_told_of_start_warm_up_records_progress_and_end(profiler):
    sink = Noting()
    load = lens.LoadConfig(iterations=3, warmup="2")
    lens.run_config_blocking(lens.RunConfig(targets=(profiler.target,), load=load), sink)
    assert sink.told == ["start", "warm-up", "warm-up", 2, 3, 4, 3]
    assert sink.done == 5


def test_each_load_that_a_search_tries_is_warmed_up_first(profiler):
    sink = Noting()
    load = lens.LoadConfig(search_slo=("ttft_p50<5000",), rate_per_s=20, search_max=40, duration_ns=10**8, warmup="1")
    result = lens.run_config_blocking(lens.RunConfig(targets=(profiler.target,), load=load), sink)
    tries = len(result.notes) - 1
    assert sink.told.count("warm-up") == tries >= 2
    assert len({one.index for one in result.records}) == len(result.records)


def test_what_a_sink_raises_ends_the_run_and_is_raised(profiler, tmp_path):
    class Full(Sink):
        def on_record(self, record):
            raise OSError("no space")

    exports = (ExportConfig(format="jsonl", file=str(tmp_path / "run.jsonl")),)
    output = OutputConfig(exports=exports)
    with pytest.raises(OSError, match="no space"):
        lens.run_config_blocking(lens.RunConfig(targets=(profiler.target,), output=output), Full())
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run.jsonl.journal.msgpack"}, "nothing that was measured is lost, and nothing empty is left"


def test_a_run_that_sends_nothing_leaves_no_journal(profiler, tmp_path):
    class Broken(Sink):
        def on_start(self, info):
            raise OSError("no display")

    output = OutputConfig(exports=(ExportConfig(format="jsonl", file=str(tmp_path / "run.jsonl")),))
    with pytest.raises(OSError, match="no display"):
        lens.run_config_blocking(lens.RunConfig(targets=(profiler.target,), output=output), Broken())
    assert not list(tmp_path.glob("*.journal.msgpack"))
