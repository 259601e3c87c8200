"""Sides of comparisons: each target alone, matched by its name over files, judged for itself."""

import msgspec
import pytest
from handmade import INFO, START, failed_record, record, stamps

from lens.analysis.gates.sla import Gate, evaluate_sides
from lens.analysis.gates.thresholds import parse_threshold
from lens.analysis.sides import compared_files, compared_run, sides_of, verdict_of
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.model import Target

MS = 1_000_000
TARGETS = tuple(Target(provider="vllm", model="m", url=f"http://{n}", name=n, named=True) for n in ("near", "far"))
INFO2 = msgspec.structs.replace(INFO, targets=TARGETS)


def run(*waits, n=40, targets=TARGETS):
    """A run whose targets took turns; each waited so long for its tokens."""
    records = []
    for turn in range(n):
        for place, wait in enumerate(waits):
            index = turn * len(waits) + place
            at = stamps(START + index * 400 * MS, send_start=0, send_end=0, first_byte=wait - 1, end=wait + 15)
            records.append(
                record(
                    (wait + turn % 3, wait + 10), index=index, target=targets[place].name, target_index=place,
                    provider="vllm", model="m", stamps=at, request_id=f"{waits}-{index}",
                )
            )  # fmt: skip
    return table_of(records, msgspec.structs.replace(INFO, targets=targets[: len(waits)]))


def test_each_target_of_a_run_has_its_own_figures():
    found = compared_run(run(100, 150), targets=2, gates=[Gate(threshold=parse_threshold("ttft_p50<120"))])
    assert [(one.name, one.summary.requests) for one in found.sides] == [("near", 40), ("far", 40)]
    assert [(one.side, one.verdict.kept) for one in found.verdicts] == [("near", True), ("far", False)]
    assert found.failed
    (comparison,) = found.comparisons
    assert (comparison.baseline, comparison.candidate) == ("near", "far")
    assert verdict_of(comparison).startswith("far against near: worse in ttft_ms mean +")


def test_targets_of_files_are_compared_with_their_own_in_the_first():
    found = compared_files([run(100, 150), run(100, 50)], ["before", "after"])
    assert [(one.baseline, one.candidate) for one in found.comparisons] == [
        ("before: near", "after: near"),
        ("before: far", "after: far"),
    ]
    near, far = found.comparisons
    assert verdict_of(near) == "after: near against before: near: no difference was shown"
    assert "better in ttft_ms" in verdict_of(far)


def test_other_targets_are_compared_with_the_first_that_there_is():
    other = (msgspec.structs.replace(TARGETS[0], name="new"),)
    found = compared_files([run(100), run(120, targets=other)], ["a", "b"])
    assert [(one.name, one.target) for one in found.sides] == [("a", "near"), ("b", "new")]
    assert [(one.baseline, one.candidate) for one in found.comparisons] == [("a", "b")]


def test_one_file_of_one_target_is_compared_with_nothing():
    with pytest.raises(ConfigError, match=r"a\.jsonl holds one target"):
        compared_files([run(100)], ["a.jsonl"])
    assert compared_files([run(100, 120)], ["a.jsonl"]).comparisons


def test_gates_of_one_target_are_for_its_sides_alone():
    sides = {one.name: one.table for one in sides_of(run(100, 150))}
    far = Gate(threshold=parse_threshold("ttft_p50<120"), target="far")
    absent = Gate(threshold=parse_threshold("ttft_p50<120"), target="nobody")
    assert [(one.side, one.verdict.kept) for one in evaluate_sides([far], sides)] == [("far", False)]
    (found,) = evaluate_sides([absent], sides)
    assert (found.whose, found.verdict.kept) == ("nobody: ", False)


def test_too_few_answers_are_reported():
    found = compared_run(table_of([failed_record(target="near"), failed_record(target="far", target_index=1, index=1)],
                                  INFO2), targets=2)  # fmt: skip
    (comparison,) = found.comparisons
    assert verdict_of(comparison) == "far against near: too few requests succeeded on both sides to compare them"


@pytest.mark.parametrize(
    ("near", "far", "says"),
    [
        (40, 0, "no request of far succeeded"),
        (0, 40, "no request of near succeeded"),
        (40, 2, "too few requests of far succeeded (2) to compare them"),
        (2, 2, "too few requests succeeded on both sides to compare them"),
    ],
)
def test_the_side_that_cannot_be_compared_is_named(near, far, says):
    records = [
        (record if turn < good else failed_record)(target=name, target_index=target, index=2 * turn + target)
        for target, (name, good) in enumerate((("near", near), ("far", far)))
        for turn in range(40)
    ]
    (comparison,) = compared_run(table_of(records, INFO2), targets=2).comparisons
    assert verdict_of(comparison).startswith(f"far against near: {says}")
    assert (comparison.paired, comparison.succeeded) == (True, (near, far))
