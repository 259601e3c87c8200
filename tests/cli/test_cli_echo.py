"""What a server says reaches a terminal and a log clean, on every page and in every line of every command."""

import csv
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest
from cli_program import environment, lll
from served import served
from waiting import HANG_S

from lens.cli.echo import echo, echo_json

HOSTILE = "\x1b[2J\x9b31mX\u202eY\u2066\x07\n::error::gotcha ##[error]gotcha \n::set-output name=a::b"


class Hostile(BaseHTTPRequestHandler):
    """Writes what a terminal or a runner would obey into every text of its answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/hook") or b"refuse" in body:
            self.answer(400, {"error": {"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}})
        else:
            one = {"model": HOSTILE, "choices": [{"index": 0, "delta": {"content": HOSTILE}, "finish_reason": HOSTILE}]}
            self.answer(200, f"data: {json.dumps(one)}\n\ndata: [DONE]\n\n", "text/event-stream")

    def do_GET(self):
        self.answer(200, {"data": [{"id": HOSTILE}]})

    def answer(self, status, body, kind="application/json"):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-request-id", "\x1b[31m::error::x\x9b")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    with served(Hostile) as url:
        yield url


def steering(text):
    """What of a text a terminal or a runner would obey."""
    odd = sorted({c for c in text if not (c.isprintable() or c == "\n")})
    return odd + [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "--prompt", "echo", "--save-text"),
        ("profile", "--prompt", "refuse", "--log-level", "trace"),
        ("benchmark", "-n", "4", "--retries", "0", "--prompt", "echo", "--prompt", "refuse", "--log-level", "debug"),
        ("benchmark", "-n", "1", "--prompt", "refuse", "--retries", "0", "--push-gateway", "{url}/hook"),
        ("doctor", "-n", "1"),
        ("doctor", "-n", "1", "-e", "json"),
        ("monitor", "--interval", "100ms", "--duration", "2s", "--listen", "", "--prompt", "refuse",
         "--webhook", "{url}/hook"),
    ],
    ids=lambda command: " ".join(command[:3]),
)  # fmt: skip
def test_no_text_of_a_server_steers_a_terminal_or_a_runner(url, command):
    given = [word.format(url=url) for word in command]
    ended = lll(*given, "--provider", "openai", "-m", "m", "--base-url", f"{url}/v1")
    assert ended.returncode in (0, 1, 2), ended.stderr
    assert steering(ended.stdout) == []
    assert steering(ended.stderr) == []


LINES = ("jsonl", "otlp")


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "otlp", "vllm-json"])
def test_no_export_on_standard_output_does(url, form, tmp_path):
    given = ("-n", "4", "--retries", "0", "--prompt", "echo", "--prompt", "refuse", "--save-text", "--ui", "none")
    ended = lll("benchmark", *given, "--provider", "openai", "-m", "m", "--base-url", f"{url}/v1", "-e", form)
    assert steering(ended.stdout) == []
    if form == "csv":
        (tmp_path / "run.csv").write_text(ended.stdout)
        with (tmp_path / "run.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 4
    else:
        assert all(json.loads(one) for one in (ended.stdout.splitlines() if form in LINES else [ended.stdout]))


def test_lines_on_standard_output_while_it_goes_on_do_not(url):
    given = ("-n", "2", "--retries", "0", "--prompt", "refuse", "--ui", "none", "--real-time")
    ended = lll("benchmark", *given, "--provider", "openai", "-m", "m", "--base-url", f"{url}/v1")
    assert steering(ended.stdout) == []
    assert json.loads(ended.stdout.splitlines()[0])["event"] == "request"


def test_no_value_of_a_config_file_does(tmp_path):
    (tmp_path / "lens.toml").write_text(
        '[providers.openai]\nmodel = "\\u001b[2J\\u202e::error::x"\nbase_url = "http://h"\n'
        '[labels]\na = "\\n::error::y\\u009b"\n'
    )
    for more in ((), ("--json",)):
        ended = lll("config", "check", tmp_path / "lens.toml", *more)
        assert steering(ended.stdout + ended.stderr) == []


def test_lines_are_printed_clean_and_json_means_the_same(capsys):
    echo(f"one\n  two {HOSTILE}")
    assert steering(capsys.readouterr().out) == []
    echo("three", err=True)
    assert capsys.readouterr().err == "three\n"
    echo_json({"a": HOSTILE})
    shown = capsys.readouterr().out
    assert (json.loads(shown), steering(shown)) == ({"a": HOSTILE}, [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("providers >/dev/full", 2),
        ("profile --provider simulator --export json >/dev/full", 2),
        ("profile --provider simulator >/dev/full", 2),
        ("providers >&-", 2),
        ("--help >&-", 2),
        ("profile --provider simulator --export json >&-", 2),
        ("providers 2>&-", 0),
        ("providers >&- 2>&-", 2),
        ("nonsense 2>/dev/full", 2),
        # Nobody reads: the pipe is closed before the table is written.
        ("prices '*' | true; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_an_output_that_takes_nothing_is_told_without_a_traceback(command, code):
    line = f"{sys.executable} -m lens {command}"
    ended = subprocess.run(
        ["bash", "-c", line], env=environment(), capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert ended.returncode == code, ended.stderr
    said = "2>" not in command and (">/dev/full" in command or ">&-" in command)
    assert said == ("cannot write to standard output: " in ended.stderr)
    assert not any(word in ended.stderr for word in ("Traceback", "Exception ignored", "this is a bug"))
