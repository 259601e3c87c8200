"""A real Prometheus scrapes what we expose, on loopback: every query answers, and a slow TTFT makes the alert fire.

Windows are cut to seconds, and `for` to one second, so that minutes need not pass; else the rules are those that ship.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from handmade import failed_record, record
from ports import free_port
from waiting import HANG_S, wait_until

sys.path.insert(0, str(Path(__file__).parent))
from queries import DEPLOY, OF_MONITOR, PREFIX, RULES, panel_queries, program, rules

from lens.export.prometheus import CONTENT_TYPE, PrometheusMetrics, exposition
from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price

WINDOW = "3s"
SLOW, FAST = (2500, 2700, 2900), (100, 110, 120)


class Monitored:
    """What a monitor would serve; each scrape finds some requests more, as slow as `at_ms` says."""

    def __init__(self) -> None:
        self.at_ms = SLOW
        self._metrics = PrometheusMetrics()
        self._book = PriceBook((parse_price("in=2000,out=2000"),))

    def scraped(self) -> bytes:
        now = {"timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z")}
        made = (record(self.at_ms, **now), record(self.at_ms, **now), failed_record(**now))
        self._metrics.add(table_of(made, book=self._book))
        return exposition(self._metrics.families())


@contextmanager
def served(monitored: Monitored):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = monitored.scraped()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG_S)


def quick(text: str) -> str:
    """The same rules, with windows and waits of seconds."""
    text = re.sub(r"\[\d+[mhd]\]", f"[{WINDOW}]", text)
    return re.sub(r"for: \d+[mh]", "for: 1s", text)


@contextmanager
def prometheus(folder: Path, target: int):
    """A real one with the rules that ship; gives its address."""
    for name in RULES:
        (folder / name).write_text(quick((DEPLOY / "prometheus" / name).read_text()))
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    config = re.sub(r"_interval: \w+", "_interval: 500ms", config).replace("/etc/prometheus", str(folder))
    (folder / "prometheus.yml").write_text(re.sub(r"targets: .*", f"targets: ['127.0.0.1:{target}']", config))
    port = free_port()
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/-/ready"), lambda: (folder / "log").read_text()[-2000:])
        yield url
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


def answers(url: str) -> bool:
    try:
        return bool(get(url))
    except OSError:
        return False


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=HANG_S) as answer:
        return answer.read()


def results(url: str, text: str) -> list:
    return json.loads(get(f"{url}/api/v1/query?query={quote(text)}"))["data"]["result"]


def firing(url: str) -> set[str]:
    alerts = json.loads(get(f"{url}/api/v1/alerts"))["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(a monitor, the Prometheus that scrapes it)"""
    monitored = Monitored()
    with served(monitored) as port, prometheus(tmp_path_factory.mktemp("prometheus"), port) as url:
        yield monitored, url


def test_a_slow_first_token_makes_the_alerts_fire_and_a_fast_one_ends_them(watched):
    monitored, url = watched
    late = {"llm_ttft_high", "llm_itl_high", "llm_error_rate_high", "llm_sla_burn_fast", "llm_cost_per_request_high"}
    wait_until(lambda: late <= firing(url), lambda: str(firing(url)))
    (alert,) = wait_until(
        lambda: [
            alert
            for alert in json.loads(get(f"{url}/api/v1/alerts"))["data"]["alerts"]
            if alert["labels"]["alertname"] == "llm_ttft_high"
        ]
    )
    assert alert["labels"]["provider"] == "openai"
    assert alert["annotations"]["summary"] == "High TTFT detected for openai"
    # A busy machine may miss a scrape or two.
    lost = {"llm_monitor_down", "llm_monitor_absent", "llm_no_samples"}
    wait_until(lambda: not firing(url) & lost, lambda: str(firing(url)))
    monitored.at_ms = FAST
    wait_until(lambda: not firing(url) & {"llm_ttft_high", "llm_itl_high"}, lambda: str(firing(url)))


def of_requests(query: str) -> bool:
    return not any(name in query for name in OF_MONITOR)


@pytest.mark.parametrize("query", dict.fromkeys(filter(of_requests, panel_queries(WINDOW))))
def test_a_panel_has_something_to_show(watched, query):
    _, url = watched
    query = re.sub(r"\[\d+[mhd]\]", f"[{WINDOW}]", query)
    if f"{PREFIX}connect_ms" in query:
        query = query.replace("connect_ms", "ttfb_ms")  # these requests had their connection
    wait_until(lambda: {one["value"][1] for one in results(url, query)} - {"NaN"}, lambda: query)


def test_prometheus_evaluates_every_rule_without_an_error(watched):
    _, url = watched
    groups = json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(rules())
    wait_until(
        lambda: all(
            r["health"] == "ok" for g in json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"] for r in g["rules"]
        )
    )
