"""A server that says nonsense of its tokens: the run is summed up and exported all the same, in little memory."""

import json
import resource
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from cli_program import environment
from needs import need_package
from waiting import HANG_S

from lens.export.formats import FORMATS
from lens.history.read import read_run

# What is claimed, and what is taken of it.
CLAIMS = [
    ("3600000000", 3_600_000_000),
    ("-5", None),
    ("2.5", None),
    ('"12"', 12),
    ('"twelve"', None),
    ("3.0", 3),
    (str(2**63), None),
    ("1" + "0" * 300, None),
    ("[12]", None),
    ("true", None),
    ("12", 12),
]
NEEDS = {"parquet": "pyarrow", "hdrhistogram": "hdrh"}
MOST_BYTES = 4 << 30


class Liar(BaseHTTPRequestHandler):
    """An answer of three chunks, and a count of tokens that is another each time."""

    numbers = count()
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        told = CLAIMS[next(self.numbers) % len(CLAIMS)][0]
        chunks = [f'{{"choices":[{{"index":0,"delta":{{"content":"{word} "}}}}]}}' for word in ("one", "two", "three")]
        chunks.append('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        chunks.append(
            f'{{"choices":[],"usage":{{"prompt_tokens":{told},"completion_tokens":{told},"total_tokens":{told},'
            f'"cost":{told},"prompt_tokens_details":{{"cached_tokens":{told}}}}}}}'
        )
        body = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def liar():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def lll(*words):
    def bounded():
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    done = subprocess.run(
        [sys.executable, "-m", "lens", *words],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment(),
        preexec_fn=bounded,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_counts_that_are_none_are_unknown_and_counts_that_cannot_be_are_doubted(liar, tmp_path):
    for module in NEEDS.values():
        need_package(module, "pip install 'llm-latency-lens[parquet,hdrhistogram]'")
    formats = list(FORMATS)
    formats.remove("prometheus-seconds")  # of the same suffix as prometheus
    where = ["--provider", "vllm", "--model", "m", "--base-url", liar]
    run = ["benchmark", *where, "-n", str(len(CLAIMS)), "-c", "1", "--ui", "none", "--price", "in=1,out=1"]
    shown = lll(*run, "-e", ",".join(formats), "-o", str(tmp_path / "run.json"))
    assert "more tokens are claimed for 1 answer than came" in shown.stdout + shown.stderr
    assert len(list(tmp_path.iterdir())) == len(formats)
    records = read_run(tmp_path / "run.jsonl").records
    taken = [record.usage.output_tokens if record.usage else None for record in records]
    assert taken == [counted for _, counted in CLAIMS]
    document = json.loads((tmp_path / "run.json").read_text())
    assert json.dumps(document)
    lll("report", str(tmp_path / "run.jsonl"), "-o", str(tmp_path / "page.html"))


def test_one_request_with_a_false_count_is_shown_and_explained(liar):
    Liar.numbers = count()
    shown = lll("profile", "--provider", "vllm", "--model", "m", "--base-url", liar, "--prompt", "hi")
    assert "more tokens are claimed" in shown.stdout + shown.stderr
