"""The running simulator from outside: processes, threads, TLS, Unix sockets, log files, and how they end."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import simulator_wire as wire
from waiting import HANG_S

import lens.simulator
from lens.simulator import Script, make_script, start, start_thread

QUICK = make_script(ttft="5ms", itl="2ms", tokens=5)
FOLDER = Path(lens.simulator.__file__).parent


def gone(pid: int) -> bool:
    """Whether the process ends within a generous time."""
    for _ in range(3600):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_the_simulator_imports_nothing_of_the_instrument():
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            for name in names:
                assert not name.startswith("lens") or name.startswith("lens.simulator"), f"{path.name}: {name}"
                assert name.partition(".")[0] not in ("trio", "h11", "httpx", "asyncio"), f"{path.name}: {name}"


def test_a_process_serves_reports_its_log_and_ends_with_its_handle():
    with start(QUICK) as simulator:
        assert wire.parse_openai(wire.chat(simulator).body).text == QUICK.expected_text()
        assert simulator.url == f"http://127.0.0.1:{simulator.port}"
        assert [record["end"] for record in simulator.log()] == ["complete"]
        assert simulator.stats()["requests"] == 1
        pid = simulator.pid
    assert simulator.final_stats["requests"] == 1
    assert gone(pid)
    simulator.stop()


def test_control_requests_are_not_logged_and_the_log_can_be_cut_and_reset():
    with start_thread(QUICK) as simulator:
        for _ in range(3):
            wire.chat(simulator)
        assert [record["request_no"] for record in simulator.log(last=2)] == [1, 2]
        assert wire.ask(simulator, "/_lens/stats", None, method="GET").status == 200
        assert wire.ask(simulator, "/_lens/nothing", None, method="GET").status == 404
        assert len(simulator.log()) == 3
        simulator.reset()
        assert simulator.log() == []
        assert simulator.stats()["late_p50_us"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_and_it_prints_its_statistics(number):
    command = [sys.executable, "-m", "lens.simulator", "--script", "ttft=1ms,itl=1ms,tokens=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        facts = json.loads(process.stdout.readline())
        with socket.create_connection((facts["host"], facts["port"])):
            process.send_signal(number)
            last = process.stdout.read()
    assert process.returncode == 0
    assert json.loads(last)["stats"]["requests"] == 0


# A signal that another thread gets interrupts no sleep of the main thread, as one that comes just before it.
SIGNALLED = """
import signal, threading, time
from lens.simulator.launch import ServerOptions, run
from lens.simulator import make_script

def send():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.{name})

run(make_script(), ServerOptions(), on_listening=lambda facts: threading.Thread(target=send).start())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_that_interrupts_no_sleep_ends_the_process(number):
    with subprocess.Popen([sys.executable, "-c", SIGNALLED.format(name=number.name)]) as process:
        try:
            assert process.wait(HANG_S) == 0
        finally:
            process.kill()


def test_a_process_ends_by_itself_after_its_seconds():
    with subprocess.Popen(
        [sys.executable, "-m", "lens.simulator", "--place", '{"seconds": 0.2}'], stdout=subprocess.PIPE
    ) as process:
        assert process.wait(HANG_S) == 0


