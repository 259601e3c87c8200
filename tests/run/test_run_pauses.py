"""A time in which the program did not run is noticed, and named in the records that it touched."""

from handmade import record
from msgspec.structs import replace

from lens.run.pauses import LOOK_EVERY_S, Pause, PauseWatch
from lens.units import NS_PER_S

BEGAN = 1_000 * NS_PER_S


def watch(*looks, first_s=0.0):
    made = PauseWatch()
    made._last = (BEGAN + int(first_s * NS_PER_S),) * 2
    for monotonic_s, boot_s in looks:
        made.look((BEGAN + int(monotonic_s * NS_PER_S), BEGAN + int(boot_s * NS_PER_S)))
    return made


def test_a_look_that_is_a_little_late_is_no_pause():
    assert watch((LOOK_EVERY_S, LOOK_EVERY_S), (1.2, 1.2)).pauses == []


def test_a_stopped_process_and_a_suspended_machine_are_told_apart():
    stopped = watch((0.25, 0.25), (3.5, 3.5))
    assert [one.says() for one in stopped.pauses] == ["the program was stopped or did not get to run for 3.25 s"]
    suspended = watch((0.25, 0.25), (0.5, 3600.5))
    assert [one.says() for one in suspended.pauses] == ["the machine was suspended for 3600.25 s"]


def at(made, start_s, end_s):
    """The record of a request, as a watch marks it that looks no further."""
    made.look = lambda: None
    one = record((1, 2))
    stamps = replace(one.stamps, start=BEGAN + int(start_s * NS_PER_S), end=BEGAN + int(end_s * NS_PER_S))
    return made.marked(replace(one, stamps=stamps))


def test_only_the_records_that_were_under_way_name_it():
    made = watch((14, 14), first_s=10)
    assert at(made, 1, 9).warnings == at(made, 15, 16).warnings == ()
    (says,) = at(made, 9, 15).warnings
    assert says.endswith("for 4.00 s while this request was under way: its times may hold that pause")
    assert at(made, 11, 13).warnings == (says,)
    assert made.touched == 2
    assert made.warnings()[0].endswith("for 4.00 s: 2 requests under way then measured it")


def test_a_run_without_one_says_nothing_and_many_are_one_warning():
    assert watch((0.1, 0.1)).warnings() == ()
    many = watch((10, 10), (10.1, 10.1), (30.1, 30.1))
    assert len(many.pauses) == 2
    assert many.warnings()[0].startswith("2 times, at most the program was stopped")
    assert Pause(0, 10, 10).says()
