"""`lll monitor` in a process of its own: its pages, its signals, its webhook, and the specified configurations."""

import contextlib
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from echoed_keys import KEYS, OTHERS, PROMPTS, Echo, leaks
from echoed_keys import words as echoed
from prometheus_client.parser import text_string_to_metric_families
from served import served
from waiting import HANG_S, wait_until

from lens.cli.commands.monitor import hangups_ignored
from lens.history.read import read_run
from lens.simulator import make_script, start

HOOK = "hookhidden15a6b7"
QUICK = {"ttft": "20ms", "itl": "1ms", "tokens": 5}


@pytest.fixture(scope="module")
def url():
    with start(make_script(**QUICK)) as handle:
        yield f"{handle.url}/v1"


class Running:
    """The program, its lines on standard error, and its address."""

    def __init__(self, *words, env=None, **options):
        command = [sys.executable, "-m", "lens", "monitor", *map(str, words)]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env, **options
        )
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stderr], daemon=True).start()

    def until(self, pattern, within_s=HANG_S):
        until = time.monotonic() + within_s
        while True:
            try:
                self.seen.append(self.lines.get(timeout=max(until - time.monotonic(), 0.01)))
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} in {self.seen}") from None
            if found := re.search(pattern, self.seen[-1]):
                return found

    def page(self, path):
        with urllib.request.urlopen(f"{self.base}{path}", timeout=HANG_S) as answer:
            return answer.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def started(self):
        self.base = self.until(r"(http://\S+)/metrics")[1]
        return self


def words(url, *more):
    return ("--base-url", url, "-m", "m", "--prompt", "Hello", "--interval", "300ms", "--listen", "127.0.0.1:0", *more)


def wait_for(read, holds):
    def good():
        found = read()
        return [found] if holds(found) else []

    return wait_until(good, read)[0]


def test_its_page_is_read_by_prometheus_own_parser_and_a_sigterm_ends_it_well(url, tmp_path):
    with Running(*words(url, "--history", tmp_path / "h", "--slo", "ttft<1 99%")) as running:
        running.started()
        text = wait_for(lambda: running.page("/metrics"), lambda text: 'alert="slo_burn"} 1' in text)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families["llm_latency_lens_ttft_ms"].type == "histogram"
        assert families["llm_latency_lens_requests"].samples[0].value >= 10
        assert json.loads(running.page("/healthz"))["ok"] is True
        with pytest.raises(urllib.error.HTTPError):
            running.page("/nowhere")
        running.until("firing: openai-compatible/m: ttft<1 99%")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(HANG_S) == 0
    (segment,) = (tmp_path / "h").glob("*.jsonl")
    assert len(read_run(segment).records) >= 10


def test_a_hangup_reads_the_settings_again_and_a_mistake_leaves_them(url, tmp_path):
    config = tmp_path / "monitor.yaml"
    text = (
        f"providers:\n  - {{name: vllm, model: one, base_url: '{url}'}}\n"
        "monitoring: {interval: 300ms, listen: '127.0.0.1:0', test_prompts: [Hello]}\n"
    )
    config.write_text(text)
    with Running("--config", config) as running:
        running.started()
        wait_for(lambda: running.page("/metrics"), lambda text: 'model="one"' in text)
        config.write_text(text.replace("interval", "intervall"))
        running.process.send_signal(signal.SIGHUP)
        assert "interval" in running.until("settings are as they were: (.*)")[1]
        config.write_text(text.replace("model: one", "model: two"))
        running.process.send_signal(signal.SIGHUP)
        running.until("settings were read again: 1 targets")
        wait_for(lambda: running.page("/metrics"), lambda text: 'model="two"' in text)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.alerts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def webhook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.alerts = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_is_told_when_a_target_fails_and_when_it_is_well_again():
    with start(make_script(**QUICK, status=500, fail_first=4)) as handle, webhook() as server:
        hook = f"http://127.0.0.1:{server.server_address[1]}/alert"
        with Running(*words(f"{handle.url}/v1", "--webhook", hook)) as running:
            running.started()
            wait_for(lambda: list(server.alerts), lambda alerts: len(alerts) >= 2)
    assert [alert["status"] for alert in server.alerts[:2]] == ["firing", "resolved"]
    assert server.alerts[0]["alert"] == "failing"
    assert server.alerts[0]["model"] == "m"


