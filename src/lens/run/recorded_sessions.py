"""Sessions out of run files: what was sent before is sent again, in the same sessions, with words of the same lengths.

A run file holds lengths, times and turns, not what was asked. So prompts are made up; answers are those of the file
where it was written with --save-text. Requests of no session are sessions of one turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lens.config.settings import RunConfig
from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import MAGIC
from lens.model import Record, Usage
from lens.orchestrator.sessions.blocks import Blocks
from lens.orchestrator.sessions.session import AUTO, RUN, Message, Session, Turn
from lens.orchestrator.synthetic import MOST_WORDS, made_up

# What the first bytes of a run hold: JSON Lines, and a JSON document.
_HEADS = ((b'"run_id"', b'"schema"'), (b'"test_config"', b'"targets"'))
_HEAD_BYTES = 4096


def recorded_sessions(config: RunConfig) -> tuple[Session, ...]:
    """Return the sessions of the run file that is named; none where the file is another or there is none.

    Raises:
        FileError: it cannot be read, or nothing of it can be sent again.
    """
    said = config.sessions
    if said.file is None or said.format not in (AUTO, RUN):
        return ()
    path = Path(said.file)
    if said.format == AUTO and not is_run_file(path):
        return ()
    found = sessions_of(read_run(path).records)
    if not found:
        raise FileError(f"session file {path}: no request of this run has token counts")
    return found


def is_run_file(path: Path) -> bool:
    """Return whether a file begins as the runs of this program do."""
    try:
        if not path.is_file():  # what was read of a pipe nobody could read again
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(MAGIC) or any(all(name in head for name in names) for names in _HEADS)


def sessions_of(records: Iterable[Record]) -> tuple[Session, ...]:
    """Return the sessions of records, in the order in which they began; requests without counts are left out."""
    groups: dict[str, dict[int, Record]] = {}
    for record in records:
        turn = record.session
        if record.usage is not None and record.usage.input_tokens and not record.warmup:
            name = turn.session_id if turn is not None else record.request_id
            groups.setdefault(name, {})[turn.turn if turn is not None else 0] = record
    begins = {name: min(map(_begin_ns, turns.values())) for name, turns in groups.items()}
    zero = min(begins.values(), default=0)
    ordered = sorted(groups, key=begins.__getitem__)
    return tuple([_session(name, groups[name], begins[name] - zero) for name in ordered])


def _begin_ns(record: Record) -> int:
    planned = record.session.planned_ns if record.session is not None else None
    return next(at for at in (planned, record.stamps.intended, record.stamps.start) if at is not None)


def _session(name: str, records: dict[int, Record], start_ns: int) -> Session:
    """Return a session; a turn that is missing is waited for by nobody."""
    numbers = {old: new for new, old in enumerate(sorted(records))}
    turns: list[Turn] = []
    sizes: list[int] = []  # words of each turn with all that it sends, its answer included
    for old in numbers:
        record = records[old]
        about, usage = record.session, record.usage or Usage()
        after = tuple([numbers[one] for one in (about.after if about is not None else ()) if one in numbers])
        given = min(usage.input_tokens or 1, MOST_WORDS)
        history = (*turns[after[0]].history, after[0]) if len(after) == 1 and sizes[after[0]] < given else ()
        own = given - (sizes[history[-1]] if history else 0)
        answered = usage.output_tokens or 0
        turns.append(
            Turn(
                messages=(),
                blocks=Blocks(ids=(), words=own, scope=f"{name}:{old}"),
                answer=_answer(record, answered, len(turns)),
                history=history,
                after=after,
                think_ns=about.think_ns if about is not None else 0,
                tool_ns=about.tool_ns if about is not None else 0,
                max_tokens=answered or None,
            )
        )
        sizes.append(given + answered)
    return Session(id=name, turns=tuple(turns), start_ns=start_ns)


def _answer(record: Record, words: int, seed: int) -> Message:
    text = record.text if record.text is not None else made_up([max(words, 1)], seed=seed)[0]
    return {"role": "assistant", "content": text}
