"""python -m lens.simulator: the process behind start(). One JSON line when it listens, one when it ends."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from time import monotonic_ns

import msgspec

from lens.simulator.handle import LOCAL_NAMES, facts_of
from lens.simulator.log import Log
from lens.simulator.script import Script, fields_of
from lens.simulator.server import Server, listen_on
from lens.simulator.tls import make_context


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lens.simulator", description=__doc__)
    parser.add_argument("--script-json", default="{}", help="a Script as JSON")
    parser.add_argument("--script", default="", help="options, as in x-lens-script: ttft=50ms,itl=5ms")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unix", help="listen on this Unix socket instead")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca-file", default="lens-simulator-ca.pem", help="where the authority's PEM goes")
    parser.add_argument("--log", help="write one JSON line a request to this file")
    parser.add_argument("--seconds", type=float, help="end after this")
    parser.add_argument("--spin-us", type=int, default=0, help="do not sleep for the last microseconds before a write")
    parser.add_argument("--cpu", type=int, help="keep to this core, before others where that is allowed")
    parser.add_argument("--leash", action="store_true", help="end when stdin does")
    return parser.parse_args()


def keep_to(cpu: int) -> None:
    """Stay on one core. A scheduler that moves the server to its client's core makes it late by milliseconds."""
    os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def main() -> None:
    """Serve until told to stop."""
    args = arguments()
    script = msgspec.json.decode(args.script_json, type=Script)
    pairs = (part.partition("=") for part in args.script.split(",") if part)
    script = msgspec.structs.replace(script, **fields_of({name: value for name, _, value in pairs}))
    context = make_context(Path(args.ca_file), (*LOCAL_NAMES, args.host)) if args.tls else None
    listener = listen_on(args.host, args.port, args.unix)
    server = Server(script, listener, tls=context, log=Log(args.log), spin_ns=args.spin_us * 1000)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    if args.leash:
        server.live_while_open(sys.stdin.fileno())
    ca_file = str(Path(args.ca_file).resolve()) if args.tls else None
    facts = facts_of(listener, tls=args.tls, unix=args.unix, ca_file=ca_file)
    print(json.dumps({**facts, "pid": os.getpid()}), flush=True)
    if args.cpu is not None:
        keep_to(args.cpu)
    # Nothing here makes cycles worth a pause; what is imported never goes away.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    server.run(None if args.seconds is None else monotonic_ns() + round(args.seconds * 1e9))
    print(json.dumps({"stats": server.log.stats()}), flush=True)


main()
