"""`python -m lens`, `lll` and `llm-latency-lens` start here.

Whatever is imported here is imported before a Ctrl-C is met without a traceback: next to nothing.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn

    Handler = Any  # of a signal
else:
    import _signal as signal  # `signal` itself makes enumerations first, which takes milliseconds

# New containers before the collector looks for cycles. A start makes tens of thousands that stay, so that the usual
# 700 cost a tenth of it; a collection this rare costs as little as one of each hundred of those.
COLLECT_AFTER = 100_000
INTERRUPTED, USAGE = 130, 2  # of errors.ExitCode, which is not loaded yet
SAID = "lll: interrupted\n"
CLASH = (
    "another distribution that is imported as `lens` replaced files of llm-latency-lens; uninstall it, and install "
    "llm-latency-lens again or in an environment of its own (pipx install llm-latency-lens, uvx llm-latency-lens)"
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _replace((signal.SIGINT, signal.default_int_handler, _leave), (signal.SIGTERM, signal.SIG_DFL, _leave))
    gc.set_threshold(COLLECT_AFTER)
    codes: list[int] = []
    if not getattr(atexit, "_ncallbacks", lambda: 1)():  # nobody (a measurement of coverage) is to be called after it
        atexit.register(_end_quickly, codes)
    try:
        from lens.cli.errors import run
        from lens.cli.main import lll

        _replace((signal.SIGINT, _leave, signal.default_int_handler), (signal.SIGTERM, _leave, signal.SIG_DFL))
        code = run(lll, sys.argv[1:])
    except ImportError as error:
        if not (error.name or "").startswith("lens"):
            raise
        sys.stderr.write(f"lll: {error}: {CLASH}\n")
        code = USAGE
    except KeyboardInterrupt:  # before or after anything that could say so
        sys.stderr.write(SAID)
        code = INTERRUPTED
    # What is left is the end of the interpreter, which a Ctrl-C would only litter with a traceback.
    _replace((signal.SIGINT, signal.default_int_handler, signal.SIG_IGN))
    gc.freeze()  # what is left ends with the process
    codes.append(code)
    sys.exit(code)


def _replace(*changes: tuple[int, Handler, Handler]) -> None:
    """Replace handlers of signals, (signal, old, new) each; one that is not the old one stays."""
    for number, old, new in changes:
        if signal.getsignal(number) == old:
            try:
                signal.signal(number, new)
            except ValueError:  # not in the main thread, where no signal arrives
                return


def _leave(*_: object) -> NoReturn:
    """End while the program is still being imported: there is nothing to clean up, and a traceback says nothing."""
    try:
        os.write(2, SAID.encode())
    finally:
        os._exit(INTERRUPTED)


def _end_quickly(codes: list[int]) -> None:
    """End the process here, the last of what is called at its end.

    Else all that was loaded would be taken apart, which takes as long as a bare Python from start to end. Where
    something went wrong, or cannot be written, that is left to Python, which says so.
    """
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        return
    if codes:
        os._exit(codes[0])


if __name__ == "__main__":
    main()
