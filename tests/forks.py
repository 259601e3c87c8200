"""Runs `python -m lens` and programs in forks of a process that has imported it all: most of a run is its imports.

What a command imports, and when, is tested in processes without this. As a program it serves: each connection
brings a request (JSON) and three descriptors, and gets the process number of its fork, then its exit status.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from waiting import HANG_S

NUMBER = struct.Struct("=q")
LONGEST_REQUEST = 1 << 20
# What comes first where the built-in simulator need not take its time.
QUICK_SIMULATOR = """
import lens.simulator as simulator
start, quick = simulator.start, simulator.make_script(ttft="100ms", head="first", itl="4ms")
simulator.start = lambda script=None, **more: start(script or quick, **more)
"""
IMPORTED = (
    "lens", "lens.run.driver", "lens.metrics.summarize", "lens.report.html", "lens.simulator", "numpy", "numpy.fft",
    "numpy.ma", "h11", "rich.live", "rich.table", "lens.analysis.explore.findings", "lens.analysis.optimize",
    "lens.cli.running", "lens.providers.openai", "lens.report.analyze_text", "lens.report.ci", "lens.report.request",
    "lens.report.run",
)  # fmt: skip


class Server:
    """The process that forks, as its clients see it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = str(Path(self._folder.name) / "forks")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen()
            number = listener.fileno()
            command = [sys.executable, __file__, str(number)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number])

    def run(
        self,
        arguments: Sequence[str] = (),
        *,
        code: str | None = None,
        first: str = "",
        stdin: str = "",
        environ: Mapping[str, str] = os.environ,
        cwd: str | Path = "",
        timeout: float = HANG_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m lens` with these arguments, or `python -c` with the code, to its end like subprocess.run.

        first: code that is run before.
        """
        place = str(cwd or Path.cwd())
        request = {"arguments": list(arguments), "code": code, "first": first, "environ": dict(environ), "cwd": place}
        with tempfile.TemporaryFile("w+") as given, socket.socket(socket.AF_UNIX) as connection:
            given.write(stdin)
            given.seek(0)
            connection.settimeout(timeout)
            connection.connect(self._path)
            out, their_out = os.pipe()
            err, their_err = os.pipe()
            text = json.dumps(request).encode()
            socket.send_fds(connection, [text], [given.fileno(), their_out, their_err])
            os.close(their_out)
            os.close(their_err)
            child = NUMBER.unpack(connection.recv(NUMBER.size))[0]
            try:
                stdout, stderr = read_both(out, err, timeout)
                status = NUMBER.unpack(connection.recv(NUMBER.size))[0]
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise subprocess.TimeoutExpired(request["arguments"], timeout) from None
        return subprocess.CompletedProcess(request["arguments"], status, stdout, stderr)

    def stop(self) -> None:
        """Let it write what it counted, and end."""
        self._process.communicate()
        self._folder.cleanup()


def read_both(out: int, err: int, timeout: float) -> tuple[str, str]:
    """Read two pipes to their ends, whichever has something."""
    found: dict[int, list[bytes]] = {out: [], err: []}
    left = {out, err}
    try:
        while left:
            ready = select.select(left, [], [], timeout)[0]
            if not ready:
                raise TimeoutError
            for number in ready:
                data = os.read(number, 1 << 16)
                found[number].append(data)
                left -= set() if data else {number}
    finally:
        os.close(out)
        os.close(err)
    stdout, stderr = (b"".join(found[number]).decode().replace("\r\n", "\n") for number in (out, err))
    return stdout, stderr


_server: Server | None = None
_first = threading.Lock()  # threads that run commands side by side may all be the first to ask


def server() -> Server:
    """Return the one server of this process; it starts when first asked for."""
    global _server
    with _first:
        if _server is None:
            _server = Server()
    return _server


def stop() -> None:
    """End the server, where there is one."""
    global _server
    if _server is not None:
        _server.stop()
        _server = None


def serve(listener: socket.socket) -> None:
    """Serve until whoever started this is gone."""
    import lens.cli.commands

    for module in pkgutil.iter_modules(lens.cli.commands.__path__, "lens.cli.commands."):
        import_module(module.name)
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while 0 not in select.select([0, listener], [], [])[0]:
        connection = listener.accept()[0]
        if os.fork() == 0:
            listener.close()
            carry_out(connection)
        connection.close()


def carry_out(connection: socket.socket) -> None:
    """Run one command in a fork of its own, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, descriptors, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 3)
    child = os.fork()
    if child == 0:
        connection.close()
        request = json.loads(text)
        become(request, descriptors)
        execute(request)
    for descriptor in (*range(3), *descriptors):
        os.close(descriptor)
    connection.sendall(NUMBER.pack(child))
    connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    os._exit(0)


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process what a fresh one would be."""
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.path[0] = request["cwd"]
    sys.argv = ["-m" if request["code"] is None else "-c", *request["arguments"]]
    if "ran_lines" in sys.modules:  # lines count for the test file that asked
        counted = sys.modules["ran_lines"]
        counted.count_for(request["environ"].get(counted.VARIABLE, ""))


def execute(request: dict[str, Any]) -> None:
    """Run what is asked for, and end."""
    try:
        exec(request["first"], {})
        if request["code"] is None:
            runpy.run_module("lens", run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = program = ModuleType("__main__")
            exec(compile(request["code"], "<string>", "exec"), vars(program))
    except SystemExit as ended:
        leave(ended.code)
    except Exception:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(status: Any) -> None:
    """End as an interpreter does, but without taking apart what the server had imported."""
    threading._shutdown()
    atexit._run_exitfuncs()
    if isinstance(status, str):
        print(status, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
