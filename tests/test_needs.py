"""What tests need is there in CI, and elsewhere its absence is a skip that says what to install."""

import pytest
from needs import need_module, need_package, need_program

ABSENT = (
    lambda: need_program("no-such-program", "apt-get install it"),
    lambda: need_package("no_such_package", "apt-get install it"),
    lambda: need_package("no_such_package.inside", "apt-get install it"),
    lambda: need_module("no_such_package", "apt-get install it"),
)


@pytest.mark.parametrize("need", ABSENT)
def test_what_is_missing_is_skipped_with_a_reason(monkeypatch, need):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not installed: apt-get install it"):
        need()


@pytest.mark.parametrize("need", ABSENT)
def test_in_ci_it_fails(monkeypatch, need):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="is not installed: apt-get install it; CI must have it"):
        need()


def test_what_nobody_offers_for_this_python_is_skipped_in_ci_too(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match="no_such_package"):
        need_package("no_such_package", "nowhere", offered=False)


def test_what_is_there_is_given():
    assert need_program(("no-such-program", "sh"), "").endswith("/sh")
    assert need_module("json.decoder", "").JSONDecoder
