"""A comparison written down: every figure of the CSV and the JSON is that of its side, and reads back."""

import csv
import io
import json

from handmade import record

from lens.analysis.compare import Comparison, Shift
from lens.analysis.gates.sla import Gate
from lens.analysis.gates.thresholds import parse_threshold
from lens.analysis.sides import Compared, _verdicts, sides_of
from lens.export.comparison import COLUMNS, comparison_checks, csv_table, json_document
from lens.metrics.builder import table_of

SHIFT = Shift(
    metric="ttft_ms", statistic="mean", baseline=100.0, candidate=200.0, difference=100.0, low=90.0, high=110.0,
    relative=1.0, p_value=0.001, p_adjusted=0.002, different=True, better=False, smallest_seen=5.0, wins=0.0, n=8,
    paired=True,
)  # fmt: skip
TABLE = table_of([record(target="=near"), record((200, 210), target="far", target_index=1, index=1)])


def compared(*shifts):
    sides = sides_of(TABLE)
    one = Comparison(baseline="=near", candidate="far", shifts=shifts, failed=(0, 0))
    gates = [Gate(threshold=parse_threshold("ttft<150"))]
    return Compared(sides=tuple(sides), comparisons=(one,), verdicts=_verdicts(sides, gates, ()))


def test_the_csv_has_a_row_a_figure_with_its_shift_beside_it():
    rows = list(csv.DictReader(io.StringIO(csv_table(compared(SHIFT)).decode())))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["target"] == "'=near", "no spreadsheet takes it for a formula"
    (mean,) = [r for r in rows if (r["target"], r["metric"], r["statistic"]) == ("far", "ttft_ms", "mean")]
    assert (float(mean["value"]), mean["verdict"], float(mean["low"])) == (200.0, "worse", 90.0)
    assert not any(r["verdict"] for r in rows if r["target"] != "far")


def test_the_json_has_a_block_a_target_and_every_shift():
    found = json.loads(b"".join(json_document(compared(SHIFT))))
    assert [one["ttft_stats"]["mean"] for one in found["targets"]] == [100.0, 200.0]
    assert found["comparisons"][0]["shifts"][0]["p_adjusted"] == 0.002
    assert found["verdict"] == ["far against =near: worse in ttft_ms mean +100.0%"]
    assert [(one["target"], one["actual"], one["kept"]) for one in found["thresholds"]] == [
        ("=near", 100.0, True),
        ("far", 200.0, False),
    ]
    assert found["failed"]
    assert "requests" not in found
    assert len(json.loads(b"".join(json_document(compared(), table=TABLE)))["requests"]) == 2


def test_a_shift_for_the_worse_warns_and_a_threshold_fails():
    states = [(one.suite, one.state) for one in comparison_checks(compared(SHIFT))]
    assert states == [("thresholds", "passed"), ("thresholds", "failed"), ("comparison", "warned")]
    assert comparison_checks(compared())[-1].state == "skipped"
