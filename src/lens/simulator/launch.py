"""Run a simulator: here (run), in a process of its own (start) or in a thread (start_thread).

The process ends when its parent does, however that dies: it reads a pipe that only the parent holds open. All bind to
loopback unless told otherwise.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec

from lens.simulator.log import Log
from lens.simulator.script import Script
from lens.simulator.server import Server, make_tls_context, open_listener

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a simulator listens, and how its process behaves."""

    host: str = "127.0.0.1"
    port: int = 0
    unix: str | None = None
    tls: bool = False
    ca_file: str = "lens-simulator-ca.pem"  # written when tls is on
    log_file: str | None = None
    seconds: float | None = None
    spin_us: int = 0  # busy-wait for so long before a write
    cpu: int | None = None  # pin the process to this core
    stop_at_stdin_eof: bool = False


class Handle:
    """A running simulator; a context manager that stops it.

    `url` has no path: OpenAI's protocol is below url + "/v1". `ca_file` is the PEM to
    trust for TLS. `pid` is None for a thread.
    """

    def __init__(self, facts: dict[str, Any], *, process: subprocess.Popen[str] | None = None) -> None:
        self.url: str = facts["url"]
        self.host: str = facts["host"]
        self.port: int = facts["port"]
        self.unix: str | None = facts.get("unix")
        self.ca_file: str | None = facts.get("ca_file")
        self.pid: int | None = process.pid if process else None
        self.final_stats: dict[str, Any] | None = None
        self._process = process
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._folder: str | None = facts.get("folder")

    def log(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the log entries of the requests so far; LogEntry.as_dict has their form."""
        entries: list[dict[str, Any]] = self._ask("log" if last is None else f"log?last={last}")
        return entries

    def stats(self) -> dict[str, Any]:
        """Return counts of requests and writes, and how late the writes were."""
        stats: dict[str, Any] = self._ask("stats")
        return stats

    def reset(self) -> None:
        """Forget the log, and all that limits and faults have counted."""
        self._ask("reset")

    def stop(self) -> None:
        """Stop it and wait until it has stopped; again is harmless."""
        if self._server and self._thread and self._thread.is_alive():
            self._server.stop()
            self._thread.join(STOP_TIMEOUT_S)
            self.final_stats = self._server.log.stats()
        if self._process:
            self._stop_process(self._process)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stop_process(self, process: subprocess.Popen[str]) -> None:
        if process.returncode is None:
            try:
                last_words, _ = process.communicate(timeout=STOP_TIMEOUT_S)  # closes its stdin, which ends it
                self.final_stats = json.loads(last_words.splitlines()[-1])["stats"] if last_words.strip() else None
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def _ask(self, what: str) -> Any:
        """GET /_lens/WHAT on a connection of its own."""
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(self._connect())
            if self.ca_file:
                context = ssl.create_default_context(cafile=self.ca_file)
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname="localhost"))
            sock.sendall(f"GET /_lens/{what} HTTP/1.1\r\nHost: simulator\r\n\r\n".encode())
            with sock.makefile("rb") as answer:
                status = answer.readline().split()[1]
                length = 0
                while (line := answer.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = answer.read(length)
        if status != b"200":
            raise RuntimeError(f"the simulator at {self.url} answered /_lens/{what} with {status.decode()}")
        return json.loads(body)

    def _connect(self) -> socket.socket:
        if self.unix:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(self.unix)
            return sock
        return socket.create_connection((self.host, self.port), timeout=60)


def describe_address(listener: socket.socket, *, tls: bool, unix: str | None, ca_file: str | None) -> dict[str, Any]:
    """Return where a listening simulator is found."""
    if unix:
        return {"url": "http://localhost", "host": "", "port": 0, "unix": unix, "ca_file": ca_file}
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return {"url": f"{'https' if tls else 'http'}://{shown}:{port}", "host": host, "port": port, "ca_file": ca_file}


def run(script: Script, options: ServerOptions, on_listening: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Serve in this process until a signal or `options.seconds`; return the statistics.

    `on_listening` gets url, host, port, pid, ca_file.

    Raises:
        OSError: the address or a file cannot be used.
        TlsMissing: TLS is wanted and trustme is not installed.
    """
    context = make_tls_context(Path(options.ca_file), (*LOCAL_NAMES, options.host)) if options.tls else None
    log = Log(options.log_file)
    listener = open_listener(options.host, options.port, options.unix)
    server = Server(script, listener, tls=context, log=log, spin_ns=options.spin_us * 1000)
    server.stop_by(signal.SIGTERM, signal.SIGINT)
    if options.stop_at_stdin_eof:
        server.stop_at_eof(sys.stdin.fileno())
    ca_file = str(Path(options.ca_file).resolve()) if options.tls else None
    on_listening(
        {**describe_address(listener, tls=options.tls, unix=options.unix, ca_file=ca_file), "pid": os.getpid()}
    )
    if options.cpu is not None:
        pin_to_cpu(options.cpu)
    # Nothing here makes cycles that are worth a pause; what is imported never goes away.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    server.run(None if options.seconds is None else monotonic_ns() + round(options.seconds * 1e9))
    if options.unix:
        Path(options.unix).unlink(missing_ok=True)
    return log.stats()


def pin_to_cpu(cpu: int) -> None:
    """Keep this process on one core.

    A scheduler that moves the server to its client's core makes it late by milliseconds.
    """
    os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def start(
    script: Script | None = None,
    *,
    tls: bool = False,
    port: int = 0,
    host: str = "127.0.0.1",
    unix: str | None = None,
    log_file: str | None = None,
    spin_us: int = 0,
    cpu: int | None = None,
    seconds: float | None = None,
) -> Handle:
    """Start a simulator in a process of its own and wait until it listens.

    `cpu` pins it to one core, `spin_us` makes it busy-wait before each write: both make it more punctual.

    Raises:
        RuntimeError: it did not start; the message holds the end of its stderr.
    """
    folder = tempfile.mkdtemp(prefix="lens-simulator-") if tls else None
    options = ServerOptions(
        host=host, port=port, unix=unix, tls=tls, ca_file=f"{folder}/ca.pem", log_file=log_file,
        seconds=seconds, spin_us=spin_us, cpu=cpu, stop_at_stdin_eof=True,
    )  # fmt: skip
    command = [sys.executable, "-m", "lens.simulator", "--options", msgspec.json.encode(options).decode()]
    command += ["--script-json", msgspec.json.encode(script or Script()).decode()]
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    first_line = process.stdout.readline()
    if not first_line:
        _, complaint = process.communicate(timeout=START_TIMEOUT_S)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"the simulator did not start: {complaint.strip()[-2000:]}")
    return Handle({**json.loads(first_line), "folder": folder}, process=process)


def start_thread(
    script: Script | None = None,
    *,
    tls: bool = False,
    port: int = 0,
    host: str = "127.0.0.1",
    unix: str | None = None,
    log_file: str | None = None,
    names: tuple[str, ...] = (),
) -> Handle:
    """Start a simulator in a thread: quicker to start than a process, but it shares this one's interpreter lock.

    names: whose certificate it has under TLS, besides this machine's.
    """
    folder = tempfile.mkdtemp(prefix="lens-simulator-") if tls else None
    ca_file = Path(folder) / "ca.pem" if folder else None
    context = make_tls_context(ca_file, (*LOCAL_NAMES, *names)) if ca_file else None
    listener = open_listener(host, port, unix)
    handle = Handle(describe_address(listener, tls=tls, unix=unix, ca_file=str(ca_file) if ca_file else None))
    handle._folder = folder
    handle._server = Server(script or Script(), listener, tls=context, log=Log(log_file))
    handle._thread = threading.Thread(target=handle._server.run, name="lens-simulator", daemon=True)
    handle._thread.start()
    return handle
