"""Ctrl-C and SIGTERM end every command, whatever it waits for: a server, a pipe, the answer of a person."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from cli_program import environment
from handmade import INFO, record
from msgspec.structs import replace
from waiting import wait_until

from lens.history.write import write_run

# Runs a command, and says when the handlers of the program are in place.
READY = """
import contextlib, sys
from lens.cli import errors
interruptible = errors.interruptible
@contextlib.contextmanager
def told():
    with interruptible():
        print("handlers are set", file=sys.stderr, flush=True)
        yield
errors.interruptible = told
from lens.__main__ import main
main()
"""


def commands(server, folder):
    """Name -> arguments. None of them would end by itself: what they read or write is a pipe with no other end.

    Those that ask a server have their name in its URL. The first would end in a while: it gets its signal first.
    """

    def target(name):
        return "--provider", "openai", "--model", "m", "--base-url", f"{server}/{name}", "--api-key", "k-12345678"

    def two(name):
        sides = (f"{side}=openai:m@{server}/{name}/{side}" for side in "ab")
        return *[word for side in sides for word in ("--target", side)], "--api-key", "k-12345678"

    def pipe(name):
        os.mkfifo(folder / f"pipe of {name}")
        return folder / f"pipe of {name}"

    runs = [folder / "one.jsonl", folder / "two.jsonl"]
    for path in runs:
        write_run(path, replace(INFO, run_id=path.name), [record()])
    return {
        "selftest": ("selftest", "--streams", ",".join(map(str, range(1, 61)))),  # minutes, and all begin at once
        "profile": ("profile", *target("profile")),
        "url": (f"{server}/url",),
        "benchmark": ("benchmark", *target("benchmark"), "-n", "9", "--ui", "none"),
        "workers": ("benchmark", *target("workers"), "-n", "9", "-c", "2", "--workers", "2", "--ui", "none"),
        "compare": ("compare", *two("compare")),
        "optimize": ("optimize", *two("optimize")),
        "doctor": ("doctor", f"{server}/doctor"),
        "monitor": ("monitor", *target("monitor"), "--listen", "127.0.0.1:0"),
        "simulate": ("simulate", "--port", "0"),
        "ui": ("ui", folder, "--listen", "127.0.0.1:0"),
        "analyze": ("analyze", runs[0], "-o", pipe("analyze")),
        "report": ("report", runs[0], "-o", pipe("report")),
        "explain": ("explain", "total_cost", runs[0], "--prices", pipe("explain")),
        "recover": ("recover", runs[0], "-o", pipe("recover")),
        "merge": ("merge", *runs, "--partial", "--trust-clocks", "-o", pipe("merge")),
        "testbench": ("testbench", "report", runs[0], "-o", pipe("testbench")),
        "prices": ("prices", "--prices", pipe("prices")),
        "init": ("init", "-o", folder / "new.toml"),
    }


@pytest.fixture
def silent():
    """The URL of a server that takes connections and says nothing, and what it was told."""
    kept, told = [], []

    def read(sock):
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                told.append(data)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
                    threading.Thread(target=read, args=(kept[-1],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", told
    for sock in kept:
        sock.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_every_command(silent, tmp_path, number):
    """All at once, so that it takes little longer than one."""
    server, told = silent
    asked = commands(server, tmp_path)
    logs = {name: tmp_path / f"{number.name} {name}" for name in asked}
    begun = {}
    try:
        for name, words in asked.items():
            with logs[name].open("wb") as log:
                begun[name] = subprocess.Popen(
                    [sys.executable, "-c", READY, *map(str, words)], env=environment(), cwd=tmp_path,
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log,
                )  # fmt: skip
        for name, path in logs.items():
            wait_until(lambda path=path: b"handlers are set" in path.read_bytes(), name)
            if f"{server}/{name}" in " ".join(map(str, asked[name])):  # an answer is waited for
                wait_until(lambda name=name: f"/{name}/".encode() in b"".join(told), name)
            begun[name].send_signal(number)
        for name, process in begun.items():
            wait_until(lambda process=process: process.poll() is not None, f"{name}: {logs[name].read_text()}")
        codes = {name: process.returncode for name, process in begun.items()}
    finally:
        for process in begun.values():
            process.kill()
            process.wait()
            process.stdin.close()
    # Those that serve end well; one that had not begun to serve was interrupted as others are.
    assert {code for name, code in codes.items() if name not in ("monitor", "simulate", "ui")} == {130}, codes
    assert {codes[name] for name in ("monitor", "simulate", "ui")} <= {0, 130}, codes
    assert [name for name, path in logs.items() if "Traceback" in path.read_text()] == []