def test_no_orphan_remains_when_the_parent_is_killed():
    parent = (
        "import time; from lens.simulator import start\nhandle = start(); print(handle.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert not Path(f"/proc/{pid}/stat").read_text().startswith("Z")
        process.kill()
    assert gone(pid)


def test_a_failed_start_reports_the_reason():
    with (
        start_thread(QUICK) as taken,
        pytest.raises(RuntimeError, match=r"did not start: simulator: .*Address already in use"),
    ):
        start(QUICK, port=taken.port)


@pytest.mark.parametrize("run", [start, start_thread])
def test_over_tls_the_answer_is_the_same_and_the_certificate_is_checked(run):
    with run(QUICK, tls=True) as simulator:
        assert simulator.url.startswith("https://")
        assert wire.parse_openai(wire.chat(simulator).body).text == QUICK.expected_text()
        record = simulator.log()[0]
        assert record["accepted_ns"] < record["tls_hello_ns"] < record["tls_done_ns"] < record["first_byte_ns"]
        with (
            socket.create_connection((simulator.host, simulator.port)) as sock,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
        folder = Path(simulator.ca_file).parent
    assert not folder.exists()


def test_tls_delay_delays_the_handshake():
    with wire.running(tls=True, tls_delay="120ms", ttft="1ms", tokens=1) as simulator:
        began = time.monotonic_ns()
        with wire.connect(simulator) as sock:
            assert time.monotonic_ns() - began >= 120_000_000
            assert wire.exchange(sock, "/chat/completions", {"messages": []}).status == 200
        record = simulator.log()[0]
        assert record["tls_done_ns"] - record["tls_hello_ns"] >= 120_000_000


def test_a_tls_session_can_be_resumed():
    with wire.running(tls=True, ttft="1ms", itl="1ms", tokens=1) as simulator:
        context = ssl.create_default_context(cafile=simulator.ca_file)
        session = None
        for resumed in (False, True):
            raw = socket.create_connection((simulator.host, simulator.port))
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
                assert wire.exchange(sock, "/chat/completions", {"messages": []}).status == 200
                assert sock.session_reused is resumed
                session = sock.session


@pytest.mark.parametrize("script", ["reset-at=2,itl=30ms", "truncate-at=2"])
def test_over_tls_a_broken_answer_ends_without_close_notify(script):
    with wire.running(tls=True, ttft="5ms", itl="2ms", tokens=10) as simulator:
        answer = wire.chat(simulator, script)
        assert answer.error in ("ConnectionResetError", "SSLEOFError") or answer.error.startswith("h11:")
        assert answer.body.count(b'"content":') == 3


def test_a_flood_over_tls_arrives_whole():
    with wire.running(tls=True, ttft="1ms", tokens=20000, flood="yes") as simulator:
        assert wire.parse_openai(wire.chat(simulator).body).text == Script(tokens=20000).expected_text()


def test_a_unix_socket_serves_too(tmp_path):
    with start(QUICK, unix=str(tmp_path / "sock")) as simulator:
        assert wire.parse_openai(wire.chat(simulator).body).done
        assert len(simulator.log()) == 1


def test_the_log_file_has_every_request_once(tmp_path):
    path = tmp_path / "log.jsonl"
    with start(QUICK, log_file=str(path)) as simulator:
        for _ in range(5):
            wire.chat(simulator)
        records = simulator.log()
    assert [json.loads(line) for line in path.read_text().splitlines()] == records


def test_one_connection_serves_many_requests_and_pipelined_ones_in_order():
    with start_thread(QUICK) as simulator, wire.connect(simulator) as sock:
        for _ in range(3):
            assert wire.exchange(sock, "/v1/chat/completions", {"messages": []}).status == 200
        assert {record["conn"] for record in simulator.log()} == {1}
        body = '{"messages":[]}'
        one = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        last = f"Connection: close\r\n\r\n{body}"
        sock.sendall((one + f"\r\n{body}" + one + last).encode())
        data = b""
        while part := sock.recv(65536):
            data += part
        assert data.count(b"HTTP/1.1 200 OK") == 2
        first, second = simulator.log(last=2)
        assert first["end_ns"] <= second["request_complete_ns"]


def test_a_body_that_waits_for_100_continue_gets_it():
    with start_thread(QUICK) as simulator, wire.connect(simulator) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"messages":[]}')
        assert sock.recv(17) == b"HTTP/1.1 200 OK\r\n"


def test_threads_of_the_test_process_are_not_left_behind():
    before = threading.active_count()
    with start_thread(QUICK) as simulator:
        wire.chat(simulator)
    assert threading.active_count() == before


def test_a_process_pinned_to_one_core_stays_there():
    core = min(os.sched_getaffinity(0))
    with start(QUICK, cpu=core, spin_us=50) as simulator:
        wire.chat(simulator)
        assert os.sched_getaffinity(simulator.pid) == {core}
