"""A small run in a format of ours."""

from array import array

from lens.export.formats import open_export
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Events, Machine, Record, RunInfo, Signal, Stamps, Status, Target, Usage
from lens.pricing import PriceBook

INFO = RunInfo(
    schema=1, version="0.1.0", run_id="r", started_at="2026-01-01T00:00:00Z", started_ns=10**9,
    targets=(Target(provider="openai", model="gpt-4", url="https://api.example/v1"),),
    machine=Machine(
        hostname="h", system="Linux", kernel="6", cpus=2, python="3.11", clock_resolution_ns=1, clock_cost_ns=30
    ),
)  # fmt: skip


def records():
    for number in range(3):
        start = 10**9 * (number + 1)
        yield Record(
            request_id=str(number), index=number, provider="openai", model="gpt-4",
            timestamp=f"2026-01-01T00:00:0{number}.000000Z", status=Status.SUCCESS, category="success",
            stamps=Stamps(start=start, send_start=start, send_end=start + 10, first_byte=start + 500, end=start + 9000),
            usage=Usage(input_tokens=5, output_tokens=4), token_source="usage",
            events=Events(
                arrived_ns=array("q", [1000, 2000, 3000, 4000]), lag_ns=array("q", [5] * 4),
                signals=array("H", [int(Signal.TEXT)] * 4), chars=array("I", [4] * 4), read=array("I", range(4)),
            ),
        )  # fmt: skip


def made_run(kind):
    table = table_of(records(), INFO)
    return b"".join(open_export(kind, INFO, PriceBook()).write(table, INFO, summarize(table, INFO)))
