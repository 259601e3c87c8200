"""Real Prometheus, Pushgateway and InfluxDB take what is pushed and answer queries with the same numbers.

Each is started on a free port of loopback and ended by its own pid; where one is not installed, its
tests say so and are skipped.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from handmade import INFO, record
from needs import need_package, need_program
from ports import free_port
from waiting import HANG_S, wait_until

from lens.errors import TransportError
from lens.history.read import read_run
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook
from lens.push.push import Push, push_run
from lens.simulator import Script, start_thread

PREFIX = "llm_latency_lens_"


def found(name: str) -> str:
    return need_program(name, "apt-get install prometheus prometheus-pushgateway influxdb")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=HANG_S) as answer:
        return answer.read()


def answers(url: str) -> bool:
    try:
        get(url)
    except OSError:
        return False
    return True


def log_of(folder) -> str:
    return (folder / "server.log").read_text()[-2000:]


@contextmanager
def serving(command: list[str], ready: str, folder):
    """The program, once it answers at `ready`; ended when left."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        wait_until(lambda: process.poll() is not None or answers(ready), lambda: log_of(folder))
        assert process.poll() is None, log_of(folder)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


@pytest.fixture(scope="module")
def simulator():
    with start_thread(Script(tokens=5, ttft_ns=5_000_000, itl_ns=1_000_000, usage="always")) as handle:
        yield f"{handle.url}/v1"


@pytest.fixture
def measured(lll, simulator, tmp_path):
    """Runs a benchmark that pushes; gives its records and summary."""

    def run(*words):
        more = ["--model", "m", "--base-url", simulator, "-n", 20, "-c", 4, "--ui", "none", "--price", "in=1,out=1"]
        done = lll("benchmark", "--provider", "vllm", *more, "-o", "run.jsonl", *words)
        assert done.returncode == 0, done.stderr
        records = read_run(tmp_path / "run.jsonl").records
        return records, summarize(records)

    return run


