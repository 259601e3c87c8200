"""One measurement in this process, against a simulator: what comes of a run's goals, its ends, and its outputs."""

import errno
import json
import resource
import signal
import sys

import pytest
from handmade import record

from lens.cli.commands.benchmark import command
from lens.cli.running import load_numpy_if_limited, remember_secrets, run_and_report, run_settings
from lens.cli.settings import settings_of
from lens.errors import ConfigError, ExitCode, FileError
from lens.history.read import read_run
from lens.history.write import JOURNAL
from lens.model import Status, ToolCall
from lens.run.outputs import run_name, without_text


@pytest.fixture
def run(target, tmp_path, monkeypatch):
    """A run as the command line carries it out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def measured(*words):
        with command.make_context("benchmark", [*target, *map(str, words), "--ui", "none"]) as ctx:
            return run_settings(settings_of(ctx))

    return measured


def test_records_come_in_order_with_a_summary_and_a_good_end(run):
    found = run("-n", 12, "-c", 4)
    assert [one.index for one in found.records] == list(range(12))
    assert (found.summary.requests, found.summary.successes, found.exit_code) == (12, 12, ExitCode.OK)
    assert found.info.ended_ns >= found.info.started_ns
    assert found.trouble is None


def test_outputs_are_complete_and_the_journal_is_gone(run, tmp_path):
    found = run("-n", 3, "-o", "run.jsonl")
    assert read_run(tmp_path / "run.jsonl").records == [without_text(one) for one in found.records]
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_texts_are_kept_only_where_that_was_asked_for(run, tmp_path):
    run("-n", 1, "-o", "plain.jsonl", "--tokenizer", "o200k_base")  # which reads texts, but keeps none
    run("-n", 1, "-o", "full.jsonl", "--save-text")
    texts = [read_run(tmp_path / name).records[0].text for name in ("plain.jsonl", "full.jsonl")]
    assert texts[0] is None
    assert texts[1]


def test_what_was_thought_and_the_arguments_of_calls_are_text_too():
    told = record(text="a", reasoning="b", tool_calls=(ToolCall(name="f", arguments="{}"),))
    kept = without_text(told)
    assert (kept.text, kept.reasoning, kept.tool_calls) == (None, None, (ToolCall(name="f"),))
    assert kept.events == told.events


# A disk may be full in the middle, or when the last of a file is written out.
@pytest.mark.parametrize("room_bytes", [6000, 40_000])
def test_an_output_that_fills_the_disk_is_told_and_the_page_is_there(run, tmp_path, room_bytes):
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, limits[1]))
    try:
        found = run("-n", 30, "-c", 10, "-o", "run.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert found.exit_code == ExitCode.USAGE
    assert "File too large" in found.trouble
    assert "what was measured is above, and cannot be written elsewhere" in found.trouble
    assert found.summary.successes == 30
    assert (tmp_path / f"run.jsonl{JOURNAL}").exists()  # the outputs are not complete


def test_a_ceiling_ends_a_run_before_it_is_passed(run):
    words = ("--price", "in=20000,out=20000", "--max-tokens", 10, "--max-cost", "5.00")
    found = run("-n", 50, "-c", 1, *words)
    assert found.exit_code == ExitCode.BUDGET
    assert "--max-cost $5" in found.outcome.over_budget
    assert 0 < len(found.records) < 50
    assert 0 < found.spent_nusd <= 5 * 10**9


def test_a_run_until_a_figure_is_known_says_what_it_knew(run):
    found = run("-c", 4, "--until", "output_tokens_mean 50%")
    assert found.summary.notes
    assert found.summary.notes[0].startswith("output_tokens mean: reached")
    assert found.exit_code == ExitCode.OK


def test_both_ends_are_left_out_where_that_was_asked_for(run):
    found = run("-n", 12, "-c", 2, "--warmup", "auto", "--cooldown", "3")
    assert sum(one.warmup for one in found.records) >= 3
    assert found.summary.notes[0].startswith("warm-up: the first ")
    assert found.summary.notes[1] == "cool-down: the last 3 requests are left out of the figures"


def test_an_hour_of_gpus_has_a_price_by_the_token(run):
    spent = run("-n", 4, "--gpu-hour", "3600").summary.gpu_cost
    assert spent["usd"] > 0
    assert spent["usd_per_million_output_tokens"] == spent["usd"] / 40 * 1_000_000


def test_events_are_told_while_they_happen(run, capsysbinary):
    run("-n", 3, "--real-time")
    told = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [one["index"] for one in told if one["event"] == "request"] == [0, 1, 2]


def test_what_no_server_counted_is_counted_here(run):
    found = run("-n", 1, "--tokenizer", "o200k_base", "--api", "chat")
    assert found.records[0].usage.output_tokens == 10  # the server's own count comes first
    with pytest.raises(ConfigError, match="tokenizer"):
        run("-n", 1, "--tokenizer", "papyrus")


def test_a_search_for_a_limit_tells_its_tries(run):
    found = run("--search-slo", "ttft_p50<60000", "--rate", 30, "--search-max", 60, "--duration", "200ms")
    assert "still met" in found.summary.notes[0], "the answer comes first"
    assert len(found.summary.notes) > 1


def test_processes_share_a_load(run):
    found = run("-n", 8, "-c", 4, "--workers", 2)
    assert [one.index for one in found.records] == list(range(8))
    assert found.summary.successes == 8


def test_where_nothing_succeeds_the_exit_code_says_so(run):
    found = run("-n", 2, "--proxy", "http://127.0.0.1:9")
    assert found.exit_code == ExitCode.NOTHING_MEASURED
    assert all(one.status is not Status.SUCCESS for one in found.records)


def test_a_push_that_fails_is_trouble_and_costs_no_result(run):
    found = run("-n", 2, "--push-gateway", "http://127.0.0.1:9")
    assert found.exit_code == ExitCode.USAGE
    assert "127.0.0.1:9" in found.trouble
    assert found.summary.successes == 2


def test_a_file_is_named_for_what_was_measured_in_plain_letters():
    with command.make_context("benchmark", ["--provider", "openai", "-m", "org/Model v2: é"]) as ctx:
        settings = settings_of(ctx)
    assert run_name(settings.config, "T") == "openai-org-Model-v2-T"


def test_a_header_that_may_be_a_key_is_not_shown(target):
    from lens.secrets import mask_secrets

    words = [*target, "--header", "X-Auth-Thing: q7-hidden-value", "--header", "X-Request-ID: q7-shown-value"]
    with command.make_context("benchmark", words) as ctx:
        remember_secrets(settings_of(ctx))
    assert mask_secrets("q7-hidden-value q7-shown-value").endswith(" q7-shown-value")
    assert "q7-hidden-value" not in mask_secrets("lll q7-hidden-value")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_a_page_that_does_not_fit_into_memory_names_the_file_of_what_was_measured(
    target, tmp_path, monkeypatch, capsys, error
):
    def refused(*_args, **_more):
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("lens.report.run.print_report", refused)
    with command.make_context("benchmark", [*target, "-n", "2", "--ui", "none"]) as ctx:
        assert run_and_report(settings_of(ctx)) == ExitCode.USAGE
    (rescued,) = tmp_path.glob("lll-rescued-*.msgpack")
    assert (
        f"the page cannot be printed: no memory is left; raise the limit of this process (ulimit -v), or lower "
        f"--concurrent; what was measured is in {rescued}" in capsys.readouterr().err
    )
    assert len(read_run(rescued).records) == 2


@pytest.mark.parametrize(
    ("formats", "named"),
    [
        ("csv", "lll-rescued-*.msgpack"),
        ("csv,jsonl", "run.jsonl"),
        ("html,json", "run.json"),
        ("msgpack", "run.msgpack"),
    ],
)
def test_of_several_outputs_the_one_that_commands_read_again_is_named(target, tmp_path, monkeypatch, formats, named):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = [*target, "-n", "2", "--ui", "none", "-e", formats, "-o", str(tmp_path / "run.out")]
    if "," not in formats:
        words[-1] = str(tmp_path / f"run.{formats}")
    with command.make_context("benchmark", words) as ctx:
        result = run_settings(settings_of(ctx))
    path = result.rescue()
    assert path is not None
    assert path.match(named)
    assert len(read_run(path).records) == 2


def test_a_run_that_runs_out_of_memory_names_the_file_of_what_was_measured(run, tmp_path, monkeypatch):
    taken = []

    def refuses_the_third(_progress, record):
        taken.append(record)
        if len(taken) == 3:
            raise MemoryError

    monkeypatch.setattr("lens.run.outputs.Outputs.on_record", refuses_the_third)
    with pytest.raises(FileError, match="no memory is left") as caught:
        run("-n", 9, "-c", 1)
    (rescued,) = tmp_path.glob("lll-rescued-*.msgpack")
    assert f"what was measured is in {rescued}; lll recover turns it into a run" in str(caught.value)
    assert read_run(rescued).records == taken


def test_where_memory_is_limited_a_lack_of_it_is_found_before_anything_is_opened(run, tmp_path, monkeypatch):
    monkeypatch.setattr("lens.cli.running.memory_is_limited", lambda: True)
    load_numpy_if_limited()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MemoryError):
        run("-n", 3, "-o", "run.jsonl")
    assert list(tmp_path.iterdir()) == []
