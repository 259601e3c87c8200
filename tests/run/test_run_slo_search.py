"""The search against servers that are functions: it finds the edge, and repeats what does not decide."""

import random

import pytest

from lens.run.slo_search import Found, LoadSearch


def run(search, judge):
    tries = 0
    while (load := search.next_load()) is not None:
        tries += 1
        assert tries < 100, "the search does not end"
        verdict, plainly = judge(load)
        search.add_verdict(verdict, plainly_kept=plainly)
    return search


def edge(at):
    return lambda load: ("kept" if load <= at else "broken", load <= at)


@pytest.mark.parametrize("at", [0.9, 3.7, 17, 100, 641.5])
def test_it_finds_the_edge_of_a_rate(at):
    search = run(LoadSearch(1, 1000), edge(at))
    assert search.kept <= at < search.broken
    assert search.broken - search.kept <= 0.05 * search.kept


@pytest.mark.parametrize("at", [1, 2, 13, 63])
def test_it_finds_the_last_whole_number(at):
    search = run(LoadSearch(1, 64, whole=True), edge(at))
    assert search.kept == at
    assert search.broken == at + 1


def test_a_server_that_is_never_too_busy_is_tried_up_to_the_most():
    search = run(LoadSearch(1, 50), edge(1e9))
    assert (search.kept, search.broken) == (50, None)


def test_a_server_that_never_keeps_it_gives_up():
    search = run(LoadSearch(8, 64, whole=True), edge(0))
    assert search.kept is None


def test_what_does_not_decide_is_repeated_and_then_the_plain_value_does():
    asked = []

    def judge(load):
        asked.append(load)
        return ("undecided", load <= 4) if 3.9 < load < 4.3 else edge(4)(load)

    search = run(LoadSearch(1, 100, repeats=3), judge)
    assert asked.count(4.0) == 3
    assert [one.counted_as for one in search.tries if one.load == 4.0] == ["again", "again", "kept"]


@pytest.mark.parametrize(
    ("judge", "sure", "says"),
    [
        (
            lambda load: ("undecided", True),
            False,
            "undecided, no try had enough requests to tell; the values alone meet",
        ),
        (lambda load: ("undecided", False), False, "the values alone meet it at no load; try longer with --duration"),
        (lambda load: ("kept" if load < 2 else "undecided", True), True, "still met at 8 requests/s"),
        (lambda load: ("undecided" if load < 2 else "broken", load < 2), False, "up to 1.938 requests/s; try longer"),
        (lambda load: ("broken", False), True, "no load that was tried met"),
    ],
)
def test_a_search_of_which_no_try_decides_anything_is_undecided(judge, sure, says):
    search = run(LoadSearch(1, 8), judge)
    assert search.sure == sure
    found = Found(
        unit="requests/s",
        slos=("ttft_p95<150",),
        highest=search.kept,
        broken_at=search.broken,
        tries=(),
        sure=search.sure,
    )
    assert says in found.says()


def test_noise_near_the_edge_does_not_mislead_by_much():
    noise = random.Random(7)

    def judge(load):
        seen = load * noise.gauss(1, 0.03)
        if abs(seen - 50) < 3:
            return "undecided", seen <= 50
        return edge(50)(seen)

    search = run(LoadSearch(1, 1000), judge)
    assert 44 < search.kept < 56


def test_a_search_goes_no_lower_than_a_load_that_can_be_sent():
    search = LoadSearch(1.0, 1000.0, least=0.3)
    loads = []
    while (load := search.next_load()) is not None:
        loads.append(load)
        search.add_verdict("broken", plainly_kept=False)
    assert loads == [1.0, 0.5, 0.3]
    assert (search.kept, search.broken) == (None, 0.3)
