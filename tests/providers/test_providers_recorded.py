"""Every recorded answer gives what its expectation says, at any cut of the bytes."""

import pytest
from recorded import CODECS, EXPECTED, check, check_byte_by_byte, check_random_cuts, names_of, raw

# The number of recordings that must be there, so that none goes missing unnoticed.
AT_LEAST = {
    ("openai_chat", "openai_completions", "openai_responses", "openai_embeddings"): 91,
    ("anthropic_messages",): 29,
    ("bedrock_converse", "anthropic_bedrock"): 19,
    ("gemini_sse", "gemini_json"): 18,
    ("cohere_v2", "ollama_chat", "ollama_generate", "groq_chat", "mistral_chat"): 12,
}


@pytest.mark.parametrize("protocols", AT_LEAST)
def test_the_recordings_of_each_protocol_are_there(protocols):
    assert len(names_of(*protocols)) >= AT_LEAST[protocols]


def test_every_protocol_that_was_recorded_is_read():
    assert {expected["protocol"] for expected in EXPECTED.values()} == CODECS.keys()


@pytest.mark.parametrize("keep_all", [True, False])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_whole_answer_gives_what_is_expected(name, keep_all):
    check(name, [raw(name)], keep_all=keep_all)


@pytest.mark.parametrize("name", EXPECTED)
def test_any_cut_of_the_bytes_gives_the_same(name):
    check_random_cuts(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_byte_by_byte_gives_the_same(name):
    check_byte_by_byte(name)
