"""What is known of clocks goes into a header and comes back; what is not known is absent."""

import msgspec

from lens.clocks import WallClock, WorkerClock


def test_what_is_not_known_of_a_clock_is_absent():
    clock = WallClock(offset_ns=5, synchronized=False)
    assert msgspec.json.encode(clock) == b'{"offset_ns":5,"synchronized":false}'
    assert msgspec.json.decode(msgspec.json.encode(clock), type=WallClock) == clock
    other = WorkerClock(worker=1, host="b", offset_ns=3, uncertainty_ns=2)
    assert msgspec.json.decode(msgspec.json.encode(other), type=WorkerClock) == other
