"""Money, events as they happen, and what is left on disk when a run ends as nobody wished."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from waiting import HANG_S, holds, wait_until

from lens.history.read import read_run
from lens.history.write import JOURNAL
from lens.simulator import Script, start_thread

WORDS = [sys.executable, "-m", "lens", "benchmark", "--provider", "vllm", "--model", "m", "--ui", "none"]


@pytest.fixture
def server():
    with start_thread(Script(tokens=5, ttft_ns=20_000_000, itl_ns=1_000_000, usage="always")) as handle:
        yield f"{handle.url}/v1"


def lll(server, *more, **options):
    return subprocess.run(
        [*WORDS, "--base-url", server, *more], capture_output=True, text=True, timeout=HANG_S, **options
    )


def test_the_ceiling_ends_a_run_before_it_is_passed_and_keeps_what_was_measured(server, tmp_path):
    out = tmp_path / "run.jsonl"
    done = lll(
        server, "-n", "200", "--max-tokens", "100", "--price", "in=0,out=1000", "--max-cost", "0.5", "-o", str(out)
    )
    assert done.returncode == 4, done.stderr
    assert "--max-cost $0.5" in done.stderr
    records = read_run(out).records
    spent = len(records) * 5 * 0.001
    assert 0.39 < spent <= 0.5, "a request may cost 0.1 at worst, and costs 0.005"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--max-cost", "1", "--max-tokens", "5"), "no price for vllm/m"),
        (("--max-cost", "1", "--price", "in=1,out=1"), "give --max-tokens"),
        (("--max-cost", "much", "--price", "in=1,out=1", "--max-tokens", "5"), "write dollars"),
    ],
)
def test_a_ceiling_that_cannot_be_kept_is_refused_before_anything_is_sent(server, more, says):
    done = lll(server, *more)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_dry_run_prints_the_plan_and_a_quote_and_sends_nothing(server):
    done = lll(
        "http://127.0.0.1:9/v1", "-n", "10", "--dry-run", "--price", "in=1,out=1", "--max-tokens", "7", "-k", "hush"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["requests"] == 10
    body_bytes = told["targets"][0]["body_bytes"]
    assert float(told["cost"]["worst_usd"]) == pytest.approx(10 * (body_bytes + 7) / 1e6)
    assert "hush" not in done.stdout


def test_real_time_writes_an_event_for_each_request(server):
    done = lll(server, "-n", "5", "--real-time")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    requests = [event for event in events if event["event"] == "request"]
    assert sorted(event["index"] for event in requests) == list(range(5))
    assert all(event["ttft_ms"] >= 20 for event in requests)
    assert "TTFT" in done.stderr, "the page goes where the events do not"


def test_a_killed_run_leaves_a_journal_that_can_be_read(server, tmp_path):
    out = tmp_path / "run.jsonl"
    process = subprocess.Popen([*WORDS, "--base-url", server, "-n", "100000", "-c", "4", "-o", str(out)])
    journal = out.with_name(out.name + JOURNAL)
    wait_until(holds(journal, 40_000))
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = read_run(journal)
    assert len(run.records) > 10
    assert run.info.targets[0].provider == "vllm"
    assert not out.exists()


def test_an_interrupted_run_writes_its_outputs_and_removes_the_journal(server, tmp_path):
    out = tmp_path / "run.jsonl"
    process = subprocess.Popen(
        [*WORDS, "--base-url", server, "-n", "100000", "-c", "4", "-o", str(out)], stderr=subprocess.PIPE, text=True
    )
    journal = out.with_name(out.name + JOURNAL)
    wait_until(holds(journal, 20_000))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, errors
    assert len(read_run(out).records) > 10
    assert not journal.exists()


def test_a_full_disk_is_told_and_the_run_is_rescued(server, tmp_path):
    out = tmp_path / "run.json"

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    # Nothing else of this process may want to write a file.
    quiet = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = lll(server, "-n", "30", "-o", str(out), preexec_fn=small_files, env=quiet)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "TTFT" in done.stdout, "the page is printed all the same"
    assert "run.json: File too large; what was measured is" in done.stderr
