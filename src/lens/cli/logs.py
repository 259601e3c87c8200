"""`--log-level`: what the loggers named `lens.*` say goes to standard error, a line each, without secrets.

error   what ended a run, or could not be written
warn    what is not as it was asked for (the default)
info    what was decided: sources of settings, targets, load, how it ended
debug   connections and their phases, retries, each request's outcome
trace   each request and the head of each answer, as they were sent
"""

from __future__ import annotations

import logging
import sys

from lens.secrets import one_line

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG, "trace": 5}
# A line is cut here; a body that was asked for with trace may be long.
MOST_CHARS = 4000


class _Lines(logging.Formatter):
    """A message as one line of the program, masked."""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("lens.")
        return f"lll: {record.levelname.lower()} {name}: {one_line(record.getMessage(), MOST_CHARS)}"


class _StandardError(logging.Handler):
    """Writes to what is standard error at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def set_up_logging(level: str | None) -> None:
    """Write what the loggers of this package say from a level on; the last call counts."""
    logger = logging.getLogger("lens")
    logging.addLevelName(LEVELS["trace"], "TRACE")
    logging.addLevelName(logging.WARNING, "WARN")
    logger.handlers = [one for one in logger.handlers if not isinstance(one, _StandardError)]
    handler = _StandardError()
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(LEVELS.get((level or "warn").lower(), logging.WARNING))
