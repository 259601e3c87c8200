"""Columns of many records against the same figures of each record alone."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from handmade import MS, START, failed_record, full_record, record
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.metrics.batch import EVIDENCE, batch_of
from lens.metrics.batch_figures import FIGURES, pooled
from lens.metrics.definitions import PER_REQUEST, POOLED, counts, measure, pooled_values
from lens.metrics.timeline import timeline
from lens.model import Connection, Events, Signal, Stamps, Status, TcpInfo, Usage

KINDS = [0, int(Signal.TEXT), int(Signal.REASONING), int(Signal.TOOL), int(Signal.USAGE), int(Signal.FINISH)]
count = st.none() | st.integers(0, 60)
claimed = count | st.integers(1000, 1200) | st.just(3_600_000_000)


@st.composite
def any_stamps(draw):
    names = [name for name in Stamps.__struct_fields__ if name != "start"]
    after = draw(st.lists(st.none() | st.integers(-50 * MS, 5000 * MS), min_size=len(names), max_size=len(names)))
    later = {name: START + at for name, at in zip(names, after, strict=True) if at is not None}
    return Stamps(start=START, **later)


@st.composite
def any_events(draw):
    rows = draw(
        st.lists(st.tuples(st.integers(0, 900), st.sampled_from(KINDS), st.integers(0, 9), st.booleans()), max_size=12)
    )
    at = np.cumsum([row[0] * MS for row in rows]).tolist()
    reads = np.cumsum([row[3] for row in rows]).astype(int).tolist()
    wide = draw(st.sampled_from(["qqHII", "qqqqq"]))
    columns = (at, [7 * row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], reads)
    names = ("arrived_ns", "lag_ns", "signals", "chars", "read")
    return Events(**{n: array(code, c) for n, code, c in zip(names, wide, columns, strict=True)})


@st.composite
def any_record(draw):
    events = draw(any_events())
    content = len(timeline(record(events=events)).at_ns)
    told = draw(
        st.none() | st.lists(st.integers(0, 4) | st.just(2**39), min_size=content, max_size=content) | st.just([1, 2])
    )
    tcp = st.none() | st.builds(TcpInfo, rtt_us=st.integers(1, 9999), min_rtt_us=count, retransmits=st.integers(0, 5))
    return record(
        events=events,
        stamps=draw(any_stamps()),
        usage=draw(st.none() | st.builds(Usage, input_tokens=count, output_tokens=claimed, reasoning_tokens=count)),
        tokens_per_event=None if told is None else array("q", told),
        server_timing_ms=draw(st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 900), max_size=2)),
        stamp_kind=draw(st.sampled_from(["kernel", "read"])),
        status=draw(st.sampled_from([Status.SUCCESS, Status.NETWORK_ERROR])),
        connection=draw(
            st.none() | st.builds(Connection, reused=st.booleans(), tcp_at_send=tcp, tcp_at_end=tcp),
        ),
    )


def test_every_metric_of_a_request_has_a_column():
    assert set(FIGURES) == {m.name for m in PER_REQUEST if m.kind == "request"}


@settings(max_examples=150, deadline=None)
@given(st.lists(any_record() | st.sampled_from([full_record(), failed_record()]), max_size=8))
def test_a_column_holds_what_is_said_of_each_record_alone(records):
    batch = batch_of(records)
    for name, figure in FIGURES.items():
        found = figure(batch)
        alone = [measure(name, one) for one in records]
        assert [None if np.isnan(v) else v for v in found] == [
            None if v is None else pytest.approx(v, rel=1e-12) for v in alone
        ], name
    for place, one in enumerate(records):
        line = timeline(one)
        assert batch.tokens[batch.of == place].tolist() == line.tokens.tolist()
        assert (EVIDENCE[batch.evidence[place]] if batch.evidence[place] >= 0 else None) == line.evidence
    for metric in POOLED:
        speaks = np.array([counts(metric, one) for one in records], dtype=bool)
        values, into = pooled(batch, metric.name, speaks)
        found = values if into is None else np.repeat(values / into, into)
        expected = [v for one in records if counts(metric, one) for v in pooled_values(metric, one)]
        assert (found / (1000 if metric.unit == "us" else MS)).tolist() == pytest.approx(expected)
