"""A key is looked for in everything that comes out: every format, page, journal, log and error; none may hold it."""

import json
import subprocess
import sys

import pytest
from cli_program import environment, lll
from waiting import wait_until

from lens.export.formats import FORMATS
from lens.simulator import make_script, start

KEY, HEADER, PASSWORD = "sk-hidden-7f3a9c51d2", "tok-hidden-9b8d7e6f", "pw-hidden-5c4d3e"
SECRETS = (KEY, HEADER, PASSWORD)
QUICK = {"ttft": "5ms", "itl": "1ms", "tokens": 4}


def words(url):
    return ("--provider", "openai", "-m", "m", "--base-url", f"{url}/v1", "--header", f"X-Api-Token: {HEADER}")


def held(folder, *texts):
    """Which secrets stand in files or texts."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [f"{path.name}: {secret}" for secret in SECRETS if secret.encode() in data]
    return found + [f"{text[:200]}: {secret}" for text in texts for secret in SECRETS if secret in text]


@pytest.mark.parametrize("how", ["environment", "flag", "file"])
@pytest.mark.parametrize("answer", [{}, {"status": 401}, {"reset_at": 2}])
def test_no_format_and_no_page_holds_a_key(how, answer, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    given = {"flag": ("--api-key", KEY), "file": ("--api-key-file", tmp_path / "key")}.get(how, ())
    env = {"OPENAI_API_KEY": KEY} if how == "environment" else {}
    formats = [name for name, kind in FORMATS.items() if kind.extra is None and name != "prometheus-seconds"]
    with start(make_script(**QUICK, **answer)) as handle:
        more = ("-n", 3, "--save-text", "--log-level", "trace", "--export", ",".join(formats))
        command = ("benchmark", *words(handle.url), *given, *more, "--output-dir", tmp_path / "out")
        ended = lll(*command, env=env, cwd=tmp_path)
    assert ended.returncode in (0, 1), ended.stderr
    assert len(list((tmp_path / "out").iterdir())) == len(formats)
    assert held(tmp_path / "out", ended.stdout, ended.stderr) == []


def test_a_server_that_sends_the_key_back_does_not_get_it_into_a_file(tmp_path):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"error": {"message": f"you sent {self.headers['authorization']}"}}).encode()
            self.send_response(401)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-you-sent", self.headers["authorization"])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "out").mkdir()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        more = ("-n", 2, "--export", "json,jsonl,msgpack,html,otlp", "--output-dir", tmp_path / "out")
        ended = lll("benchmark", *words(url), *more, env={"OPENAI_API_KEY": KEY})
    finally:
        server.shutdown()
        server.server_close()
    assert ended.returncode == 1
    assert held(tmp_path / "out", ended.stdout, ended.stderr) == []


def test_credentials_of_a_proxy_a_push_and_a_file_stay_where_they_are(tmp_path):
    (tmp_path / "lens.toml").write_text(
        f'[providers.openai]\nmodel = "m"\napi_key = "{KEY}"\nbase_url = "http://127.0.0.1:9/v1"\n'
        f'proxy = "http://user:{PASSWORD}@127.0.0.1:9"\n'
    )
    (tmp_path / "out").mkdir()
    more = ("-n", 2, "-o", tmp_path / "out" / "run.jsonl", "--push-gateway", f"http://user:{PASSWORD}@127.0.0.1:9")
    ended = lll("benchmark", "--config", tmp_path / "lens.toml", *more, "--log-level", "trace")
    shown = lll("config", "check", tmp_path / "lens.toml")
    assert ended.returncode in (1, 2)
    assert held(tmp_path / "out", ended.stdout, ended.stderr, shown.stdout, shown.stderr) == []


def test_a_key_with_a_line_break_is_refused_without_being_shown(tmp_path):
    ended = lll("profile", "--provider", "openai", "-m", "m", env={"OPENAI_API_KEY": f"{KEY}\nX: 1"})
    assert ended.returncode in (1, 2)
    assert held(tmp_path, ended.stdout, ended.stderr) == []


def test_the_journal_of_a_run_that_is_killed_holds_none(tmp_path):
    with start(make_script(ttft="5ms", itl="20ms", tokens=50)) as handle:
        command = [
            "benchmark",
            *words(handle.url),
            "-n",
            "500",
            "-c",
            "4",
            "-o",
            str(tmp_path / "run.jsonl"),
            "--ui",
            "none",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "lens", *command], env=environment(OPENAI_API_KEY=KEY),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: any(path.stat().st_size > 20_000 for path in tmp_path.iterdir()))
        finally:
            process.kill()
            process.wait()
    assert list(tmp_path.iterdir())
    assert held(tmp_path) == []
