"""What is asked: texts, files in the layouts people have, or made-up prompts of a given length.

Everything is read before the run begins. A file's layout is told by its content, not by its name
alone; a file that cannot be read says which line and what would work.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lens.config.settings import PromptConfig
from lens.errors import ConfigError, FileError
from lens.orchestrator.sessions.blocks import Blocks, block_text
from lens.orchestrator.synthetic import MOST_WORDS, lengths, made_up
from lens.orchestrator.text_file import read_text
from lens.parsing import parse_json, text_lines
from lens.wire import Prompt

DEFAULT_TEXT = "Write a short story about a lighthouse."
# Where the text of one prompt may stand in an object, first found first.
# csv refuses longer fields than this; its own limit of 131,072 characters is less than a model reads.
MOST_FIELD = 2**31 - 1
_OPEN_QUOTE = "unexpected end of data"  # in the words of the csv module
# Files whose layout the name tells; any other may be one prompt as a whole.
_LAYOUTS = (".csv", ".json", ".jsonl", ".ndjson")
_TEXT_KEYS = ("prompt", "text", "text_input", "question", "input", "instruction")
# Whose turn it is in a ShareGPT conversation.
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
          "bing": "assistant", "bard": "assistant", "model": "assistant", "ai": "assistant", "bot": "assistant",
          "system": "system", "tool": "tool"}  # fmt: skip


class _NothingAsked(FileError):
    """A conversation in which nobody asks anything."""


def load_prompts(
    config: PromptConfig, *, count: int, seed: int = 0, warnings: list[str] | None = None
) -> tuple[Prompt, ...]:
    """Return the prompts of a run, at least one; `count` is how many different ones made-up prompts need.

    What was left out of a file is added to `warnings`.

    Raises:
        FileError: a file cannot be read or understood.
        ConfigError: settings contradict each other.
    """
    if config.whole is not None and not config.file:
        raise ConfigError("--lines (prompts.whole) has no effect without --prompt-file")
    if config.shared_prefix_tokens and not config.input_tokens:
        raise ConfigError("prompts.shared_prefix_tokens has no effect without --input-tokens")
    if config.texts and config.file:
        raise ConfigError("give --prompt or --prompt-file, not both")
    if config.input_tokens and (config.texts or config.file):
        raise ConfigError("--input-tokens makes prompts up; it cannot be joined with --prompt or --prompt-file")
    if config.file:
        prompts = read_prompts(Path(config.file), whole=bool(config.whole), warnings=warnings)
    elif config.input_tokens:
        sizes = lengths(config.input_tokens, count, seed, option="--input-tokens")
        texts = made_up(sizes, seed=seed, prefix_tokens=config.shared_prefix_tokens)
        prompts = [Prompt(text=text, id=f"made-up-{i}") for i, text in enumerate(texts)]
    else:
        prompts = [Prompt(text=text) for text in config.texts or (DEFAULT_TEXT,)]
    if config.system is not None:
        prompts = [p if p.system or p.messages else msgspec.structs.replace(p, system=config.system) for p in prompts]
    if config.output_tokens:
        outputs = lengths(config.output_tokens, len(prompts), seed + 1, option="--output-tokens")
        prompts = [
            p if p.max_tokens else msgspec.structs.replace(p, max_tokens=n)
            for p, n in zip(prompts, outputs, strict=True)
        ]
    return tuple(prompts)


def read_prompts(path: Path, *, whole: bool = False, warnings: list[str] | None = None) -> list[Prompt]:
    """Return the prompts of a file: JSON Lines, a JSON array (ShareGPT too), CSV, or text with one a line.

    whole: a text file is one prompt. Conversations in which nobody asks anything are left out, and counted in
    `warnings`.

    Raises:
        FileError: it cannot be read, or holds no prompt.
    """
    text = read_text(path, "prompt file")
    found = list(_prompts_of(text, path, whole, warnings))
    prompts = [one for one in found if isinstance(one, Prompt)]
    skipped = [one for one in found if isinstance(one, _NothingAsked)]
    if skipped and not prompts:
        raise skipped[0]
    if not prompts:
        raise FileError(f"prompt file {path}: no prompt in it; write one a line, or JSON Lines with a prompt field")
    if skipped and warnings is not None:
        warnings.append(f"{len(skipped)} of {len(found)} conversations were skipped; the first: {skipped[0]}")
    return prompts


def _prompts_of(
    text: str, path: Path, whole: bool, warnings: list[str] | None = None
) -> Iterator[Prompt | _NothingAsked]:
    """Yield the prompts of a file, and why a conversation cannot be asked."""
    where = f"prompt file {path}"
    head = text.lstrip()[:1]
    if whole and path.suffix not in _LAYOUTS:
        if text.strip():
            yield Prompt(text=text.strip("\r\n"))
    elif path.suffix == ".csv" and _is_trace(text):
        yield from _trace_prompts(text, path, warnings)
    elif path.suffix == ".csv":
        yield from _rows(text, where)
    elif head == "[" and path.suffix in (".json", ""):
        yield from _array(_decoded(text.encode(), where, list), where)
    elif head == "{" and path.suffix == ".json":
        yield from _document(text, where)
    elif head == "{" or path.suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(text, where)
    else:
        for line in text_lines(text):
            if line.strip():
                yield Prompt(text=line.strip(" \t\r"))


def _is_trace(text: str) -> bool:
    """Return whether a table is a trace of requests: their lengths, not what was asked."""
    from lens.orchestrator.traces import is_table

    return is_table(text.partition("\n")[0].strip().split(","))


def _json_lines(text: str, where: str) -> Iterator[Prompt | _NothingAsked]:
    for number, line in enumerate(text_lines(text), 1):
        if line.strip():
            at = f"{where}: line {number}"
            yield _askable(_decoded(line.encode(), at), at)


def _array(items: list[Any], where: str) -> Iterator[Prompt | _NothingAsked]:
    for number, item in enumerate(items, 1):
        yield _askable(item, f"{where}: item {number}")


def _askable(item: Any, where: str) -> Prompt | _NothingAsked:
    try:
        return prompt_of(item, where)
    except _NothingAsked as error:
        return error


def _document(text: str, where: str) -> Iterator[Prompt | _NothingAsked]:
    """Yield the prompts of one object: a test file with a list under its own name, or JSON Lines."""
    try:
        document = parse_json(text)
    except ValueError:
        yield from _json_lines(text, where)
        return
    items = next((document[k] for k in ("prompts", "test_cases", "tests", "data") if k in document), [document])
    if not isinstance(items, list):
        raise FileError(f"{where}: a list of prompts is wanted")
    yield from _array(items, where)


def _trace_prompts(text: str, path: Path, warnings: list[str] | None) -> Iterator[Prompt]:
    """Yield a prompt of made-up words for each request of a trace's table."""
    from lens.orchestrator.traces import table_rows

    for row in table_rows(text, path, warnings):
        words = block_text(Blocks(ids=(), words=row.asked, scope=f"row{row.number}"))
        yield Prompt(text=words, id=f"row-{row.number}", max_tokens=row.answered or None)


