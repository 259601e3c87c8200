"""The tape gives back what was written, in 8 bytes an event."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lens._core.tape import Tape

INT64 = st.integers(-(2**63), 2**63 - 1)
events = st.tuples(
    st.one_of(st.integers(0, 10**10), INT64),
    st.one_of(st.integers(0, 10**6), INT64),
    st.one_of(st.just(0), st.just(1), st.integers(0, 10**6)),
    st.one_of(st.sampled_from([0, 1, 2, 65535]), st.integers(0, 65535)),
    st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
)


def held(value: int) -> int:
    """What int64 holds of it."""
    return max(-(2**63), min(value, 2**63 - 1))


@given(st.lists(events, max_size=30), INT64)
@example([(0, 2**63 - 1, 0, 0, 0)], 0)
@example([(-(2**63), 2**63 - 1, 0, 0, 0)], 2**63 - 1)
@example([(2**63 - 1, -(2**63), 0, 0, 0)], -(2**63))
@example([(2**62, 2**62, 0, 0, 0)], -(2**62))
def test_columns_are_what_was_written(written, start):
    tape, read = Tape(), 0
    reads, lags = [], []
    for arrived, lag, rise, signals, chars in written:
        read += rise
        reads.append(read)
        seen = held(arrived + lag)
        lags.append(held(seen - arrived))
        tape.event(arrived, seen, read, signals, chars)
    got = [column.tolist() for column in tape.columns(start)]
    assert got[0] == [held(arrived - start) for arrived, *_ in written]
    assert all(abs(lag - wrote) <= 64 for lag, wrote in zip(got[1], lags, strict=True))
    assert got[2:] == [[w[3] for w in written], [w[4] for w in written], reads]
    assert len(tape) == len(written)


@pytest.mark.parametrize("lag", [0, 128, 12800, 128 * 10**9])
def test_a_lag_of_whole_units_is_exact(lag):
    tape = Tape()
    tape.event(5, 5 + lag, 0, 1, 1)
    assert tape.columns(0)[1].tolist() == [lag]


def test_columns_have_the_promised_types():
    tape = Tape()
    tape.event(1, 2, 3, 4, 5)
    assert [(column.typecode, len(column)) for column in tape.columns(0)] == [(c, 1) for c in "qqHII"]
    assert [(column.typecode, len(column)) for column in Tape().columns(0)] == [(c, 0) for c in "qqHII"]


def test_a_streamed_event_takes_at_most_eight_bytes():
    rng, tape, arrived = random.Random(1), Tape(), 10**15
    for read in range(2000):
        arrived += int(rng.gauss(20e6, 5e6))
        tape.event(arrived, arrived + int(rng.expovariate(1 / 50e3)), read, 1, rng.randint(1, 10))
    assert tape.tape_bytes / len(tape) <= 8


def test_events_of_one_read_take_one_byte_each():
    tape = Tape()
    for _ in range(100):
        tape.event(10**15, 10**15 + 5000, 0, 1, 3)
    assert tape.tape_bytes < 100 + 20


@given(st.lists(st.tuples(st.integers(0, 2**40), st.binary(max_size=20), st.binary(max_size=300)), max_size=8))
def test_kept_frames_come_back_whole(frames):
    tape = Tape()
    for frame in frames:
        tape.keep(*frame)
    assert tape.frames() == frames
    assert tape.kept_bytes >= sum(len(name) + len(data) for _, name, data in frames)


def test_a_read_number_never_falls():
    tape = Tape()
    tape.event(1, 1, 5, 0, 0)
    with pytest.raises(ValueError, match="read 4 comes after read 5"):
        tape.event(2, 2, 4, 0, 0)
    assert tape.columns(0)[4].tolist() == [5]


@pytest.mark.parametrize("arguments", [(2**63, 0, 0, 0, 0), (0, 0, -1, 0, 0), (0, 0, 0, 65536, 0), (0, 0, 0, 0, 2**32)])
def test_what_does_not_fit_is_refused(arguments):
    with pytest.raises(OverflowError):
        Tape().event(*arguments)


def test_a_tape_knows_every_signal_that_an_event_had():
    tape = Tape()
    assert tape.signals == 0
    for read, signals in enumerate((1, 4, 1)):
        tape.event(10, 10, read, signals, 0)
    assert tape.signals == 5


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 4, 65535]), st.integers(0, 65535)), max_size=30))
def test_every_event_keeps_its_block(written):
    tape, read = Tape(), 0
    for rise, signals, block in written:
        read += rise
        tape.event(10, 20, read, signals, 3, block)
    blocks = [block for _, _, block in written]
    assert tape.blocks() is None if not any(blocks) else tape.blocks().tolist() == blocks
    assert tape.columns(0)[2].tolist() == [signals for _, signals, _ in written]


def test_blocks_take_no_room_while_they_stay_the_same():
    plain, numbered = Tape(), Tape()
    for read in range(100):
        plain.event(10**6 * read, 10**6 * read, read, 1, 3)
        numbered.event(10**6 * read, 10**6 * read, read, 1, 3, 7)
    assert numbered.tape_bytes <= plain.tape_bytes + 3