def test_a_pushgateway_holds_the_same_numbers(measured, tmp_path):
    port = free_port()
    command = [found("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"]
    with serving(command, f"http://127.0.0.1:{port}/-/ready", tmp_path):
        records, summary = measured("--push-gateway", f"http://127.0.0.1:{port}")
        text = get(f"http://127.0.0.1:{port}/metrics").decode()
    lines = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    count = next(v for k, v in lines.items() if k.startswith(f"{PREFIX}ttft_ms_count{{"))
    total = next(v for k, v in lines.items() if k.startswith(f"{PREFIX}ttft_ms_sum{{"))
    ttft = summary.distributions["ttft_ms"]
    assert count == len(records) == 20
    assert total == pytest.approx(ttft.mean * ttft.n)
    assert any('job="llm_latency_lens"' in k for k in lines)


@contextmanager
def prometheus(folder, port: int, scrape: str = ""):
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\n{scrape}")
    command = [found("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    with serving(command, f"http://127.0.0.1:{port}/-/ready", folder):
        yield f"http://127.0.0.1:{port}"


def query(url: str, text: str) -> list:
    return json.loads(get(f"{url}/api/v1/query?query={quote(text)}"))["data"]["result"]


def test_prometheus_takes_a_remote_write(measured, tmp_path):
    need_package("cramjam", "pip install 'llm-latency-lens[push]'")
    with prometheus(tmp_path, port := free_port()) as url:
        records, summary = measured("--export-prometheus", f"http://127.0.0.1:{port}")
        (count,) = query(url, f"{PREFIX}ttft_ms_count")
        (total,) = query(url, f"{PREFIX}ttft_ms_sum")
        (quantile,) = query(url, f"histogram_quantile(0.5, {PREFIX}ttft_ms_bucket)")
    assert int(count["value"][1]) == len(records)
    ttft = summary.distributions["ttft_ms"]
    assert float(total["value"][1]) == pytest.approx(ttft.mean * ttft.n)
    assert count["metric"]["provider"] == "vllm"
    assert 0 < float(quantile["value"][1]) <= 10 * ttft.median, "as far as buckets tell"


def test_promtool_accepts_the_exposition_and_prometheus_scrapes_it(lll, measured, tmp_path):
    measured("--export", "jsonl,prometheus", "--force")
    text = (tmp_path / "run.prom").read_bytes()
    told = subprocess.run([found("promtool"), "check", "metrics"], input=text, capture_output=True)
    # Its style guide dislikes milliseconds; what it cannot read is an error of another kind.
    assert b"error while linting" not in told.stderr, told.stderr
    assert told.returncode in (0, 3), told.stderr
    port = free_port()
    (tmp_path / "metrics").write_bytes(text)
    web = ["python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    scrape = f"scrape_configs: [{{job_name: lens, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    (tmp_path / "web").mkdir()
    (tmp_path / "prom").mkdir()
    with (
        serving(web, f"http://127.0.0.1:{port}/metrics", tmp_path / "web"),
        prometheus(tmp_path / "prom", free_port(), scrape) as url,
    ):
        seen = wait_until(lambda: query(url, f"{PREFIX}requests_total"), lambda: query(url, "up"))
    assert sum(float(one["value"][1]) for one in seen) == 20


def test_the_conventional_names_have_nothing_that_promtool_dislikes(measured, tmp_path):
    measured("--export", "jsonl,prometheus", "--prometheus-units", "seconds", "--force")
    text = (tmp_path / "run.prom").read_bytes()
    told = subprocess.run([found("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert told.returncode == 0, told.stderr


@contextmanager
def influxdb(folder):
    """An InfluxDB 1.x with a database "llm"; gives its address."""
    http_port, rpc_port = free_port(), free_port()
    (folder / "influx.conf").write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc_port}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{http_port}"\n'
    )
    url = f"http://127.0.0.1:{http_port}"
    with serving([found("influxd"), "-config", str(folder / "influx.conf")], f"{url}/ping", folder):
        make = urllib.request.Request(f"{url}/query", data=b"q=CREATE+DATABASE+llm", method="POST")
        urllib.request.urlopen(make, timeout=HANG_S).close()
        yield url


def influx_query(url: str, text: str) -> list[list]:
    (result,) = json.loads(get(f"{url}/query?db=llm&epoch=ns&q={quote(text)}"))["results"]
    return result["series"][0]["values"]


def test_influxdb_holds_the_same_points(measured, tmp_path):
    with influxdb(tmp_path) as url:
        records, summary = measured("--influx", f"{url}?db=llm")
        asked = "SELECT count(ttft_ms), sum(ttft_ms), sum(cost) FROM llm_request"
        ((_, count, total, cost),) = influx_query(url, asked)
    ttft = summary.distributions["ttft_ms"]
    assert count == len(records) == 20
    assert total == pytest.approx(ttft.mean * ttft.n)
    tokens = sum(r.usage.input_tokens + r.usage.output_tokens for r in records)
    assert cost == pytest.approx(tokens / 1e6)


def test_influxdb_gives_back_names_that_need_escaping_and_every_one_of_equal_times(tmp_path):
    models = ["a b", "a,b", "a=b", "a\\b", "a\\,b", "a\\\\,b", "a\\ b", "a\\=b", '"q"', "'s'", "\u00e9\u6f22", "#c"]
    made = [record(model=model, index=i) for i, model in enumerate(models)]
    made += [record(model="same", index=i) for i in range(30)]
    with influxdb(tmp_path) as url:
        push_run(Push("influx", url, "llm"), INFO, made, PriceBook(), {})
        told = influx_query(url, 'SHOW TAG VALUES FROM llm_request WITH KEY = "model"')
        ((_, same),) = influx_query(url, "SELECT count(ttft_ms) FROM llm_request WHERE model = 'same'")
    assert sorted(model for _, model in told) == sorted([*models, "same"])
    assert same == 30


def test_a_database_that_is_not_there_is_told_with_what_would_work(tmp_path):
    with influxdb(tmp_path) as url, pytest.raises(TransportError, match=r"database not found.*CREATE DATABASE"):
        push_run(Push("influx", f"{url}?db=absent"), INFO, [record()], PriceBook(), {})


def test_a_backend_that_is_away_costs_nothing_but_a_message(lll, simulator, tmp_path):
    away = f"http://user:hush@127.0.0.1:{free_port()}"
    done = lll("benchmark", "--provider", "vllm", "--model", "m", "--base-url", simulator, "-n", 3, "--ui", "none",
               "-o", "run.jsonl", "--push-gateway", away, "--influx", away + "?db=x")  # fmt: skip
    assert done.returncode == 2
    assert "push to http://127.0.0.1" in done.stderr
    assert "hush" not in done.stderr + done.stdout
    assert len(read_run(tmp_path / "run.jsonl").records) == 3
