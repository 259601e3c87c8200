"""`lll doctor` against a simulator that has one fault of its own: the first finding names it, and what to try."""

from __future__ import annotations

import json
import re
import socket
from http.server import BaseHTTPRequestHandler

import pytest
from cli_program import lll
from click.testing import CliRunner
from served import served

from lens.cli.main import lll as program
from lens.simulator import make_script, start
from lens.simulator.proxy import ProxyScript, start_proxy

# A healthy server, on which each cause is laid. Everything else takes a few tens of ms.
HEALTHY = {"ttft": "20ms", "itl": "500us", "tokens": "request"}
# Cause, the script that has it, and the least it explains (ms): far more than a busy machine adds to anything.
CAUSES = [
    ("server", {"ttft": "1500ms"}, 1450),
    ("prefill", {"prefill": "1500us"}, 570),
    ("queue", {"slots": 1, "ttft": "350ms"}, 600),
    ("decode", {"itl": "16ms"}, 300),
    ("buffering", {"itl": "16ms", "coalesce": 10}, 300),
    ("buffering", {"itl": "16ms", "coalesce": 10_000}, 300),
    ("cold start", {"cold_start": "1s"}, 900),
]
MOST_TIMES = 5  # a busy machine may be slow at anything for once
FEW = ("-n", "1", "-c", "5", "--input-tokens", "400", "--output-tokens", "40", "--model", "test-1")


def doctor(url, *more, env=None):
    """The diagnosis as machines get it, and the exit code."""
    ended = lll("doctor", url, *more, "--json", env=env)
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout), ended.returncode


def first_finding(cause, diagnose):
    """Return the first finding of a diagnosis; of another one where something else was slow for once."""
    for _ in range(MOST_TIMES):
        told, code = diagnose()
        assert code == 0
        if told["findings"][0]["cause"] == cause:
            return told["findings"][0]
    raise AssertionError(told["findings"])


@pytest.mark.parametrize(("cause", "script", "least_ms"), CAUSES, ids=[f"{c}-{i}" for i, (c, *_) in enumerate(CAUSES)])
def test_the_first_finding_is_the_cause_that_was_laid(cause, script, least_ms):
    def diagnose():
        with start(make_script(**(HEALTHY | script))) as simulator:
            return doctor(f"{simulator.url}/v1", *FEW)

    first = first_finding(cause, diagnose)
    assert least_ms <= first["ms"] <= 5 * least_ms + 1000
    assert any("request" in line for line in first["evidence"])
    assert first["try_next"]


def test_a_slow_handshake_is_tls_and_not_distance():
    with start(make_script(**HEALTHY, tls_delay="300ms"), tls=True) as simulator:
        words = (f"{simulator.url}/v1", *FEW, "--cacert", simulator.ca_file)
        first = first_finding("TLS", lambda: doctor(*words))
    assert first["ms"] >= 280
    assert "1 round trip of it is distance" in first["evidence"]


def test_a_slow_proxy_is_told_from_what_lies_behind_it():
    with start(make_script(**HEALTHY), tls=True) as simulator, start_proxy(ProxyScript(delay_ns=300_000_000)) as proxy:
        words = (f"{simulator.url}/v1", *FEW, "--cacert", simulator.ca_file, "--proxy", proxy.url)
        first = first_finding("proxy", lambda: doctor(*words))
    assert first["ms"] >= 290


def test_connections_that_are_not_kept_are_reported():
    with start(make_script(**HEALTHY, close=True)) as simulator:
        told, _ = doctor(f"{simulator.url}/v1", *FEW)
    (found,) = [finding for finding in told["findings"] if finding["cause"] == "keep-alive"]
    assert found["kind"] == "warning"
    assert found["evidence"][0] == "closed by the other side: requests 1, 2, 3"


def test_a_rate_limit_comes_first_with_what_was_measured_before_it():
    with start(make_script(**HEALTHY, rate_limit="2/60s")) as simulator:
        told, code = doctor(f"{simulator.url}/v1", *FEW)
    first = told["findings"][0]
    assert code == 0
    assert (first["cause"], first["kind"]) == ("rate limit", "failure")
    assert "asks to wait" in " ".join(first["evidence"])
    assert told["answered"] == 2
    assert any(sentence.startswith("queue: no answer") for sentence in told["untold"])


@pytest.fixture(scope="module")
def strict():
    """A server with a root, a key and models of its own."""
    with start(make_script(**HEALTHY, root="/v1", key="sk-good-key", models="small+large")) as simulator:
        yield simulator


@pytest.mark.parametrize(
    ("path", "arguments", "cause", "advice"),
    [
        ("", ["-k", "sk-good-key", "-m", "small"], "path", "/v1 answers"),
        ("/v2", ["-k", "sk-good-key"], "path", "/v1 answers"),
        ("/v1", ["-k", "sk-wrong-key", "-m", "small"], "key", "--api-key-env"),
        ("/v1", ["-m", "small"], "key", "--api-key-env"),
        ("/v1", ["-k", "sk-good-key", "-m", "medium"], "model", "small, large"),
    ],
)
def test_what_is_wrong_with_an_address_a_key_or_a_model_is_reported(strict, path, arguments, cause, advice):
    strict.reset()
    told, code = doctor(f"{strict.url}{path}", *arguments)
    (finding,) = told["findings"]
    assert code == 1
    assert (finding["cause"], finding["kind"]) == (cause, "failure")
    assert advice in finding["try_next"]
    assert told["answered"] == 0
    assert "sk-" not in json.dumps(told)


