"""python -m lens.simulator: the process behind start(). One JSON line when it listens, one when it ends."""

from __future__ import annotations

import argparse
import json
import sys

import msgspec

from lens.simulator.run import Place, run
from lens.simulator.script import Script, ScriptError, amended
from lens.simulator.tls import TlsMissing


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m lens.simulator", description=__doc__)
    parser.add_argument("--place", default="{}", help="a Place as JSON")
    parser.add_argument("--script-json", default="{}", help="a Script as JSON")
    parser.add_argument("--script", default="", help="options over it, as in x-lens-script: ttft=50ms,itl=5ms")
    args = parser.parse_args()
    try:
        place = msgspec.json.decode(args.place, type=Place)
        script = amended(msgspec.json.decode(args.script_json, type=Script), args.script)
        stats = run(script, place, lambda facts: print(json.dumps(facts), flush=True))
    except (OSError, TlsMissing, ScriptError, msgspec.DecodeError) as error:
        sys.exit(f"simulator: {error}")
    print(json.dumps({"stats": stats}), flush=True)


main()
