"""A run that is stopped, goes on, and is hung up on: what it says of it, and what it keeps."""

import os
import signal
import subprocess
import sys
import time

from cli_program import environment
from waiting import HANG_S, wait_until

from lens.history.read import read_run
from lens.simulator import make_script, start


def test_a_run_that_is_stopped_and_goes_on_says_so_in_its_records(tmp_path):
    """And a hang-up ends it in order, with its page and its file."""
    file = tmp_path / "run.jsonl"
    with start(make_script(ttft="5ms", itl="50ms", tokens=20)) as handle:
        words = ("--provider", "openai", "-m", "m", "--base-url", f"{handle.url}/v1", "-n", "500", "-c", "2")
        process = subprocess.Popen(
            [sys.executable, "-m", "lens", "benchmark", *words, "--ui", "none", "-o", str(file)],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait_until(lambda: handle.log(), lambda: "no request came")
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(1.6)
            os.kill(process.pid, signal.SIGCONT)
            asked = len(handle.log())
            wait_until(lambda: len(handle.log()) > asked + 2, lambda: "it did not go on")
            os.kill(process.pid, signal.SIGHUP)
            page, told = process.communicate(timeout=HANG_S)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130, told
    assert "interrupted (SIGHUP); what was measured is above" in told
    assert "under way then measured it" in " ".join(page.split())
    run = read_run(file)
    touched = [one for one in run.records if any("under way" in says for says in one.warnings)]
    assert 1 <= len(touched) < len(run.records)
