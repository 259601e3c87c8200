"""A pattern that is compiled at its first use is the pattern that `re` would give."""

import re

import pytest

from lens.patterns import lazy_pattern


@pytest.mark.parametrize("text", ["a1b22", "", "x"])
def test_it_finds_what_a_compiled_one_finds(text: str) -> None:
    lazy, compiled = lazy_pattern(r"[a-z](?P<n>\d+)", re.IGNORECASE), re.compile(r"[a-z](?P<n>\d+)", re.IGNORECASE)
    for _ in range(2):  # at the first use, and later
        assert [found["n"] for found in lazy.finditer(text)] == [found["n"] for found in compiled.finditer(text)]
        assert lazy.sub("-", text) == compiled.sub("-", text)
        assert bool(lazy.search(text)) == bool(compiled.search(text))
    assert (lazy.pattern, lazy.flags) == (compiled.pattern, compiled.flags)


def test_it_reads_bytes() -> None:
    assert lazy_pattern(rb"\d+").findall(b"1 22") == [b"1", b"22"]


def test_what_is_no_pattern_is_said_at_the_first_use() -> None:
    lazy = lazy_pattern("(")
    with pytest.raises(re.error):
        lazy.search("a")
