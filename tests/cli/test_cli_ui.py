"""`lll ui`: what it prints can be opened, and an address for others must be asked for in clear."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from cli_program import lll
from waiting import HANG_S

from lens.errors import ExitCode


@pytest.mark.parametrize("listen", ["0.0.0.0:0", ":0", "10.1.2.3:8098", "bench.example:8098", "[::]:0"])
def test_an_address_that_others_reach_must_be_asked_for(tmp_path, listen):
    done = lll("ui", tmp_path, "--listen", listen)
    assert done.returncode == ExitCode.USAGE
    assert "add --remote" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{}/absent"], "is no folder"),
        (["{}", "--listen", "127.0.0.1"], "write an address and a port"),
        (["{}", "{}"], "extra"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path, words, says):
    done = lll("ui", *[word.format(tmp_path) for word in words])
    assert done.returncode == ExitCode.USAGE
    assert says in done.stderr


def test_the_printed_address_opens_and_a_signal_ends_it(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "lens", "ui", str(tmp_path), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=HANG_S) as answer:
            assert b"<title>llm-latency-lens</title>" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == ExitCode.OK
    finally:
        process.kill()
        process.communicate()
