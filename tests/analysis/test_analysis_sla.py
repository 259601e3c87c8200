"""Agreements from files: read, refused with what would work, and judged for a run, its targets and each request."""

import pytest
from handmade import INFO, failed_record, record

from lens.analysis.gates.sla import (
    evaluate_each,
    evaluate_gates,
    evaluate_run,
    evaluate_sides,
    evaluate_targets,
    gates_of,
)
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize

AGREED = {
    "name": "chat",
    "thresholds": ["ttft_p50<120"],
    "warnings": {"ttft_p50_ms": 50},
    "targets": {"near": "ttft_p50<80", "vllm/m": {"thresholds": ["success_rate>=50%"], "warnings": ["ttft_p50<1"]}},
}


def run():
    """Two targets, of 100 and of 200 ms to the first token."""
    made = [
        record((wait, wait + 10), index=i, target=name, target_index=place, provider="vllm", model="m", prompt_id=name)
        for i, (place, name, wait) in enumerate([(0, "near", 100), (1, "far", 200)] * 5)
    ]
    return table_of(made, INFO)


def kept(results):
    return [(one.whose, one.verdict.kept, one.failed) for one in results]


def test_a_file_holds_gates_for_all_and_for_one_target():
    gates = gates_of(AGREED)
    assert [(one.target, one.threshold.severity) for one in gates] == [
        (None, "error"), (None, "warning"), ("near", "error"), ("vllm/m", "error"), ("vllm/m", "warning"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ([], "the top must be a table"),
        ({}, "no thresholds in it"),
        ({"treshold": []}, "unknown key 'treshold'; did you mean thresholds"),
        ({"targets": ["x"]}, "targets: expected a table"),
        ({"targets": {"x": 5}}, "x: expected a list of thresholds, not 5"),
        ({"targets": {"x": {"warnings": [], "thresholds": [], "odd": []}}}, "targets: x: unknown key 'odd'"),
    ],
)
def test_what_is_no_agreement_is_refused_with_what_would_work(tree, says):
    with pytest.raises(ConfigError, match=says):
        gates_of(tree)


def test_each_target_of_a_run_keeps_its_gates_or_the_run_does_not():
    """The median of both together would be 150 ms, which neither has."""
    table = run()
    (gate,) = gates_of({"thresholds": ["ttft_p50<120"]})
    assert kept(evaluate_run([gate], table, summarize(table))) == [("near: ", True, False), ("far: ", False, True)]
    near = table.take(table.codes("target").equal("near"))
    assert kept(evaluate_run([gate], near, summarize(near))) == [("", True, False)]


def test_a_gate_over_several_loads_says_so():
    table = table_of([record((100, 110), index=i, stage=f"{i % 2 + 1} at a time") for i in range(10)], INFO)
    (found,) = evaluate_run(gates_of({"thresholds": ["ttft_p50<120"]}), table, summarize(table))
    assert found.verdict.reason == "over 2 stages together"


def test_a_run_is_judged_as_a_whole_and_a_gate_of_one_target_by_its_requests():
    table = run()
    assert kept(evaluate_gates(gates_of(AGREED), table, summarize(table))) == [
        ("", True, False), ("", False, False), ("near: ", False, True), ("vllm/m: ", True, False),
        ("vllm/m: ", False, False),
    ]  # fmt: skip


def test_each_target_is_judged_for_itself():
    gates = gates_of({"thresholds": ["ttft_p50<120"], "targets": {"far": ["ttft_p50<300"]}})
    assert kept(evaluate_targets(gates, run())) == [
        ("near: ", True, False), ("far: ", False, True), ("far: ", True, False),
    ]  # fmt: skip
    (missing,) = evaluate_sides(gates_of({"targets": {"nobody": ["ttft_p50<300"]}}), {"near": run()})
    assert missing.failed, "a gate of a target that is not there is not kept"
    assert evaluate_sides((), {"near": run()}) == ()


def test_each_request_is_judged_alone_by_the_name_of_its_prompt():
    table = table_of([record((100, 110), prompt_id="short"), failed_record(index=1)], INFO)
    found = evaluate_each(gates_of({"thresholds": ["success_rate>=100%"]}), table)
    assert [(one.case, one.failed) for one in found] == [("short", False), ("request 2", True)]
    assert evaluate_each((), table) == ()
