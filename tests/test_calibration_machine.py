"""What the self-test says of the machine: its conditions from made-up system files, its capacity from made-up cases."""

import sys

import msgspec
import pytest

from lens.calibration import Case, spread_of
from lens.calibration.audit import conditions
from lens.calibration.capacity import capacity, capacity_of

SOURCE = "sys/devices/system/clocksource/clocksource0/current_clocksource"


@pytest.fixture
def system(tmp_path):
    """Folders for /proc and /sys, and how to put a file into them."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"

    def put(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def look():
        return {found.name: found for found in conditions(proc, sys)}

    return put, look


@pytest.mark.parametrize(
    ("path", "text", "name", "value", "doubt"),
    [
        (SOURCE, "tsc\n", "clock", "tsc", ""),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet\n",
            "clock",
            "hpet",
            "clocksource=tsc",
        ),
        ("proc/self/timerslack_ns", "50000\n", "timers", "50,000 ns", ""),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n", "governor", "performance", ""),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n", "governor", "powersave", "performance"),
        ("proc/stat", "cpu 10 0 10 980 0 0 0 0 0 0\ncpu0 1\n", "steal", "0.00%", ""),
        ("proc/stat", "cpu 10 0 10 880 0 0 0 100 0 0\n", "steal", "10.00%", "the host gives"),
        ("proc/loadavg", "0.10 0.20 0.30 1/100 999\n", "load", "0.1 on", ""),
        ("proc/loadavg", "900.0 0.20 0.30 1/100 999\n", "load", "900 on", "others work on this machine"),
        ("sys/class/net/eth0/gro_flush_timeout", "0\n", "offload", "not held back", ""),
        ("sys/class/net/eth0/gro_flush_timeout", "200000\n", "offload", "eth0 200,000 ns", "one stamp"),
    ],
)
def test_a_condition_is_read_and_judged(system, path, text, name, value, doubt):
    put, look = system
    put(path, text)
    found = look()[name]
    assert value in found.value
    assert (doubt in found.doubt) if doubt else not found.doubt


def test_what_the_system_does_not_tell_is_left_out(system):
    _, look = system
    assert not {"governor", "steal", "load", "timers"} & set(look())


@pytest.mark.parametrize("text", ["", "cpu x y\n", "cpu 1 2\n"])
def test_files_that_hold_something_else_are_no_error(system, text):
    put, look = system
    put("proc/stat", text)
    put("proc/loadavg", text)
    assert "steal" not in look()


def case(streams, p99_us, late_us=50.0, failed=0):
    spread = spread_of([1000])
    tokens = msgspec.structs.replace(spread, p99_us=p99_us)
    late = msgspec.structs.replace(spread, p99_us=late_us)
    return Case(
        scheme="http", streams=streams, requests=streams, failed=failed, stamp_kind="kernel", tokens=tokens,
        read_tokens=None, ttft=None, itl=None, sent=None, schedule=None, simulator_late=late, within_write=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cases", "streams", "ends_by", "says"),
    [
        ([case(200, 10), case(400, 20)], 400, "", "at least 20,000 events/s"),
        ([case(200, 10), case(400, 300)], 200, "instrument", "10,000 events/s over 200 streams; beyond that stamps"),
        ([case(200, 10), case(400, 300, late_us=15_000)], 200, "simulator", "at least 10,000 events/s"),
        ([case(200, 10), case(400, 20, failed=3)], 200, "instrument", "10,000 events/s"),
        ([case(200, 900)], 0, "instrument", "0 events/s over 0 streams"),
    ],
)
def test_the_capacity_is_the_last_step_that_held(cases, streams, ends_by, says):
    found = capacity_of(cases)
    assert (found.streams, found.ends_by) == (streams, ends_by)
    assert says in found.line


async def test_steps_are_measured_one_after_another_and_told_as_they_end(monkeypatch):
    monkeypatch.setattr(sys.modules["lens.calibration.capacity"], "STEPS", (2,))
    seen = []
    found = await capacity(on_case=seen.append)
    assert [one.streams for one in seen] == [2]
    assert found.cases == tuple(seen)
    # Whether this machine keeps up with two streams is not asked here: the figure follows from what was found.
    assert (found.streams, found.events_per_s) in {(2, 100.0), (0, 0.0)}
