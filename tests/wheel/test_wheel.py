"""What was installed measures on this machine: the compiled core, a run with real sockets, files, and the command.

For every wheel that is built, on every system; so it needs little more than the wheel. The server is Python's own.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import version

import pytest

import lens
from lens._core.clock import now_ns, realtime_ns

CORE = ("chats", "clock", "exchange", "frames", "inflater", "pacer", "reactor", "signals", "stream", "tape", "tcp")
TOKENS = 5
TTFT_S = 0.03


class Endpoint(BaseHTTPRequestHandler):
    """Streams five words, the first after 30 ms."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        time.sleep(TTFT_S)
        words = [f'{{"choices":[{{"index":0,"delta":{{"content":"word{n} "}}}}]}}' for n in range(TOKENS)]
        usage = f'{{"choices":[],"usage":{{"prompt_tokens":3,"completion_tokens":{TOKENS}}}}}'
        for data in (*words, usage, "[DONE]"):
            event = f"data: {data}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", CORE)
def test_each_part_of_the_core_is_compiled_for_this_machine(name: str) -> None:
    assert not import_module(f"lens._core.{name}").__file__.endswith(".py")


def test_the_clocks_go_forward_and_know_the_year() -> None:
    first, second = now_ns(), now_ns()
    assert 0 < first <= second
    assert 1_700_000_000 < realtime_ns() / 1e9 < 5_000_000_000


def test_a_run_measures_what_the_server_does_and_is_kept_in_a_file(url: str, tmp_path) -> None:
    profiler = lens.Profiler("openai-compatible", "m", base_url=url, proxy="", price="in=3,out=15")
    result = profiler.run_blocking(iterations=4, concurrency=2)
    assert [one.error for one in result.requests] == [None] * 4
    for one in result.requests:
        assert one.ttft_ms >= TTFT_S * 1000
        assert one.output_tokens == TOKENS
        assert one.total_cost > 0
    for name in ("run.jsonl", "run.msgpack"):
        lens.write_run(tmp_path / name, result.info, result.records)
        assert lens.read_run(tmp_path / name).summary.successes == 4


def test_the_command_answers(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-m", "lens", "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert lens.__version__ in done.stdout


def test_what_is_installed_is_this_version() -> None:
    if not __file__.startswith(str(lens.__file__).partition("src")[0]):
        assert version("llm-latency-lens") == lens.__version__
