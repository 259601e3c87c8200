"""python -m lens.simulator: the process behind start(). One JSON line when it listens, one when it ends."""

from __future__ import annotations

import argparse
import json
import sys

import msgspec

from lens.simulator.launch import ServerOptions, run
from lens.simulator.script import Script, ScriptError, apply_options
from lens.simulator.server import TlsMissing


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m lens.simulator", description=__doc__)
    parser.add_argument("--options", "--place", default="{}", help="ServerOptions as JSON")
    parser.add_argument("--script-json", default="{}", help="a Script as JSON")
    parser.add_argument("--script", default="", help="options over it, as in x-lens-script: ttft=50ms,itl=5ms")
    args = parser.parse_args()
    try:
        options = msgspec.json.decode(args.options, type=ServerOptions)
        script = apply_options(msgspec.json.decode(args.script_json, type=Script), args.script)
        stats = run(script, options, lambda facts: print(json.dumps(facts), flush=True))
    except (OSError, TlsMissing, ScriptError, msgspec.DecodeError) as error:
        sys.exit(f"simulator: {error}")
    print(json.dumps({"stats": stats}), flush=True)


main()
