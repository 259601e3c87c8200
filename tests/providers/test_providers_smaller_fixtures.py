"""Every recorded answer of the smaller protocols gives what its expectation says, at any cut of the bytes."""

import pytest
from recorded import check, check_byte_by_byte, check_random_cuts, names_of, raw

NAMES = names_of("cohere_v2", "ollama_chat", "ollama_generate", "groq_chat", "mistral_chat")


def test_the_fixtures_are_there():
    assert len(NAMES) >= 12


@pytest.mark.parametrize("keep_all", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_answer_gives_what_is_expected(name, keep_all):
    check(name, [raw(name)], keep_all=keep_all)


@pytest.mark.parametrize("name", NAMES)
def test_any_cut_of_the_bytes_gives_the_same(name):
    check_random_cuts(name)


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte_gives_the_same(name):
    check_byte_by_byte(name)
