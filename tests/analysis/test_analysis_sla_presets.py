"""The agreements that are built in: each can be judged, and holds what its name says."""

import pytest
from handmade import record

from lens.analysis.gates.presets import SLAS, sla_named
from lens.analysis.gates.sla import evaluate_gates
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize


def kept(name, *records):
    table = table_of(list(records))
    return [one.verdict.kept for one in evaluate_gates(sla_named(name).gates(), table, summarize(table))]


@pytest.mark.parametrize("name", SLAS)
def test_a_quick_smooth_answer_keeps_every_agreement(name):
    assert all(kept(name, record((100, 120, 140))))
    assert SLAS[name].name == name
    assert SLAS[name].says


def test_interactive_wants_the_first_token_within_500_ms_and_gaps_below_50():
    assert kept("interactive", record((499, 548))) == [True, True]
    assert kept("interactive", record((501, 510))) == [False, True]
    assert kept("interactive", record((100, 151))) == [True, False]


def test_a_name_that_is_none_is_none():
    with pytest.raises(KeyError):
        sla_named("quick")