PLAN = """
providers:
  - name: openai
    model: gpt-4
    api_key: ${OPENAI_API_KEY}
    base_url: URL
  - name: anthropic
    model: claude-4.1-sonnet
    api_key: ${ANTHROPIC_API_KEY}
    base_url: URL

monitoring:
  interval: 60s
  test_prompts:
    - "Hello, how are you?"
    - "Explain photosynthesis briefly."

export:
  - type: prometheus
    endpoint: http://127.0.0.1:9/
  - type: influxdb
    endpoint: http://127.0.0.1:9
    database: llm_metrics
"""


def test_the_specified_configuration_works_as_printed(url, tmp_path):
    import os

    config = tmp_path / "monitor-config.yaml"
    config.write_text(PLAN.replace("URL", url))
    env = {**os.environ, "OPENAI_API_KEY": "sk-planned-key-1", "ANTHROPIC_API_KEY": "sk-planned-key-2"}
    more = ("--listen", "", "--history", tmp_path / "h", "--once")
    with Running("--config", config, "--export-prometheus=http://127.0.0.1:9/x", *more, env=env) as running:
        assert running.process.wait(HANG_S) == 0
        running.until("were never taken")
    (segment,) = (tmp_path / "h").glob("*.jsonl")
    records = read_run(segment).records
    assert {(record.provider, record.model) for record in records} == {
        ("openai", "gpt-4"), ("anthropic", "claude-4.1-sonnet"),
    }  # fmt: skip
    assert len(records) == 4
    assert all(record.status == "Success" for record in records)
    assert "sk-planned" not in segment.read_text() + "".join(running.seen)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--slo", "ttft<1000"), "'ttft<1000 99%'"),
        (("--listen", "nowhere"), "write an address and a port"),
        (("--push-gateway", "gateway"), "not an address"),
        (("--interval", "soon"), "soon"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(url, more, says):
    done = subprocess.run(
        [sys.executable, "-m", "lens", "monitor", "--base-url", url, "-m", "m", *more],
        capture_output=True, text=True, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr


def test_a_port_that_is_taken_is_reported(url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "lens", "monitor", "--base-url", url, "-m", "m", "--listen", listen],
            capture_output=True, text=True, timeout=HANG_S,
        )  # fmt: skip
    assert done.returncode == 2
    assert "take another port" in done.stderr


def test_one_round_in_which_nothing_succeeds_ends_with_1():
    command = ["--base-url", "http://127.0.0.1:9/v1", "-m", "m", "--once", "--listen", ""]
    done = subprocess.run([sys.executable, "-m", "lens", "monitor", *command], capture_output=True, timeout=HANG_S)
    assert done.returncode == 1


def test_neither_its_pages_nor_its_alerts_hold_a_key(tmp_path):
    key, hooks = KEYS["quotes"], []
    with served(Echo, hooks=hooks) as url:
        target = [word for word in echoed(url) if word not in ("--log-level", "trace")]
        more = (*PROMPTS, "--slo", "success 99%", "--webhook", f"{url}/hook/{HOOK}", "--history", tmp_path / "h")
        pushed = ("--push-gateway", f"{url}/hook/push?sig={HOOK}")
        listen = ("--interval", "300ms", "--listen", "127.0.0.1:0", "--retries", "0", "--log-level", "trace")
        with Running(*target, "--api-key", key, *more, *pushed, *listen) as running:
            running.started()
            metrics = wait_for(lambda: running.page("/metrics"), lambda text: 'alert="slo_burn"} 1' in text)
            running.until("firing: ")
            wait_for(lambda: list(hooks), lambda found: any("firing" in one for one in found))
            health = running.page("/healthz")
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(HANG_S) == 0
            said = "".join([*running.seen, *iter_left(running.lines)])
    assert leaks(tmp_path, (key, HOOK, *OTHERS), metrics, health, said, *hooks) == []


def iter_left(lines):
    """The lines that nobody has waited for."""
    with contextlib.suppress(queue.Empty):
        while True:
            yield lines.get_nowait()


def test_a_hangup_before_the_monitor_takes_it_does_nothing():
    before = signal.getsignal(signal.SIGHUP)
    with hangups_ignored():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is before
