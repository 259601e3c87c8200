"""What is asked: texts, files in the layouts people have, or made-up prompts of a given length.

Everything is read before the run begins. A file's layout is told by its content, not by its name
alone; a file that cannot be read says which line and what would work.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lens.config.settings import PromptConfig
from lens.errors import ConfigError, FileError
from lens.orchestrator.synthetic import lengths, made_up
from lens.parsing import parse_json
from lens.wire import Prompt

DEFAULT_TEXT = "Write a short story about a lighthouse."
# Where the text of one prompt may stand in an object, first found first.
# No model reads more; a longer prompt of a trace is a slip of the hand.
MOST_WORDS = 4_000_000
MOST_NS = 2**62
_TEXT_KEYS = ("prompt", "text", "text_input", "question", "input", "instruction")
# Whose turn it is in a ShareGPT conversation.
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
          "bing": "assistant", "system": "system", "tool": "tool"}  # fmt: skip


def load_prompts(config: PromptConfig, *, count: int, seed: int = 0) -> tuple[Prompt, ...]:
    """The prompts of a run, at least one; `count` is how many different ones made-up prompts need.

    Raises:
        FileError: a file cannot be read or understood.
        ConfigError: settings contradict each other.
    """
    if config.texts and config.file:
        raise ConfigError("give --prompt or --prompt-file, not both")
    if config.input_tokens and (config.texts or config.file):
        raise ConfigError("--input-tokens makes prompts up; it cannot be joined with --prompt or --prompt-file")
    if config.file:
        prompts = read_prompts(Path(config.file), whole=config.whole)
    elif config.input_tokens:
        sizes = lengths(config.input_tokens, count, seed)
        texts = made_up(sizes, seed=seed, prefix_tokens=config.shared_prefix_tokens)
        prompts = [Prompt(text=text, id=f"made-up-{i}") for i, text in enumerate(texts)]
    else:
        prompts = [Prompt(text=text) for text in config.texts or (DEFAULT_TEXT,)]
    if config.system is not None:
        prompts = [p if p.system or p.messages else msgspec.structs.replace(p, system=config.system) for p in prompts]
    if config.output_tokens:
        outputs = lengths(config.output_tokens, len(prompts), seed + 1)
        prompts = [
            p if p.max_tokens else msgspec.structs.replace(p, max_tokens=n)
            for p, n in zip(prompts, outputs, strict=True)
        ]
    return tuple(prompts)


def read_prompts(path: Path, *, whole: bool = False) -> list[Prompt]:
    """The prompts of a file: JSON Lines, a JSON array (ShareGPT too), CSV, or text with one a line.

    Raises:
        FileError: it cannot be read, or holds no prompt.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"prompt file {path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"prompt file {path}: not UTF-8 text (byte {error.start})") from error
    prompts = list(_prompts_of(text, path, whole))
    if not prompts:
        raise FileError(f"prompt file {path}: no prompt in it; write one a line, or JSON Lines with a prompt field")
    return prompts


def read_trace_ns(path: Path) -> list[int]:
    """Timestamps of a trace, ns: JSON Lines with `timestamp` in milliseconds (Mooncake) or `timestamp_s`.

    Raises:
        FileError: it cannot be read, or a line holds no timestamp.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FileError(f"trace {path}: cannot read: {error.strerror}") from error
    times = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        item = _decoded(line, f"trace {path}: line {number}")
        at = item.get("timestamp"), item.get("timestamp_s")
        found = [(value, unit) for value, unit in zip(at, (1e6, 1e9), strict=True) if isinstance(value, int | float)]
        if not found:
            raise FileError(f"trace {path}: line {number} has no timestamp (ms) or timestamp_s")
        value, unit = found[0]
        if not 0 <= value < MOST_NS / unit:
            raise FileError(f"trace {path}: line {number}: its timestamp is no time of a trace")
        times.append(round(value * unit))
    if not times:
        raise FileError(f"trace {path}: it is empty")
    return times


def _prompts_of(text: str, path: Path, whole: bool) -> Iterator[Prompt]:
    where = f"prompt file {path}"
    head = text.lstrip()[:1]
    if whole:
        if text.strip():
            yield Prompt(text=text.strip())
    elif path.suffix == ".csv":
        yield from _rows(text, where)
    elif head == "[" and path.suffix in (".json", ""):
        yield from _array(text, where)
    elif head == "{" and path.suffix == ".json":
        yield from _document(text, where)
    elif head == "{" or path.suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                at = f"{where}: line {number}"
                yield prompt_of(_decoded(line.encode(), at), at)
    else:
        for line in text.splitlines():
            if line.strip():
                yield Prompt(text=line.strip())


def _array(text: str, where: str) -> Iterator[Prompt]:
    for number, item in enumerate(_decoded(text.encode(), where, list), 1):
        yield prompt_of(item, f"{where}: item {number}")


def _document(text: str, where: str) -> Iterator[Prompt]:
    """One object: a test file with a list under a name of its own, or JSON Lines under another suffix."""
    try:
        document = parse_json(text)
    except ValueError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield prompt_of(_decoded(line.encode(), f"{where}: line {number}"), f"{where}: line {number}")
        return
    items = next((document[k] for k in ("prompts", "test_cases", "tests", "data") if k in document), [document])
    if not isinstance(items, list):
        raise FileError(f"{where}: a list of prompts is wanted")
    for number, item in enumerate(items, 1):
        yield prompt_of(item, f"{where}: item {number}")


def _rows(text: str, where: str) -> Iterator[Prompt]:
    """CSV with a header line; the other columns of a known name count too."""
    try:
        reader = csv.DictReader(io.StringIO(text))
        names, rows = reader.fieldnames or [], list(reader)
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


def prompt_of(item: Any, where: str) -> Prompt:
    """A prompt from one item: a text, or an object with prompt, text, messages or conversations.

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


def _words_of(item: dict[str, Any], where: str) -> str:
    """A made-up text of the length that a trace gives; equal hash_ids at the beginning are equal words."""
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
    """A ShareGPT conversation up to the last thing the user says: what follows is the answer to measure."""
    turns = []
    for turn in conversation if isinstance(conversation, list) else []:
        role = _ROLES.get(str(turn.get("from", turn.get("role"))).lower()) if isinstance(turn, dict) else None
        if role is None:
            raise FileError(f"{where}: a turn of the conversation has no known speaker")
        turns.append({"role": role, "content": turn.get("value", turn.get("content", ""))})
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    if not turns:
        raise FileError(f"{where}: nobody asks anything in this conversation")
    yield from turns


def _decoded(data: bytes, where: str, kind: Any = dict[str, Any]) -> Any:
    try:
        return parse_json(data, kind)
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
