"""A folder of made-up runs, and one that is still written to."""

from __future__ import annotations

import os
import time

import msgspec
import report_runs as runs

from lens.history.write import MAGIC, RunProgress, message

JOURNAL = "now.jsonl.journal.msgpack"
NOTE = RunProgress(
    elapsed_ns=30_000_000_000, begun=67, done=60, failed=4, total=100, stage="8 at a time", spent_nusd=12_300_000
)


def info(model, number, **more):
    """The header of a run of a month's day."""
    header = runs.info(model, labels={"region": "eu" if number % 2 else "us"}, **more)
    return msgspec.structs.replace(header, run_id=f"run-{number}", started_at=f"2026-03-{number:02}T10:00:00Z")


def folder(root):
    """Three runs, of which two are below, and files that are none."""
    (root / "nightly").mkdir()
    runs.write(root, "one.jsonl", info("fast-1", 1), runs.loaded(60))
    runs.write(root / "nightly", "two.msgpack", info("deep-2", 2), runs.loaded(60, model="deep-2", slow=1.5, seed=2))
    runs.write(root / "nightly", "three.jsonl", info("fast-1", 3), runs.loaded(40, failures=False, seed=3))
    (root / "notes.json").write_text('{"schema": "of something else"}')
    (root / "broken.jsonl").write_text("nothing of the kind\n")
    (root / ".hidden.jsonl").write_bytes((root / "one.jsonl").read_bytes())
    return root


def begin_journal(root):
    """Begin the journal of a run that goes on, and return its path."""
    header = msgspec.structs.replace(info("live-3", 9), ended_ns=None, ended_at=None)
    path = root / JOURNAL
    path.write_bytes(MAGIC + message(header))
    return path


def go_on(path, records):
    """Write records and notes to a journal as a run does."""
    with path.open("ab") as file:
        for record in records:
            file.write(message(record))


def long_ago(path, days=2):
    """Make a file look as if nobody has written to it for days."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))
