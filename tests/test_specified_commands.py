"""Code blocks of the specification as printed, nothing added and nothing left out, in a world where they can run.

A proxy stands between the program and the world: the providers' names lead to a simulator with a certificate for them,
the names of backends to one that takes what is pushed. Commands that last for minutes are ended by Ctrl-C once they
have measured something, which must write and push what they were asked for; LENS_LONG=1 lets them end by themselves.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import forks
import pytest
import specified
from waiting import HANG_S, wait_until

from lens.errors import ExitCode
from lens.simulator import make_script, start_thread

PROVIDERS = ("api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com")
KEYS = {"OPENAI_API_KEY": "sk-none", "ANTHROPIC_API_KEY": "sk-ant-none", "GOOGLE_API_KEY": "none"}
TARGET = "--provider openai --model gpt-4"
HISTORY = "llm-latency-lens benchmark --provider openai --model gpt-4 -n 20 -c 5 -o historical-data.jsonl"
SLA = "thresholds: [ttft_p95<1000, success_rate>=99%]\n"
MOST_TIMES = 3  # some say how quick a few requests must be; a busy machine may be slow for once
LONG = bool(os.environ.get("LENS_LONG"))


@contextmanager
def proxy_to(simulator):
    """A proxy whose tunnels all lead to the simulator, and that takes what is sent to plain http addresses."""
    got: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self):
            with socket.create_connection((simulator.host, simulator.port)) as other, suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                pair = {self.connection: other, other: self.connection}
                while True:
                    for side in select.select(list(pair), [], [])[0]:
                        if not (data := side.recv(65536)):
                            return
                        pair[side].sendall(data)

        def take(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append((self.command, self.path))
            self.send_response(204)
            self.end_headers()

        do_POST = do_PUT = take

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join(HANG_S)


class World:
    """A folder with the files that the blocks name, and the environment in which their names lead somewhere."""

    def __init__(self, folder, simulator, proxy, got):
        self.folder, self.simulator, self.got = folder, simulator, got
        settings = {name for name in os.environ if name.startswith("LLL_") or name.lower().endswith("_proxy")}
        self.environ = {name: value for name, value in os.environ.items() if name not in settings} | KEYS
        self.environ |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "SSL_CERT_FILE": simulator.ca_file}

    def start(self, words, folder=None, **environ):
        return subprocess.Popen(
            [sys.executable, *words], cwd=folder or self.folder, env=self.environ | environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, command, folder=None, **environ):
        return forks.server().run(program(command), cwd=folder or self.folder, environ=self.environ | environ)

    def run_program(self, code):
        return forks.server().run(code=code, cwd=self.folder, environ=self.environ)

    def answered(self):
        """How many answers have been sent whole since the log was emptied."""
        return sum(one["end"] == "complete" for one in self.simulator.log())

    def ended_by(self, number, command, folder=None, answers=10):
        """Start a command, and end it by a signal when it has had so many answers."""
        self.simulator.reset()
        running = self.start(["-m", "lens", *program(command)], folder)
        wait_until(lambda: self.answered() >= answers or running.poll() is not None)
        if not LONG or number == signal.SIGTERM:
            running.send_signal(number)
        out, err = running.communicate(timeout=HANG_S + 150 * LONG)
        return subprocess.CompletedProcess(command, running.returncode, out, err)


def program(command):
    """The words of a command; a shell would take < and > for redirections where they are not quoted."""
    name, *words = (
        shlex.split(command.replace("\\\n", " ")) if isinstance(command, str) else ["llm-latency-lens", *command]
    )
    assert name == "llm-latency-lens"
    return words


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    for name in (".github", "tests", "optimizer"):
        (folder / name).mkdir()
    for name in ("prompts.txt", "test-prompts.txt", ".github/test-prompts.txt", "optimizer/test-prompts.txt"):
        (folder / name).write_text("Hello\nHow are you?\n")
    (folder / "tests" / "prompts.json").write_text(json.dumps([{"id": "greet", "prompt": "Hello"}]))
    (folder / "sla-config.yaml").write_text(SLA)
    (folder / "production-baseline.toml").write_text(specified.CONFIG)
    (folder / "optimizer" / "llm-latency-lens.toml").write_text(specified.CONFIG)
    (folder / "monitor.yaml").write_text(specified.MONITOR_CONFIG)
    script = make_script(ttft="10ms", itl="1ms", tokens=20, usage="always")
    with (
        start_thread(script, tls=True, names=PROVIDERS) as simulator,
        proxy_to(simulator) as (proxy, got),
    ):
        made = World(folder, simulator, proxy, got)
        for _ in range(MOST_TIMES):
            done = made.run(f"{HISTORY} --force")
            assert done.returncode == 0, done.stderr
            if made.run("llm-latency-lens analyze historical-data.jsonl --sla sla-config.yaml").returncode == 0:
                break
        yield made


@pytest.mark.parametrize("name", specified.COMMANDS)
def test_a_command_runs_as_printed(name, world):
    for _ in range(MOST_TIMES):
        if name == "performance thresholds" and not (world.folder / "baseline.json").exists():
            world.run(specified.COMMANDS["performance baseline"])
        done = world.run(specified.COMMANDS[name])
        if done.returncode != ExitCode.THRESHOLD:
            break
        (world.folder / "baseline.json").unlink(missing_ok=True)  # what was measured then was slow
    assert done.returncode == 0, f"{done.stdout[-800:]}{done.stderr}"
    if name == "provider comparison":
        assert "claude-4.1-sonnet" in done.stdout
        json.loads(done.stdout)
    if name == "beta compare":
        assert done.stdout.splitlines()[0].startswith("target,provider,model,")
    if name == "test-bench in ci":
        assert "llm_latency_lens_ttft_ms_bucket" in done.stdout


def test_a_constant_rate_is_sent_and_written(world):
    done = world.ended_by(signal.SIGINT, specified.LONG_COMMANDS["constant rate test"])
    assert done.returncode == (0 if LONG else 130), done.stderr
    assert "llm_latency_lens_ttft_ms_bucket" in (world.folder / "results.prom").read_text()


def test_a_config_file_is_obeyed_written_where_it_says_and_pushed(world):
    done = world.ended_by(signal.SIGINT, specified.LONG_COMMANDS["beta benchmark"])
    assert done.returncode == (0 if LONG else 130), done.stderr
    assert 'provider="anthropic"' in (world.folder / "metrics.prom").read_text()
    assert any("//observatory:9091/metrics/job/" in path for _, path in world.got)
    assert json.loads(done.stdout.splitlines()[0])  # real_time


def test_a_provider_is_recommended_by_the_config_of_the_folder(world):
    command, folder = specified.LONG_COMMANDS["v1 optimize"], world.folder / "optimizer"
    done = world.ended_by(signal.SIGINT, command, folder, answers=20)
    assert done.returncode == (0 if LONG else 130), done.stderr
    assert "settings from llm-latency-lens.toml" in done.stderr
    assert "recommended" in done.stdout + done.stderr


def test_without_a_config_file_optimize_says_what_to_give(world, tmp_path):
    done = world.run(specified.LONG_COMMANDS["v1 optimize"], tmp_path)
    assert done.returncode == 2
    assert "llm-latency-lens.toml of this folder is found" in done.stderr


def test_the_monitor_probes_and_pushes_until_it_is_ended(world):
    del world.got[:]
    done = world.ended_by(signal.SIGTERM, specified.MONITOR + " --listen ''", answers=4)
    assert done.returncode == 0, done.stderr
    assert {path.split("/")[2] for _, path in world.got} == {"prometheus:9090", "influxdb:8086"}
    assert any("db=llm_metrics" in path for _, path in world.got)


def test_the_arguments_of_the_deployment_are_those_of_the_monitor(world):
    words = [word.replace("/config/monitor-config.yaml", "monitor.yaml") for word in specified.MONITOR_OF_KUBERNETES]
    done = world.run([*words, "--once", "--listen="])
    assert done.returncode == 0, done.stderr


def test_the_variables_of_the_environment_are_obeyed(world, tmp_path):
    named = dict(re.findall(r'^export (\w+)="?([^"\n]*)"?$', specified.ENVIRONMENT, re.MULTILINE))
    assert named.pop("LLL_CONFIG_FILE") == "/path/to/config.toml"
    (tmp_path / "config.toml").write_text('[providers.openai]\nmodel = "gpt-4"\n[load]\niterations = 30\n')
    done = world.run("llm-latency-lens benchmark", tmp_path, **named, LLL_CONFIG_FILE="config.toml")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "results").glob("*.prom")
    assert 'le="+Inf"} 30' in written.read_text()


@pytest.mark.parametrize("name", specified.PROGRAMS)
def test_a_program_runs(name, world):
    for _ in range(MOST_TIMES):
        done = world.run_program(specified.PROGRAMS[name])
        if done.returncode == 0:
            break
    assert (done.returncode, done.stderr) == (0, "")
    if name == "library integration":
        assert re.fullmatch(r"TTFT: \d+\.\d\dms\nThroughput: \d+\.\d\d tokens/sec\nCost: \$\d\.\d{4}\n", done.stdout)


@pytest.mark.parametrize("command", specified.REFERENCE)
def test_a_command_has_the_options_of_the_reference(command, world):
    flag = "--help-all" if command in ("profile", "benchmark") else "--help"
    shown = world.run(f"llm-latency-lens {command} {flag}").stdout
    for option in specified.REFERENCE[command].split():
        assert re.search(rf"{option}\b", shown), option


def test_outputs_have_the_fields_of_the_examples_in_their_order(world):
    profile = f"llm-latency-lens profile {TARGET} --prompt Hello --export "
    fields = list(json.loads(world.run(profile + "json").stdout))
    wanted = list(json.loads(specified.REQUEST_JSON))
    assert [name for name in fields if name in wanted] == wanted
    assert world.run(profile + "csv").stdout.startswith(specified.CSV_HEAD)


def test_the_exposition_has_the_names_kinds_and_labels_of_the_examples(world):
    shown = world.run(
        "llm-latency-lens profile --provider openai --model gpt-4 --prompt Hello --export prometheus"
    ).stdout
    for line in specified.PROMETHEUS.splitlines():
        if line.startswith("# TYPE"):
            assert line in shown
        elif not line.startswith("#"):
            name, le = line.partition("{")[0], re.search(r'le="[^"]+"', line)
            assert re.search(rf'^{name}{{provider="openai",model="gpt-4"', shown, re.MULTILINE), name
            assert le is None or le[0] in shown


def test_a_point_has_the_tags_and_fields_of_the_example(world):
    shown = world.run(
        "llm-latency-lens profile --provider openai --model gpt-4 --prompt Hello --export influxdb"
    ).stdout
    series, fields, at = specified.INFLUX.split(" ")
    point = next(line for line in shown.splitlines() if line.startswith(series))
    assert {one.split("=")[0] for one in fields.split(",")} <= {
        one.split("=")[0] for one in point.split(" ")[1].split(",")
    }
    assert len(point.split(" ")[2]) == len(at)


def test_the_versions_flags_are_those_of_the_reference(world):
    for words in ("-h", "--help", "-V", "--version"):
        assert world.run(f"llm-latency-lens {words}").returncode == 0
