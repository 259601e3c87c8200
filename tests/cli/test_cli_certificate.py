"""What a self-test found is told by later runs of the same machine, and by no others."""

from __future__ import annotations

import msgspec
import pytest
from cli_program import lll

from lens.calibration import Calibration, Case, Condition, Spread, Verdict
from lens.calibration.verdicts import BUSY
from lens.clocks import Machine
from lens.history.read import read_run
from lens.orchestrator.run_info import machine
from lens.run.certificate import calibrated, recall, remember

HERE = Machine(
    hostname="h", system="Linux", kernel="6.1", cpus=2, python="3.11.2", clock_resolution_ns=1, clock_cost_ns=40
)
ERRORS = Spread(n=100, bias_us=2.0, p50_us=3.0, p99_us=10.0, max_us=70.0)


def found(here=HERE, tokens=ERRORS):
    case = Case(
        scheme="http", streams=200, requests=200, failed=0, stamp_kind="kernel", tokens=tokens, read_tokens=tokens,
        ttft=tokens, sent=None, schedule=None, simulator_late=None, within_write=0.9,
    )  # fmt: skip
    return Calibration(
        started_at="2026-03-01T10:00:00Z", machine=here, clock_bracket_ns=100, cases=(case,), verdicts=()
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_what_was_found_is_recalled_on_the_same_machine(cache):
    remember(found())
    # The clock's cost is never twice the same.
    assert recall(msgspec.structs.replace(HERE, clock_cost_ns=43))["cases"][0]["tokens"]["p99_us"] == 10.0


@pytest.mark.parametrize("change", [{"hostname": "other"}, {"kernel": "6.2"}, {"cpus": 4}, {"python": "3.12.0"}])
def test_nothing_is_recalled_once_the_machine_has_changed(cache, change):
    remember(found())
    assert recall(msgspec.structs.replace(HERE, **change)) is None


def test_a_self_test_that_measured_nothing_does_not_replace_one_that_did(cache):
    remember(found())
    remember(found(tokens=None))
    assert recall(HERE) is not None


@pytest.mark.parametrize(
    ("why", "holds", "load", "kept"),
    [
        (f"{BUSY}: the simulator itself was late", False, "", False),
        ("this machine cannot reach it now", False, "others work on this machine now", False),
        ("this machine cannot reach it now", False, "", True),
        ("", True, "others work on this machine now", True),
    ],
)
def test_errors_that_a_busy_machine_made_are_not_kept_as_the_instruments(cache, why, holds, load, kept):
    verdict = Verdict(claim="stamps within 100 us", holds=holds, figure_us=900.0, why=why)
    condition = Condition(name="load", value="9 on 2 processors", doubt=load)
    one = msgspec.structs.replace(found(), verdicts=(verdict,), conditions=(condition,))
    remember(one)
    assert (recall(HERE) is not None) == kept
    assert (one.disturbed == "") == kept


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"machine": 3}', b"\xff"])
def test_a_broken_memory_is_no_memory(cache, content):
    folder = cache / "llm-latency-lens"
    folder.mkdir()
    (folder / "selftest.json").write_bytes(content)
    assert recall(HERE) is None


def test_a_cache_that_cannot_be_written_is_no_error(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    remember(found())
    assert recall(HERE) is None


def test_a_run_carries_the_instruments_error_to_its_page_and_its_file(cache, target):
    remember(found(machine()))
    path = cache / "run.jsonl"
    done = lll("benchmark", *target, "-n", "2", "-o", path, env={"XDG_CACHE_HOME": str(cache)})
    assert "p99 10.0 us (HTTP, 200 streams, measured 2026-03-01)" in " ".join(done.stdout.split())
    info = read_run(path).info
    assert info.calibration["cases"][0]["streams"] == 200
    assert calibrated(info) is info
