"""The demo of compose.yml, without containers: the same commands, configs and rules, wired together on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from ports import free_port
from waiting import HANG_S, wait_until

sys.path.insert(0, str(Path(__file__).parent))
from queries import DEPLOY, OF_MONITOR, program

SERVICES = yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text())["services"]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=HANG_S) as answer:
        return answer.read()


@contextmanager
def running(words: list[str], folder: Path, ready: str):
    """A program, once it answers at `ready`; ended by SIGTERM."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        wait_until(lambda: process.poll() is not None or answers(ready), lambda: (folder / "log").read_text()[-2000:])
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield process
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


def answers(url: str) -> bool:
    try:
        return bool(get(url))
    except OSError:
        return False


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Address of the monitor, asking the simulator."""
    folder = tmp_path_factory.mktemp("demo")
    simulator, monitor = free_port(), free_port()
    swap = {"0.0.0.0": "127.0.0.1", "8080": str(simulator), "300ms": "20ms"}
    config = (DEPLOY / "docker" / "demo.yaml").read_text().replace("simulator:8080", f"127.0.0.1:{simulator}")
    config = config.replace("0.0.0.0:9464", f"127.0.0.1:{monitor}").replace("interval: 5s", "interval: 500ms")
    (folder / "monitor.yaml").write_text(config)
    asked = [swap.get(word, word) for word in SERVICES["simulator"]["command"]]
    watching = [word.replace("/config", str(folder)) for word in SERVICES["monitor"]["command"]]
    lens = [sys.executable, "-m", "lens"]
    with (
        running([*lens, *asked], folder, f"http://127.0.0.1:{simulator}/_lens/stats"),
        running([*lens, *watching], folder, f"http://127.0.0.1:{monitor}/healthz"),
    ):
        yield f"http://127.0.0.1:{monitor}"


def test_the_monitor_is_well_as_its_health_check_asks(demo):
    port = demo.rpartition(":")[2]
    _, program_name, *words = SERVICES["monitor"]["healthcheck"]["test"]
    assert program_name == "python"
    words = [word.replace("9464", port) for word in words]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    words = [word.replace(port, str(free_port())) for word in words]
    assert subprocess.run([sys.executable, *words], capture_output=True, timeout=HANG_S).returncode != 0


def test_the_monitor_tells_of_itself_what_the_dashboards_ask(demo):
    # A rate is told from the first answer on.
    page = wait_until(lambda: text if "slo_burn_rate{provider" in (text := get(f"{demo}/metrics").decode()) else "")
    lines = page.splitlines()
    for name, labels in OF_MONITOR.items():
        # Nothing is pushed here, so nothing waits.
        assert f"# TYPE {name} " in "\n".join(lines)
        told = [set(re.findall(r'(\w+)="', line)) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert all(found == labels for found in told), name


def test_prometheus_sees_the_monitor_and_its_requests(demo, tmp_path):
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    config = config.replace("/etc/prometheus", str(DEPLOY / "prometheus")).replace(
        "monitor:9464", demo.partition("//")[2]
    )
    (tmp_path / "prometheus.yml").write_text(re.sub(r"_interval: \w+", "_interval: 500ms", config))
    url = f"http://127.0.0.1:{free_port()}"
    words = [program("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]

    def found(query: str) -> list:
        return json.loads(get(f"{url}/api/v1/query?query={quote(query)}"))["data"]["result"]

    with running([*words, f"--web.listen-address={url.partition('//')[2]}"], tmp_path, f"{url}/-/ready"):
        asked = "rate(llm_latency_lens_requests_total[3s]) > 0"
        rates = wait_until(lambda: found(asked), lambda: str(found("up")))
        up = 'up{job="llm_latency_lens"}'
        wait_until(lambda: [one["value"][1] for one in found(up)] == ["1"], lambda: str(found(up)))
        assert found("llm_latency_lens_connect_ms_bucket")
        (series,) = {(one["metric"]["provider"], one["metric"]["model"]) for one in rates}
        assert series == ("vllm", "simulated")
    assert os.listdir(tmp_path / "data")
