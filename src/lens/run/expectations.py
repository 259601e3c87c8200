"""What answers are expected to be (--expect), and whether an answer is that; judged as soon as it has come.

No expectation can hang: the patterns of a schema are matched in linear time, a regular expression has a time limit.
Why an answer is not valid is told without any of its text, which files hold only where --save-text asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from lens.config.settings import RunConfig
from lens.errors import ConfigError, FileError
from lens.model import Judgement, Record, Status, ToolCall
from lens.orchestrator.text_marks import TextTimes
from lens.parsing import parse_json, read_small

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.metrics.goodput import Slo

FORMS = "json, schema:FILE, tool:NAME or regex:PATTERN"
# What a regular expression may take on one answer; it is written for short work.
REGEX_SECONDS = 0.25
# Metrics that nothing is known of where nothing is expected.
JUDGED = ("valid", "valid_rate", "time_to_valid_ms")


class Answer:
    """An answer that is judged."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.text = record.text or ""

    @cached_property
    def _times(self) -> TextTimes:
        return TextTimes(self.text, self.record.events)

    def time_of(self, end: int) -> int | None:
        """Return when so many characters of the text had come; of an answer in one piece when it had."""
        stamps = self.record.stamps
        if not len(self.record.events):
            return None if stamps.end is None else stamps.end - stamps.start
        return self._times.at(end)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer."""
        return self.record.tool_calls

    def calls_ready(self, calls: Sequence[ToolCall]) -> int | None:
        """Return when the last of these calls was complete."""
        ready = [call.last_ns for call in calls if call.last_ns is not None]
        return max(ready) if ready else self.time_of(0)

    @cached_property
    def document(self) -> tuple[Any, int | None]:
        """The JSON of the answer, and when it was whole: its text, or where there is none its first tool call's.

        Raises:
            Unmet: it is none.
        """
        said = bool(self.text.strip())
        source = self.text if said or not self.calls else self.calls[0].arguments
        try:
            value = parse_json(source)
        except ValueError:
            raise Unmet("the answer is empty" if not source.strip() else "the answer is not JSON") from None
        return value, self.time_of(len(self.text.rstrip())) if said else self.calls_ready(self.calls[:1])


class Unmet(Exception):
    """An answer is not what was expected; the message says why."""


class Expectation(NamedTuple):
    """One thing that an answer must be: its text as it was given, and what judges an answer."""

    said: str
    check: Callable[[Answer], int | None]  # when all of it had come; raises Unmet


def expectations(texts: Sequence[str]) -> tuple[Expectation, ...]:
    """Return what these texts expect.

    Raises:
        ConfigError: one is no expectation, or its library is missing. FileError: a schema cannot be read.
    """
    return tuple([_parse(text) for text in texts])


def judge_of(texts: Sequence[str]) -> Callable[[Record], Record] | None:
    """Return what judges the answer of a record; None where nothing is expected.

    Raises:
        ConfigError: one is no expectation, or its library is missing. FileError: a schema cannot be read.
    """
    wanted = expectations(texts)
    return partial(judged, wanted=wanted) if wanted else None


def check_expected(config: RunConfig, gates: Sequence[Gate], slos: Sequence[Slo]) -> None:
    """Check that something is expected of the answers where a threshold or an SLO is about that.

    Raises:
        ConfigError: nothing is.
    """
    if config.prompts.expect:
        return
    named = [gate.threshold.metric for gate in gates] + [slo.metric for slo in slos]
    if wrong := [name for name in named if name in JUDGED]:
        raise ConfigError(f"{wrong[0]} is measured of what is expected of the answers alone: add --expect ({FORMS})")


def _parse(text: str) -> Expectation:
    kind, _, rest = text.partition(":")
    if text == "json":
        return Expectation(text, lambda answer: answer.document[1])
    if kind not in _KINDS or not rest:
        raise ConfigError(f"--expect {text!r}: write {FORMS}")
    return Expectation(text, _KINDS[kind](rest))


def _schema(path: str) -> Callable[[Answer], int | None]:
    """Return what holds answers to the JSON schema in a file."""
    validator = _validator(path)

    def check(answer: Answer) -> int | None:
        document, at = answer.document
        for error in validator.iter_errors(document):
            where = "/".join(map(str, error.schema_path)) or "the schema"
            raise Unmet(f"the answer does not meet {where} of the schema")
        return at

    return check


def _validator(path: str) -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise ConfigError("--expect schema: needs an extra: pip install 'llm-latency-lens[expect]'") from None
    try:
        schema = parse_json(read_small(Path(path)).decode())
    except (OSError, ValueError) as error:
        raise FileError(f"--expect schema:{path}: cannot read a JSON schema: {error}") from None
    try:
        return jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse_retrieval
        )
    except (ValueError, TypeError) as error:  # a ValidationError of the schema is a ValueError too
        why = str(error).partition("\n")[0]
        raise ConfigError(f"--expect schema:{path}: it is not a JSON schema that can be used: {why}") from None


def _refuse_retrieval(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched; put what it holds under $defs of the schema")


def _tool(name: str) -> Callable[[Answer], int | None]:
    """Return what wants a call of this tool with complete arguments."""

    def check(answer: Answer) -> int | None:
        calls = [call for call in answer.calls if call.name == name]
        if not calls:
            raise Unmet(f"no call of the tool {name}")
        if any(call.valid is False for call in calls):
            raise Unmet(f"the arguments of the tool {name} are not complete JSON")
        return answer.calls_ready(calls)

    return check


def _regex(pattern: str) -> Callable[[Answer], int | None]:
    """Return what wants a text in which this pattern is found."""
    try:
        import regex
    except ImportError:
        raise ConfigError("--expect regex: needs an extra: pip install 'llm-latency-lens[expect]'") from None
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ConfigError(f"--expect regex:{pattern}: it is not a regular expression: {error}") from None

    def check(answer: Answer) -> int | None:
        try:
            found = compiled.search(answer.text, timeout=REGEX_SECONDS)
        except TimeoutError:
            raise Unmet(f"the regular expression took more than {REGEX_SECONDS} s") from None
        if found is None:
            raise Unmet("the regular expression is not found")
        return answer.time_of(max(found.end(), 1))

    return check


_KINDS: dict[str, Callable[[str], Callable[[Answer], int | None]]] = {
    "schema": _schema,
    "tool": _tool,
    "regex": _regex,
}


def judged(record: Record, wanted: Sequence[Expectation]) -> Record:
    """Return the record with whether its answer is what was wanted; a request that failed has no answer to judge."""
    if record.status is not Status.SUCCESS:
        return record
    answer = Answer(record)
    try:
        times = [one.check(answer) for one in wanted]
    except Unmet as unmet:
        return replace(record, judged=Judgement(valid=False, reason=str(unmet)))
    usable = None if None in times else max([at for at in times if at is not None])
    return replace(record, judged=Judgement(valid=True, usable_ns=usable))
