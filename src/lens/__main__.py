"""`python -m lens`, `lll` and `llm-latency-lens` start here."""

from __future__ import annotations

import gc
import sys

# New containers before the collector looks for cycles. A start makes tens of thousands that stay, so that the usual
# 700 cost a tenth of it; a collection this rare costs as little as one of each hundred of those.
COLLECT_AFTER = 100_000
INTERRUPTED, USAGE = 130, 2  # of errors.ExitCode, which is not loaded yet
CLASH = (
    "another distribution that is imported as `lens` replaced files of llm-latency-lens; uninstall it, and install "
    "llm-latency-lens again or in an environment of its own (pipx install llm-latency-lens, uvx llm-latency-lens)"
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(COLLECT_AFTER)
    try:
        from lens.cli.errors import run
        from lens.cli.main import lll

        code = run(lll, sys.argv[1:])
    except ImportError as error:
        if not (error.name or "").startswith("lens"):
            raise
        sys.stderr.write(f"lll: {error}: {CLASH}\n")
        code = USAGE
    except KeyboardInterrupt:  # before or after anything that could say so
        sys.stderr.write("lll: interrupted\n")
        code = INTERRUPTED
    gc.freeze()  # what is left ends with the process
    sys.exit(code)


if __name__ == "__main__":
    main()
