"""The nouns: what cannot be is refused, and what was written comes back."""

from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.columns import UNREADABLE, decode_hook
from lens.model import Attempt, Events, Signal, Stamps


def test_columns_of_different_lengths_are_no_events():
    with pytest.raises(ValueError, match="different lengths"):
        Events(arrived_ns=array("q", [1, 2]), lag_ns=array("q", [1]))
    with pytest.raises(UNREADABLE, match="different lengths"):
        msgspec.json.decode(b'{"arrived_ns":[1,2],"lag_ns":[1]}', type=Events, dec_hook=decode_hook)
    assert len(Events()) == 0


@given(st.integers(0, 2**16 - 1))
def test_signals_are_bits_that_can_be_told_apart(bits):
    known = [one for one in Signal if bits & one]
    assert sum(known) == bits & sum(Signal)


def test_what_was_measured_cannot_be_changed():
    attempt = Attempt(address="::1", family="ipv6", start_ns=1, end_ns=2)
    for noun, field in ((Stamps(start=1), "start"), (attempt, "address")):
        with pytest.raises(AttributeError):
            setattr(noun, field, 2)
