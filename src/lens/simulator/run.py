"""A simulator in this process, in the foreground, until a signal, its time, or the end of its leash."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec

from lens.simulator.handle import LOCAL_NAMES, facts_of
from lens.simulator.log import Log
from lens.simulator.script import Script
from lens.simulator.server import Server, listen_on
from lens.simulator.tls import make_context


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a simulator runs."""

    host: str = "127.0.0.1"
    port: int = 0
    unix: str | None = None
    tls: bool = False
    ca_file: str = "lens-simulator-ca.pem"  # written when tls is on
    log_file: str | None = None
    seconds: float | None = None
    spin_us: int = 0  # stay awake for so long before a write
    cpu: int | None = None  # keep to this core
    leash: bool = False  # end when stdin does


def run(script: Script, place: Place, on_listening: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Serve, and return the statistics at the end. `on_listening` gets url, host, port, pid, ca_file.

    Raises:
        OSError: the address or a file cannot be used.
        TlsMissing: TLS is wanted and trustme is not installed.
    """
    context = make_context(Path(place.ca_file), (*LOCAL_NAMES, place.host)) if place.tls else None
    log = Log(place.log_file)
    listener = listen_on(place.host, place.port, place.unix)
    server = Server(script, listener, tls=context, log=log, spin_ns=place.spin_us * 1000)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    if place.leash:
        server.live_while_open(sys.stdin.fileno())
    ca_file = str(Path(place.ca_file).resolve()) if place.tls else None
    on_listening({**facts_of(listener, tls=place.tls, unix=place.unix, ca_file=ca_file), "pid": os.getpid()})
    if place.cpu is not None:
        keep_to(place.cpu)
    # Nothing here makes cycles worth a pause; what is imported never goes away.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    server.run(None if place.seconds is None else monotonic_ns() + round(place.seconds * 1e9))
    if place.unix:
        Path(place.unix).unlink(missing_ok=True)
    return log.stats()


def keep_to(cpu: int) -> None:
    """Stay on one core. A scheduler that moves the server to its client's core makes it late by milliseconds."""
    os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
