"""The formats there are, and the one contract they keep.

An export takes the table of a run and gives bytes back, a piece at a time; it opens nothing and writes nothing,
so the same class serves a file, a pipe, a push and a test. A format's module is loaded when it is asked for.
Others may add theirs through the entry-point group "lens.exporters".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lens import plugins
from lens.errors import ConfigError, LensError, lacking
from lens.export.isolated import isolated_pieces, memory_is_limited
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from lens.metrics.summary import Summary
    from lens.metrics.table import Table


class Export(Protocol):
    """One run in one format."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool) -> None:
        """single: the run is one request, and the format may show it without a list around it."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        """Yield the run in pieces of bounded size.

        table: the requests; info: the header, now that the run has ended; summary: what they come to.
        """


class RecordExport(Protocol):
    """An export that takes records one by one, as plugins may: begin, add for each record, end."""

    def begin(self) -> bytes: ...

    def add(self, record: Record) -> bytes: ...

    def end(self, info: RunInfo, summary: Summary) -> bytes: ...


class PerRecord:
    """Makes an export of one that takes records."""

    def __init__(self, export: RecordExport) -> None:
        self._export = export

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        yield self._export.begin()
        yield from map(self._export.add, table.records())
        yield self._export.end(info, summary)


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A format as it is chosen and found."""

    name: str
    suffix: str  # of its files
    where: str  # "module:class"
    says: str  # one line for people
    of_records: bool = False  # reads the records and their metrics, and neither columns nor a summary
    extra: str | None = None  # of this package, whose libraries the format needs
    isolated: bool = False  # its library dies where memory is refused: it gets a process of its own there


_BUILT_IN = (
    Format(name="json", suffix=".json", where="lens.export.json:JsonDocument", says="one document, all of it"),
    Format(name="jsonl", suffix=".jsonl", where="lens.export.jsonl:JsonLines", says="run file, a line a request",
        of_records=True),
    Format(name="msgpack", suffix=".msgpack", where="lens.export.jsonl:Packed", says="a run file, smaller",
        of_records=True),
    Format(name="csv", suffix=".csv", where="lens.export.csv:CsvTable", says="a row a request"),
    Format(name="html", suffix=".html", where="lens.report.html.document:HtmlPage", says="the page of `lll report`"),
    Format(name="parquet", suffix=".parquet", where="lens.export.parquet:Parquet", says="the table, with types",
        extra="parquet", isolated=True),
    Format(name="prometheus", suffix=".prom", where="lens.export.prometheus:Prometheus", says="exposition text"),
    Format(name="prometheus-seconds", suffix=".prom", where="lens.export.prometheus:PrometheusSeconds",
        says="the same in base units, as Prometheus' conventions want it"),
    Format(name="influxdb", suffix=".influx", where="lens.export.influx:Influx", says="line protocol"),
    Format(name="otlp", suffix=".otlp.jsonl", where="lens.export.otlp:Otlp", says="OpenTelemetry spans and metrics"),
    Format(name="hdrhistogram", suffix=".hlog", where="lens.export.hdrhistogram:HdrLog", says="HdrHistogram log",
        extra="hdrhistogram"),
    Format(name="vllm-json", suffix=".vllm.json", where="lens.export.tools.vllm:VllmJson",
        says="as vllm bench serve writes it"),
    Format(name="aiperf-json", suffix=".aiperf.json", where="lens.export.tools.aiperf:AiperfJson",
        says="as aiperf writes it"),
    Format(name="guidellm-json", suffix=".guidellm.json", where="lens.export.tools.guidellm:GuidellmJson",
        says="as guidellm writes it"),
)  # fmt: skip
FORMATS: dict[str, Format] = {f.name: f for f in _BUILT_IN}
# As others spell them.
_ALIASES = {
    "jsonlines": "jsonl", "json-lines": "jsonl", "ndjson": "jsonl", "prom": "prometheus", "influx": "influxdb",
    "opentelemetry": "otlp", "hdr": "hdrhistogram", "hlog": "hdrhistogram", "vllm": "vllm-json",
    "aiperf": "aiperf-json", "guidellm": "guidellm-json",
}  # fmt: skip
GROUP = "lens.exporters"


def format_named(name: str) -> Format:
    """Return the format of this name, built in or a plugin's.

    Raises:
        ConfigError: no format of that name.
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key in FORMATS:
        return FORMATS[key]
    if key in plugins.names(GROUP):
        return Format(name=key, suffix=f".{key}", where=f"{GROUP}:{key}", says="from a plugin")
    known = ", ".join([*FORMATS, *plugins.names(GROUP)])
    raise ConfigError(f"--export {name}: no such format; there are {known}")


def format_of_suffix(suffix: str) -> Format | None:
    """Return the format whose files end like this, None when no format's do."""
    return next((f for f in FORMATS.values() if f.suffix == suffix.lower()), None)


def open_export(chosen: Format, info: RunInfo, book: PriceBook, *, single: bool = False) -> Export:
    """Return an export of this format.

    Raises:
        ConfigError: a library that it needs, or the plugin, cannot be loaded.
    """
    module, _, name = chosen.where.partition(":")
    kind = plugins.load(GROUP, name) if module == GROUP else getattr(import_module(module), name)
    made: Any = kind(info, book, single=single)
    export: Export = made if hasattr(made, "write") else PerRecord(made)
    return export


def write_export(chosen: Format, export: Export, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
    """Yield a run in a format, made where a lack of memory can do no harm.

    Raises:
        LensError: what the format raised. MemoryError: there is not enough.
    """
    if chosen.isolated and memory_is_limited():
        return isolated_pieces(lambda: export.write(table, info, summary), partial(why_incomplete, name=chosen.name))
    return export.write(table, info, summary)


def why_incomplete(error: Exception, name: str) -> str:
    """Return why an output is not complete, in words; name: of its format."""
    if isinstance(error, LensError):
        return str(error)
    if lacking(error) is not None:
        return "no memory is left to make the outputs; lll recover or lll report can make them where there is more"
    return f"the {name} output cannot be made: {type(error).__name__}: {error}"