def _rows(text: str, where: str) -> Iterator[Prompt]:
    """CSV with a header line; the other columns of a known name count too."""
    import csv

    csv.field_size_limit(MOST_FIELD)
    try:
        names, rows = _table_of(text, strict=True)
    except csv.Error as error:
        if str(error) == _OPEN_QUOTE:
            raise FileError(f"{where}: a quote is opened and never closed; double it where it is meant") from None
        try:
            names, rows = _table_of(text, strict=False)  # what stands behind a closing quote is taken as it is
        except csv.Error as error:
            raise FileError(f"{where}: {error}") from None
    if not any(key in names for key in _TEXT_KEYS):
        raise FileError(f"{where}: no column {', '.join(_TEXT_KEYS[:3])}; its columns are {', '.join(names) or 'none'}")
    for number, row in enumerate(rows, 1):
        filled: dict[str, Any] = {k: v for k, v in row.items() if v and (k in _TEXT_KEYS or k in ("id", "system"))}
        limit = row.get("max_tokens") or ""
        if limit:
            if not re.fullmatch(r"[0-9]{1,9}", limit):
                raise FileError(f"{where}: row {number}: max_tokens {limit!r} is no number")
            filled["max_tokens"] = int(limit)
        yield prompt_of(filled, f"{where}: row {number}")


