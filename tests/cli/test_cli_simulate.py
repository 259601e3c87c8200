"""`lll simulate` as people run it: in a process, with a file, stopped by a signal or its time."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from waiting import HANG_S

RUN = [sys.executable, "-m", "lens", "simulate"]


@contextmanager
def simulate(*arguments):
    """The process, and the host and port that it prints."""
    with subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            host, port = re.search(r"//([^:/]+):(\d+)", process.stdout.readline()).groups()
            yield process, (host, int(port))
        finally:
            process.kill()


def ask(address):
    connection = http.client.HTTPConnection(*address, timeout=HANG_S)
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    connection.request("POST", "/v1/chat/completions", body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_its_script_and_says_at_the_end_how_punctual_it_was(number):
    with simulate("--ttft", "5ms", "--itl", "1ms", "--tokens", "7") as (process, address):
        status, text = ask(address)
        assert (status, text.count('"content":')) == (200, 1 + 7)
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(HANG_S) == 0
    assert "lll profile --provider openai --base-url http://127.0.0.1:" in rest
    assert re.search(r"1 requests, 9 writes; late p50 \d+ us, p99 \d+ us, max [\d.]+ us\n$", rest)


@pytest.mark.parametrize(
    ("name", "text"),
    [("s.toml", 'status = 429\nretry-after = 3\nttft = "1ms"\n'), ("s.json", '{"status": 429, "retry_after": "3"}')],
)
def test_a_script_file_is_read_and_options_win_over_it(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with simulate("--script", str(path)) as (_, address):
        assert ask(address)[0] == 429
    with simulate("--script", str(path), "--status", "503") as (_, address):
        assert ask(address)[0] == 503


def test_the_log_file_holds_the_requests(tmp_path):
    with simulate("--ttft", "1ms", "--tokens", "1", "--log", str(tmp_path / "log")) as (process, address):
        ask(address)
        process.send_signal(signal.SIGTERM)
        process.wait(HANG_S)
    assert json.loads((tmp_path / "log").read_text())["end"] == "complete"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ttft", "soon"], "script option ttft=soon: 'soon' is not a duration; write 50ms"),
        (["--script", "missing.toml"], "script file missing.toml:"),
        (["--host", "256.1.1.1"], "simulate, 256.1.1.1:0: 256.1.1.1 is no address of this machine"),
        (["--proxy-mode", "--proxy-delay", "soon"], "'soon' is not a duration"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, says):
    done = subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_ends_by_itself_after_its_seconds_also_as_a_proxy():
    for more in ([], ["--proxy-mode"]):
        done = subprocess.run([*RUN, "--seconds", "0.2", *more], capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0
        assert done.stdout.startswith("listening  http://127.0.0.1:")
