"""`lll profile` in a process of its own, against a known script: what is printed, written and returned."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from cli_program import environment, lll, scripted
from ports import free_port
from waiting import HANG_S

from lens.history.read import read_run


def test_the_page_shows_the_script(target):
    ended = lll("profile", *target, "--prompt", "Say hello")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "openai test-1  Success"
    rows = [line.split("  ")[0] for line in lines[4:11]]
    # After the last token there may be time enough to be drawn.
    assert [row for row in rows if row != "tail"][:6] == ["TCP", "send", "wait", "first token", "stream", "tokens"]
    assert float(re.search(r"TTFT ([\d.]+) ms", ended.stdout).group(1)) >= 40
    assert re.search(r"tokens +\d+ in, 10 out", ended.stdout)
    assert max(map(len, lines)) <= 80


def test_json_on_standard_output_is_json_and_the_page_goes_beside(target):
    ended = lll("profile", *target, "--export", "json")
    found = json.loads(ended.stdout)
    assert 40 <= found["ttft_ms"] < 60_000
    assert (found["status"], found["output_tokens"], len(found["token_timings"])) == ("Success", 10, 10)
    assert found["dns_resolution_ms"] is None
    assert found["tcp_connection_ms"] > 0
    assert found["run"]["targets"][0]["model"] == "test-1"
    assert "text" not in found
    assert "TTFT" in ended.stderr


@pytest.mark.parametrize("name", ["jsonl", "csv", "prometheus", "influxdb"])
def test_every_format_goes_to_standard_output(target, name):
    ended = lll("profile", *target, "--export", name)
    assert ended.returncode == 0
    assert "test-1" in ended.stdout


def test_a_file_is_written_and_named(target, tmp_path):
    ended = lll("profile", *target, "-o", tmp_path / "one.json", "--save-text")
    assert ended.returncode == 0
    assert f"written      {tmp_path / 'one.json'}" in ended.stdout
    [record] = read_run(tmp_path / "one.json").records
    assert record.text
    assert record.connection.reused is False


def test_a_file_is_not_replaced_and_nothing_is_sent_then(simulator, target, tmp_path):
    (tmp_path / "one.json").write_text("precious")
    before = len(simulator.log())
    ended = lll("profile", *target, "-o", tmp_path / "one.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--force" in ended.stderr
    assert len(simulator.log()) == before
    assert (tmp_path / "one.json").read_text() == "precious"
    assert lll("profile", *target, "-o", tmp_path / "one.json", "--force").returncode == 0


def test_the_environment_chooses_format_and_folder(target, tmp_path):
    ended = lll("profile", *target, env={"LLL_EXPORT_FORMAT": "csv", "LLL_OUTPUT_DIR": str(tmp_path / "new")})
    assert ended.returncode == 0
    [path] = (tmp_path / "new").iterdir()
    assert re.fullmatch(r"openai-test-1-\d{8}T\d{6}Z\.csv", path.name)


def test_two_formats_cannot_share_standard_output(target):
    ended = lll("profile", *target, "--export", "json,csv")
    assert ended.returncode == 2
    assert "--output" in ended.stderr


def test_two_formats_share_the_name_of_a_file(target, tmp_path):
    assert lll("profile", *target, "--export", "json,csv", "-o", tmp_path / "one").returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"one.json", "one.csv"}


def test_the_prompt_may_come_through_a_pipe(target):
    assert lll("profile", *target, "--prompt", "-", stdin="What is a clock?\n").returncode == 0
    ended = lll("profile", *target, "--prompt", "-", stdin=" \n")
    assert ended.returncode == 2
    assert "standard input was empty" in ended.stderr


def test_costs_are_shown_when_there_is_a_price(target):
    ended = lll("profile", *target, "--price", "in=30,out=60")
    assert re.search(r"cost +\$0\.00\d+ \(given on the command line\)", ended.stdout)


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ({"status": 429, "retry_after": "7"}, "RateLimited", "7 s, says the server"),
        ({"status": 401}, "AuthError", "HTTP 401"),
        ({"status": 404}, "InvalidRequest", "HTTP 404"),
        ({"status": 500}, "ServerError", "HTTP 500"),
        ({"html": True}, "ServerError", "error"),
    ],
)
def test_a_refusal_is_shown_in_words_and_exits_with_1(script, status, says):
    ended = scripted("profile", **script)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[0].startswith(f"openai test-1  {status}")
    assert says in ended.stdout


@pytest.mark.parametrize(("fault", "status"), [({"truncate_at": 4}, "NetworkError"), ({"reset_at": 4}, "NetworkError")])
def test_a_stream_cut_in_the_middle_keeps_what_had_come(fault, status):
    ended = scripted("profile", "--export", "json", ttft="20ms", itl="2ms", tokens=10, **fault)
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert found["status"] == status
    assert found["ttft_ms"] >= 20
    assert 1 <= len(found["token_timings"]) <= 4
    assert found["error"]


def test_an_unknown_host_and_a_closed_port_are_reported():
    for where in (f"http://127.0.0.1:{free_port()}/v1", "http://no-such-host.invalid/v1"):
        ended = lll("profile", "--provider", "openai", "-m", "x", "--base-url", where)
        assert ended.returncode == 1
        assert "NetworkError" in ended.stdout
        assert re.search(r"error +network_error: ", ended.stdout)


def test_a_missing_key_is_a_mistake_of_the_user():
    ended = lll("profile", "--provider", "openai", "-m", "gpt-4o-mini")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "OPENAI_API_KEY" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_key_never_appears(tmp_path):
    key = "sk-very-secret-0123456789"
    path = tmp_path / "one.json"
    arguments = ("profile", "--api-key", key, "-H", "X-Auth-Token: swordfish", "-o", path, "--log-level", "debug")
    ended = scripted(*arguments, key="another")
    assert ended.returncode == 1
    for shown in (ended.stdout, ended.stderr, path.read_text()):
        assert "secret-0123456789" not in shown
        assert "swordfish" not in shown
    assert "lll profile --api-key" in read_run(path).info.command


def test_the_simulator_is_built_in():
    ended = lll("profile", "--provider", "simulator")
    assert ended.returncode == 0
    assert ended.stdout.startswith("simulator simulator  Success")


def test_colour_is_for_terminals(target):
    assert "\x1b[" not in lll("profile", *target).stdout


@pytest.mark.parametrize("export", [[], ["--export", "jsonl"]], ids=["page", "jsonl"])
def test_numpy_is_not_loaded_for_one_request(target, export):
    code = (
        "import sys\nfrom lens.cli.errors import run\nfrom lens.cli.main import lll\n"
        f"assert run(lll, {['profile', *map(str, target), *export]}) == 0\n"
        "print([name for name in ('numpy', 'urllib3', 'lens.push.push') if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True, env=environment()
    )
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "TTFT" in shown.stdout + shown.stderr