def _table_of(text: str, *, strict: bool) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """Return names and rows of a CSV with a header line."""
    import csv

    reader = csv.DictReader(io.StringIO(text, newline=""), strict=strict)
    return reader.fieldnames or [], list(reader)


def prompt_of(item: Any, where: str) -> Prompt:
    """Return a prompt from one item: a text, or an object with prompt, text, messages or conversations.

    Raises:
        FileError: it holds none of them.
    """
    if isinstance(item, str):
        return Prompt(text=item)
    if not isinstance(item, dict):
        raise FileError(f"{where}: a text or an object is wanted")
    limit = next((item[k] for k in ("max_tokens", "output_tokens", "output_length") if item.get(k)), None)
    found = {
        "id": str(item.get("id") or item.get("name") or "") or None,
        "system": item.get("system"),
        "max_tokens": limit,
        "extra_body": item.get("extra_body", {}),
    }
    messages = item.get("messages")
    if messages is None and "conversations" in item:
        messages = list(_turns(item["conversations"], where))
    if messages:
        found["messages"] = messages
    else:
        text = next((item[key] for key in _TEXT_KEYS if item.get(key) is not None), None)
        text = _alpaca(item) or text
        if text is None and isinstance(item.get("input_length"), int):
            # A trace says how long its prompts were, not what they said (Mooncake): each gets words of its own.
            text = _words_of(item, where)
        if text is None:
            raise FileError(f"{where}: no prompt, text or messages; its keys are {', '.join(item) or 'none'}")
        found["text"] = text
    try:
        return msgspec.convert(found, Prompt)
    except msgspec.ValidationError as error:
        raise FileError(f"{where}: {error}") from None


def _alpaca(item: dict[str, Any]) -> str | None:
    """Return the instruction, and what it is about, as Alpaca's rows have them; None where it is another row."""
    instruction, about = item.get("instruction"), item.get("input") or ""
    if not isinstance(instruction, str) or not isinstance(about, str) or any(item.get(k) for k in _TEXT_KEYS[:4]):
        return None
    return f"{instruction}\n\n{about}" if about else instruction


def _words_of(item: dict[str, Any], where: str) -> str:
    """Return a made-up text of the length that a trace gives; equal hash_ids at the beginning are equal words."""
    length = max(item["input_length"], 1)
    if length > MOST_WORDS:
        raise FileError(f"{where}: input_length {length:,} is more than any model reads (at most {MOST_WORDS:,})")
    blocks = item.get("hash_ids")
    if not isinstance(blocks, list) or not blocks:
        return made_up([length], seed=zlib.crc32(where.encode()))[0]
    size = -(-length // len(blocks))
    parts = [made_up([size], seed=zlib.crc32(str(block).encode()))[0] for block in blocks]
    return " ".join(" ".join(parts).split(" ")[:length])


def _turns(conversation: Any, where: str) -> Iterator[dict[str, Any]]:
    """Yield a ShareGPT conversation up to the user's last turn; what follows is the answer to measure."""
    turns = []
    for turn in conversation if isinstance(conversation, list) else []:
        role = ROLES.get(str(turn.get("from", turn.get("role"))).lower()) if isinstance(turn, dict) else None
        if role is None:
            raise _NothingAsked(f"{where}: a turn of the conversation has no known speaker")
        turns.append({"role": role, "content": turn.get("value", turn.get("content", ""))})
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    if not turns:
        raise _NothingAsked(f"{where}: this conversation has no user message")
    yield from turns


def _decoded(data: bytes, where: str, kind: Any = dict[str, Any]) -> Any:
    try:
        return parse_json(data, kind)
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
