"""`python -m lens`, `lll` and `llm-latency-lens` start here."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from lens.cli.errors import run
    from lens.cli.main import lll

    sys.exit(run(lll, sys.argv[1:]))


if __name__ == "__main__":
    main()
