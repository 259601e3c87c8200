"""Lists of numbers of many records as columns: what is read at once is what is read one by one."""

import numpy as np
import pytest

from lens.metrics.packing import FEWEST_TIMESTAMPS, tcp_rows, transposed, wall_times, wall_us
from lens.model import Connection, TcpInfo

NAN = float("nan")
OURS = [
    f"2025-{i % 12 + 1:02}-{i % 28 + 1:02}T{i % 24:02}:{i * 7 % 60:02}:{i % 60:02}.{i * 7919 % 10**6:06}Z"
    for i in range(FEWEST_TIMESTAMPS + 100)
]


@pytest.mark.parametrize(
    "other",
    [
        "2025-11-07T18:30:00.000001Z",
        "2025-11-07T18:30:00.00001Z",
        "2025-11-07T18:30:00.000001",
        "2025-11-07T18:30:00,000001Z",
        "2025-11-07 18:30:00.000001Z",
        "2025-11-07T18:30:60.000001Z",
        "2025-13-07T18:30:00.000001Z",
        "2025-02-30T18:30:00.000001Z",
        "2025-11-07T18:30:00.00000aZ",
        "2025-11-07T18:30:00.00000 Z",
        "2025-11-07T18:30:00+00:0000",
        "２025-11-07T18:30:00.000001",
        "a text of the same length..",
        "",
    ],
)
def test_timestamps_that_are_read_at_once_are_those_read_one_by_one(other):
    for several in (OURS, [*OURS, other], [other]):
        assert list(map(int, wall_times(several))) == [wall_us(one) for one in several]


def test_segments_sent_again_are_those_of_this_request_where_the_connection_was_reused():
    begin, end = TcpInfo(rtt_us=9, retransmits=3), TcpInfo(rtt_us=10, min_rtt_us=7, retransmits=5)
    connections = [
        None,
        Connection(reused=True),
        Connection(reused=True, tcp_at_send=begin, tcp_at_end=end),
        Connection(reused=False, tcp_at_send=begin, tcp_at_end=end),
        Connection(reused=True, tcp_at_end=TcpInfo(rtt_us=1)),
    ]
    expected = [(NAN, NAN, NAN), (NAN, NAN, NAN), (10, 7, 2), (10, 7, 5), (1, NAN, 0)]
    np.testing.assert_array_equal(tcp_rows(connections), expected)


@pytest.mark.parametrize("few", [False, True])
def test_rows_become_columns_in_which_what_is_absent_is_a_number(few):
    assert [list(one) for one in transposed([(1, None), (3, 4)], -1, few=few, holes=True)] == [[1, 3], [-1, 4]]
    real = transposed([(1, 2.5), (None, 4)], NAN, few=few, holes=True)
    np.testing.assert_array_equal([list(one) for one in real], [[1.0, NAN], [2.5, 4.0]])
