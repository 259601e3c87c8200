"""The simulators of a program: one for each target that needs one, started once, ended together."""

import socket
from urllib.parse import urlsplit

from lens.config.settings import RunConfig, TargetConfig
from lens.run.simulators import PLACEHOLDER, Simulators, with_placeholders, with_simulators

ONE, TWO = TargetConfig(provider="simulator", model="a"), TargetConfig(provider="simulator", model="b")
OTHER = TargetConfig(provider="openai", model="m", base_url="http://127.0.0.1:9")


def addresses(config):
    return [target.base_url for target in config.targets]


def answers(url):
    try:
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)).close()
    except OSError:
        return False
    return True


def test_settings_that_are_read_again_start_no_other_simulators():
    with Simulators() as simulators:
        first = simulators.host(RunConfig(targets=(ONE, OTHER)))
        again = simulators.host(RunConfig(targets=(TWO, ONE)))
        assert addresses(again)[0] == addresses(first)[0]
        assert addresses(first)[1] == OTHER.base_url
        assert addresses(simulators.host(RunConfig(targets=(ONE,)))) == addresses(first)[:1]
        started = {*addresses(first)[:1], *addresses(again)}
        assert len(started) == 2
        assert all(map(answers, started))
    assert not any(map(answers, started))


def test_what_needs_none_stays_as_it_is():
    config = RunConfig(targets=(OTHER,))
    with with_simulators(config) as hosted:
        assert hosted is config


def test_a_plan_that_is_only_shown_starts_none():
    shown = with_placeholders(RunConfig(targets=(ONE, OTHER)))
    assert addresses(shown) == [PLACEHOLDER, OTHER.base_url]
