"""A file that never ends is refused by every option and command that reads one, with bounded memory.

In process: a device, and a pipe that is fed for ever, in place of each file.
"""

import io
import os
import resource
import sys
import threading

import pytest
from handmade import INFO, record

from lens import parsing
from lens.cli.errors import run
from lens.cli.main import lll
from lens.history.write import json_line

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/zero, memory in KiB")
MOST_MB = 100  # what reading may take beyond what was there; 64 MB of a device may be read

ASK = ("profile", "--provider", "openai", "--model", "m", "--base-url", "https://127.0.0.1:9/v1", "--prompt", "a")
ASKED = ASK[:-2]
# What names the file, and words of the message; {file} is what never ends, {run} a run file, {out} a place for one.
READERS = {
    "prompts": ((*ASKED, "--prompt-file", "{file}"), "prompt file"),
    "sessions": (("benchmark", *ASKED[1:], "--sessions", "{file}"), "session file"),
    "trace": (("benchmark", *ASK[1:], "--trace", "{file}"), "trace"),
    "key": ((*ASK, "--api-key-file", "{file}"), "--api-key-file"),
    "CA bundle": ((*ASK, "--cacert", "{file}"), "--cacert"),
    "certificate": ((*ASK, "--cert", "{file}"), "--cert"),
    "private key": ((*ASK, "--cert", "{run}", "--client-key", "{file}"), "--cert"),
    "body": ((*ASK, "--extra-body", "@{file}"), "--extra-body"),
    "config": (("--config", "{file}", *ASK), ""),
    "prices": ((*ASK, "--prices", "{file}"), ""),
    "gates": (("analyze", "{run}", "--sla", "{file}"), ""),
    "schema": ((*ASK, "--expect", "schema:{file}"), ""),
    "variant": (("compare", *ASK[1:], "--variant", "a", "--variant", "b:@{file}"), ""),
    "script": (("simulate", "--script", "{file}"), ""),
    "config check": (("config", "check", "{file}"), ""),
    "analyze": (("analyze", "{file}"), "run"),
    "baseline": (("analyze", "{run}", "--baseline", "{file}"), "run"),
    "compare": (("compare", "{run}", "{file}"), "run"),
    "report": (("report", "{file}", "-o", "{out}.html"), "run"),
    "explain": (("explain", "ttft_ms", "{file}"), "run"),
    "recover": (("recover", "{file}", "-o", "{out}.jsonl"), "run"),
    "merge": (("merge", "{run}", "{file}", "-o", "{out}.jsonl"), "run"),
    "optimize": (("optimize", "{file}"), "run"),
    "test bench": (("testbench", "{file}"), ""),
    "live sessions of a run": (("benchmark", *ASKED[1:], "--sessions", "{file}", "--session-format", "run"), "run"),
}


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(json_line(INFO) + json_line(record((100, 110))))
    return path


@pytest.fixture
def fifo(tmp_path):
    """A pipe in which `y` comes for ever, as often as somebody opens it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    ended = threading.Event()

    def feed():
        while not ended.is_set():
            try:
                with open(path, "wb", buffering=0) as pipe:
                    while not ended.is_set():
                        pipe.write(b"y\n" * 32768)
            except BrokenPipeError:
                continue

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield path
    ended.set()
    while thread.is_alive():
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        thread.join(0.01)


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("source", ["/dev/zero", "/dev/urandom", "fifo"])
def test_a_file_that_never_ends_is_refused(name, source, run_file, fifo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parsing, "MOST_BYTES", 1 << 20)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words, said = READERS[name]
    file = str(fifo) if source == "fifo" else source
    before = peak_mb()
    code = run(lll, [word.format(file=file, run=run_file, out=tmp_path / "out") for word in words])
    error = capsys.readouterr().err
    assert code in (1, 2), error
    assert file in error
    assert said in error
    assert "Traceback" not in error
    assert peak_mb() - before < MOST_MB
    assert not [*tmp_path.glob("out*")]


def test_standard_input_that_never_ends_is_refused(monkeypatch, capsys):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = b"y" * len(buffer)
            return len(buffer)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    before = peak_mb()
    assert run(lll, [*ASKED, "--prompt", "-"]) == 2
    assert "--prompt -: cannot read standard input: it holds more than 64 MB" in capsys.readouterr().err
    assert peak_mb() - before < 2 * MOST_MB
