"""The page of a run as people see it, word for word; what decides stands first, and stays on a short screen.

After a change that is meant, `page(80)[0]` and `page(120)[0]` are the new files in golden/.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import msgspec
import pytest
from handmade import INFO, MS, START, failed_record, record, stamps
from rich.console import Console

from lens.analysis.gates.sla import Gate, evaluate_gates
from lens.analysis.gates.thresholds import parse_threshold
from lens.metrics.builder import table_of
from lens.metrics.intervals import Interval
from lens.metrics.summarize import summarize
from lens.model import Target
from lens.pricing import PriceBook, parse_price
from lens.report.run import print_report
from lens.report.terminal import console_for

GOLDEN = Path(__file__).parent / "golden"
BOOK = PriceBook([parse_price("in=0.5,out=1.5")])
INFO_OF_RUN = msgspec.structs.replace(
    INFO, targets=(Target(provider="vllm", model="llama-3-8b", url="http://gpu1:8000/v1"),)
)
GATES = [Gate(threshold=parse_threshold(text)) for text in ("ttft_p95<500", "error_rate<0.01")]


def loaded():
    """400 requests, 8 open, of known times: TTFT about 200 ms, a token each 20 ms; every hundredth is refused."""
    rng = random.Random(1)
    found = []
    for i in range(400):
        start = START + (i // 8) * 700 * MS + (i % 8) * 3 * MS
        if i % 100 == 99:
            found.append(failed_record(index=i, stamps=stamps(start, end=15)))
            continue
        first = round(rng.gauss(200, 20), 3)
        at = tuple([first + 20 * k + round(rng.uniform(-1, 1), 3) for k in range(20)])
        found.append(
            record(at, index=i, stamps=stamps(start, send_start=1, send_end=1.1, first_byte=120, end=at[-1] + 1))
        )
    return found


class Terminal(io.StringIO):
    """What a terminal says of itself."""

    def isatty(self):
        return True


def sure_to_2_percent(found):
    """The distribution with intervals made by hand, so that no statistics are in the text."""
    known = {name: found.percentiles[name] for name in ("p50", "p90", "p95") if name in found.percentiles}
    made = {name: Interval(low=at * 0.98, high=at * 1.02, level=0.95, batch=1) for name, at in known.items()}
    return msgspec.structs.replace(found, intervals=made, no_interval={"p99": "needs 1000 values"})


def page(width, *, height=25, terminal=False, records=None):
    table = table_of(records or loaded(), INFO_OF_RUN, BOOK)
    summary = summarize(table, INFO_OF_RUN)
    summary = msgspec.structs.replace(
        summary, distributions={name: sure_to_2_percent(found) for name, found in summary.distributions.items()}
    )
    console = console_for(io.StringIO(), width)
    if terminal:
        console = Console(file=Terminal(), width=width, height=height, color_system=None)
    print_report(console, summary, INFO_OF_RUN, (), table=table, verdicts=evaluate_gates(GATES, table, summary))
    return console.file.getvalue(), summary


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_is_this_text(width):
    shown, _ = page(width)
    assert shown == (GOLDEN / f"summary_{width}.txt").read_text()


def test_what_decides_comes_first_and_in_this_order():
    shown, _ = page(80)
    places = [
        shown.index(word) for word in ("succeeded", "ok  ", "FAIL", "warning", "throughput", "4 x", "TTFT", "phase")
    ]
    assert places == sorted(places)


def test_on_a_short_terminal_what_decides_is_on_the_last_screen():
    shown, _ = page(80, height=24, terminal=True)
    last = "\n".join(shown.splitlines()[-23:])
    for word in ("vllm llama-3-8b", "396 succeeded, 4 failed", "FAIL", "warning", "throughput", "4 x", "TTFT", "total"):
        assert word in last
    assert shown.index("phase") < shown.index("vllm llama-3-8b")
    tall, _ = page(80, height=100, terminal=True)
    assert tall.index("vllm llama-3-8b") < tall.index("phase")
    assert sorted(tall.split()) == sorted(shown.split())


def test_rows_of_intervals_are_explained():
    shown, _ = page(80)
    assert "± 95 %       the true value is this close to the one above, in 95 runs of 100" in shown
