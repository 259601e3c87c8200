"""The tape: one request's events in one native block, delta coded."""

from array import array

class Tape:
    """Events in the order they were dispatched, and the frames that were kept whole.

    At most 8 bytes an event on average at streaming rates; `arrived` is kept to the nanosecond,
    the lag (seen - arrived) to 128 ns.

    A reactor that reads in its own thread may write it at any moment: what is asked here is the state of that
    moment. Without such a thread it is written by one thread at a time: whoever feeds the stream or decoder that
    writes it (poll(), feed()) lets go of the GIL meanwhile, and no other thread may call anything here until that
    has returned.
    """

    def __init__(self) -> None: ...
    def event(self, arrived_ns: int, seen_ns: int, read: int, signals: int, chars: int, block: int = 0) -> None:
        """Append one event. Reads are numbered from 0 and never fall. block: 1 + its number, 0 where it named none."""

    def keep(self, index: int, name: bytes, data: bytes) -> None:
        """Keep event `index` whole."""

    def columns(self, start_ns: int) -> tuple[array[int], array[int], array[int], array[int], array[int]]:
        """(arrived 'q' after start_ns, lag 'q', signals 'H', chars 'I', read 'I').

        Differences that int64 cannot hold become its largest or smallest number.
        """

    def blocks(self) -> array[int] | None:
        """Of each event 1 + the number of the block or call it belongs to, 0 where it named none; 'H'.

        None where no event named one.
        """

    def frames(self) -> list[tuple[int, bytes, bytes]]:
        """(index, name, data) of every kept event."""

    @property
    def signals(self) -> int:
        """Every signal that an event has had, or 0."""

    @property
    def tape_bytes(self) -> int:
        """Bytes in use for the events themselves (without kept frames)."""

    @property
    def kept_bytes(self) -> int: ...
    def __len__(self) -> int:
        """Number of events."""