def test_without_a_model_the_first_that_is_listed_is_asked(strict):
    ended = lll("doctor", f"{strict.url}/v1", "-k", "sk-good-key", "-n", "1", "-c", "2")
    assert ended.returncode == 0
    assert "none was named; the server lists small first, and 1 more" in " ".join(ended.stdout.split())
    assert strict.log(last=1)[0]["model"] == "small"


class Empty(BaseHTTPRequestHandler):
    """A server that lost its weights: every answer succeeds, and those of the model `all` bring nothing."""

    answers = 0

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Empty.answers += 1
        brings = asked["model"] != "all" and Empty.answers % 2
        chunk = {"choices": [{"index": 0, "delta": {"content": "so"} if brings else {}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("model", "empty", "code"), [("all", 7, 1), ("half", 3, 0)])
def test_answers_without_content_are_the_first_finding_and_where_all_are_nothing_was_measured(model, empty, code):
    Empty.answers = 0
    with served(Empty) as url:
        words = ["doctor", f"{url}/v1", "-m", model, "-n", "1", "-c", "2", "--json"]
        ended = CliRunner().invoke(program, words, standalone_mode=False)
    assert ended.return_value == code, ended.output
    told = json.loads(ended.stdout)
    assert (told["asked"], told["answered"], told["empty"]) == (7, 7, empty)
    assert told["findings"][0]["says"] == f"{empty} of 7 answers brought no text, reasoning or tool call"


class Short(BaseHTTPRequestHandler):
    """A model with a context of 100 words."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = sum(len(message["content"].split()) for message in asked["messages"])
        error = {"error": {"message": "maximum context length is 100 tokens", "code": "context_length_exceeded"}}
        chunk = {"choices": [{"index": 0, "delta": {"content": "so"}, "finish_reason": "stop"}]}
        fits = words <= 100
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n" if fits else json.dumps(error)
        self.send_response(200 if fits else 400)
        self.send_header("content-type", "text/event-stream" if fits else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def test_a_probe_that_is_too_long_for_the_model_is_shortened_and_asked_again():
    with served(Short) as url:
        told, code = doctor(f"{url}/v1", "-m", "x", "-n", "1", "-c", "2", "--input-tokens", "400")
    assert code == 0
    assert told["answered"] == told["asked"]
    assert not any(one["kind"] == "failure" for one in told["findings"])
    (note,) = told["notes"]
    assert re.match(r"long prompt: shortened to (100|50) tokens", note)


def test_a_port_where_nobody_listens_and_a_name_that_is_none():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        told, code = doctor(f"http://127.0.0.1:{port}/v1", "-m", "x")
    assert (told["findings"][0]["cause"], code) == ("refused", 1)
    assert f"127.0.0.1:{port}" in told["findings"][0]["says"]
    told, code = doctor("http://no..name/v1", "-m", "x")
    assert (told["findings"][0]["cause"], code) == ("name", 1)


def test_a_certificate_that_is_not_trusted_and_a_scheme_that_is_not_meant():
    with start(make_script(**HEALTHY), tls=True) as simulator:
        told, code = doctor(f"{simulator.url}/v1", "-m", "x")
        assert (told["findings"][0]["cause"], code) == ("certificate", 1)
        assert "--cacert" in told["findings"][0]["try_next"]
        told, code = doctor(f"{simulator.url}/v1".replace("https", "http"), "-m", "x")
        assert (told["findings"][0]["cause"], code) == ("broken off", 1)
        assert "https://" in told["findings"][0]["try_next"]


def test_the_page_is_plain_words_with_evidence_and_advice(tmp_path):
    path = tmp_path / "page.txt"
    with start(make_script(**(HEALTHY | {"ttft": "300ms"}))) as simulator:
        words = ("doctor", f"{simulator.url}/v1", *FEW, "-o", path)
        for _ in range(MOST_TIMES):
            ended = lll(*words, "--force")
            assert (ended.returncode, ended.stdout) == (0, "")
            page = " ".join(path.read_text().split())
            if "1 server: " in page:
                break
        again = lll(*words)
    assert re.search(r"1 server: ([3-9]|[\d,]+\d)\d\d", page)
    assert re.search(r"first token after the send, short prompt ([3-9]|[\d,]+\d)\d\d", page)
    assert " fix " in page
    assert "unknown DNS: nothing was looked up" in page
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_nothing_is_sent_whose_worst_case_passes_the_budget():
    with start(make_script(**HEALTHY)) as simulator:
        price = ["--price", "in=0,out=1000000"]
        ended = lll("doctor", f"{simulator.url}/v1", *FEW, "--max-cost", "40", *price)
        sent = simulator.stats()["requests"]
    assert ended.returncode == 4
    # 16 dollars an answer: one over a new connection, one over a kept one.
    assert sent == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "doctor needs an endpoint: give a URL"),
        (["http://h/v1", "--base-url", "http://g/v1"], "given twice"),
        (["--provider", "openai", "-m", "x"], "OPENAI_API_KEY"),
        (["ftp://h/v1"], "ftp"),
    ],
)
def test_what_cannot_be_asked_is_a_mistake_of_usage(arguments, says):
    ended = lll("doctor", *arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
