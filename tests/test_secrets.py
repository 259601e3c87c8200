"""One mask for secrets: by name, by what was remembered, by how a key looks; and addresses that may be shown."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from lens import secrets
from lens.secrets import (
    MOST_KNOWN,
    bare_url,
    clean_json,
    clean_line,
    holds_secret,
    is_known_in,
    is_sensitive,
    knows_secrets,
    mask_command,
    mask_given_headers,
    mask_headers,
    mask_known,
    mask_secrets,
    may_hold_secret,
    remember_given_headers,
    remember_headers,
    remember_secret,
    remember_url,
)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijkl1234",
        "sk-ant-api03-abcdefghijkl",
        "sk-abcdefgh",
        "gsk_abcdefghijkl",
        "xai-abcdefghijkl",
        "AIzaSyA1234567890abcdef",
        "key-1234567890abcdefgh",
        "Bearer eyJhbGciOi.J9",
        "http://user:pass@proxy:3128",
        "http://pass@proxy:3128",
        "http://h/v1?api_key=abcdefgh",
        "http://h/v1?x=1&Access-Token=abcdefgh",
        "http://h/write?db=x&p=pass",
    ],
)
def test_what_looks_like_a_key_is_masked(secret):
    shown = mask_secrets(f"cannot use {secret}, sorry")
    assert "***" in shown
    for part in ("abcdefgh", "1234567890", "eyJhb", "pass"):
        assert part not in shown
    assert shown.endswith("sorry")


@pytest.mark.parametrize(
    "text",
    [
        "lll benchmark --provider vllm -m sk-2 --rate 10",
        "a key-value store",
        "http://127.0.0.1:8000/v1?db=x&precision=ns",
        "no metric 'tfft'; did you mean ttft?",
        "push to http://h:9091/metrics/job@base64/YQ: HTTP 503",
    ],
)
def test_innocent_text_stays_as_it_is(text):
    assert mask_secrets(text) == text


def test_a_prefix_tells_whose_key_it_was():
    assert mask_secrets("Incorrect API key provided: sk-abc123***xyz. See") == "Incorrect API key provided: sk-***. See"
    assert mask_secrets("http://me:hush@h:1/a") == "http://***@h:1/a"


def test_what_was_remembered_is_masked_whole_before_its_parts():
    remember_secret("open-sesame")
    remember_secret("open-sesame-and-more")
    assert mask_secrets("say open-sesame-and-more or open-sesame") == "say *** or ***"


def test_short_values_are_not_remembered_because_they_would_mask_innocent_text():
    remember_secret("abc")
    remember_secret(None)
    assert mask_secrets("abc") == "abc"


@pytest.mark.parametrize(
    ("name", "sensitive"),
    [("Authorization", True), ("X-API-Key", True), ("Set-Cookie", True), ("X-Trace", False), ("Accept", False)],
)
def test_a_name_tells_whether_a_value_may_be_a_secret(name, sensitive):
    assert is_sensitive(name) is sensitive
    assert mask_headers([(name, "value")]) == [(name, "***" if sensitive else "value")]


def test_values_of_sensitive_headers_are_remembered_and_others_are_not():
    remember_headers([("X-Auth-Thing", "q8-hidden-value"), ("X-Scope", "q8-shown-value")])
    assert mask_secrets("q8-hidden-value q8-shown-value") == "*** q8-shown-value"


def test_a_password_in_a_url_is_remembered_as_it_is_written_and_as_it_is_sent():
    remember_url("http://me:ganz%20geheim@h:1?db=visible&p=auch-geheim&token=und-geheim")
    assert mask_secrets("ganz%20geheim ganz geheim auch-geheim und-geheim visible") == "*** *** *** *** visible"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://me:hush@h:1/a/b?p=hush", "http://h:1/a/b"),
        ("http://me:hu/sh@h:1/a", "http://h:1/a"),
        ("http://me:hu@sh@h:1/a", "http://h:1/a"),
        ("http://hush@h", "http://h"),
        ("me:hush@h:1", "h:1"),
        ("http://h", "http://h"),
        ("http://[::1]:9091/metrics/job@base64/YQ", "http://[::1]:9091/metrics/job@base64/YQ"),
        ("http://h:1/metrics/job@base64/YQ", "http://h:1/metrics/job@base64/YQ"),
    ],
)
def test_an_address_is_shown_without_credentials_and_query(url, seen):
    assert bare_url(url) == seen


@pytest.mark.parametrize(
    "secret", ["tok-4f9c2d7e1b8a", """q"uo'te-9f8e7d6c""", "aB3/xY+z9Q==", "a&b<c>-55aa77", "back\\slash-1f2e"]
)
def test_a_secret_is_masked_however_it_is_written(secret):
    remember_secret(secret)
    written = [secret, quote(secret, safe=""), json.dumps(secret), repr(secret), html.escape(secret)]
    shown = mask_known(" ".join(written))
    assert shown.count("***") == len(written), shown
    assert is_known_in(json.dumps({"key": secret}).encode())


def test_there_are_secrets_to_look_for_once_one_was_remembered(monkeypatch):
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    remember_secret("short")
    assert not knows_secrets()
    remember_secret("tok-of-this-process")
    assert knows_secrets()
    assert mask_known("my tok-of-this-process") == "my ***"


def test_what_looks_like_a_key_stays_where_only_known_ones_are_masked():
    assert mask_known("say sk-abcdefghijkl") == "say sk-abcdefghijkl"


@pytest.mark.parametrize("placeholder", ["ollama", "not-needed", "Unused"])
def test_a_placeholder_for_a_key_is_no_secret(placeholder):
    remember_secret(placeholder)
    assert mask_known(placeholder) == placeholder


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("api_key", True), ("apiKey", True), ("secret", True), ("x-access-token", True), ("token", True),
        ("session_token", True), ("password", True), ("aws.secret_key", True),
        ("max_tokens", False), ("prompt_cache_key", False), ("tokenizer", False), ("stop_token_ids", False),
        ("key", False), ("author", False),
    ],
)  # fmt: skip
def test_the_name_of_a_field_says_whether_it_holds_a_secret(name, holds):
    assert holds_secret(name) is holds


def test_credentials_of_an_address_are_masked_as_a_header_has_them():
    remember_url("http://Aladdin:open-sesame-9@h:1?trace=whole-query-5")
    basic = b64encode(b"Aladdin:open-sesame-9").decode()
    assert mask_known(f"Basic {basic} GET /?trace=whole-query-5") == "Basic *** GET /?***"


def test_the_oldest_are_forgotten_so_that_a_monitor_does_not_grow():
    for number in range(MOST_KNOWN + 10):
        remember_secret(f"renewed-token-{number}-")
    assert mask_known("renewed-token-0-") == "renewed-token-0-"
    assert mask_known(f"renewed-token-{MOST_KNOWN + 9}-") == "***"


HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31mred\u202eright\u2066 to left\x00\r\x7f"


def test_a_line_steers_no_terminal_and_keeps_its_words():
    shown = clean_line(HOSTILE)
    assert shown.isprintable()
    assert ["red" in shown, "right" in shown, "to left" in shown] == [True] * 3
    assert clean_line("  two  blanks, ünïcode, 中文 🙂") == "  two  blanks, ünïcode, 中文 🙂"


@pytest.mark.parametrize(
    "command",
    ["::error::boo", "::set-output name=x::y", "::add-mask::abc", "x ::error file=a,line=1::b", "##[error]x",
     "##vso[task.setvariable variable=a]b", "##teamcity[x]", "::stop-commands::token"],
)  # fmt: skip
def test_no_line_is_a_command_to_a_runner(command):
    shown = clean_line(command)
    assert "##" not in shown
    assert not any(word.startswith("::") for word in shown.split())
    assert shown.replace(": :", "::", 1).replace("# #", "##", 1) == command, "it can still be read"


@pytest.mark.parametrize("innocent", ["[::1]:9464", "std::vector<int>", "::ffff:10.0.0.1", "a ## heading", "12::30"])
def test_what_only_resembles_a_command_stays(innocent):
    assert clean_line(innocent) == innocent


def test_json_means_the_same_and_steers_no_terminal():
    told = json.dumps({HOSTILE: [HOSTILE, "\U000e0001", "ünïcode"]}, ensure_ascii=False, indent=1)
    shown = clean_json(told)
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == json.loads(told)
    assert "ünïcode" in shown


def test_a_long_text_is_searched_in_linear_time():
    text = "?" + "key" * 100_000
    assert mask_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("X-Gateway-Pass", True), ("X-Session", True), ("X-Api", True), ("Authorization", True), ("x-tenant", True),
        ("X-Request-ID", False), ("user-agent", False), ("x-lens-script", False), ("OpenAI-Organization", False),
    ],
)  # fmt: skip
def test_a_header_that_a_user_gives_is_secret_unless_its_name_is_harmless(name, hidden):
    assert may_hold_secret(name) is hidden
    assert mask_given_headers([(name, "q9 value")]) == [(name, "***" if hidden else "q9 value")]
    for words in (["-H", f"{name}: abc"], ["--header", f"{name}=abc"], [f"--header={name}: abc"], [f"-H{name}: abc"]):
        assert ("abc" in " ".join(mask_command(["profile", *words, "-n", "4"]))) is not hidden


def test_values_of_given_headers_are_masked_everywhere_but_plain_words_in_their_headers_alone():
    remember_given_headers([("X-Gateway-Pass", "q9-hidden-1"), ("X-Tenant", "openai"), ("X-Request-ID", "q9-shown-1")])
    assert mask_secrets("q9-hidden-1 openai q9-shown-1") == "*** openai q9-shown-1"
    assert mask_headers([("x-tenant", "openai"), ("X-Other", "openai")]) == [("x-tenant", "***"), ("X-Other", "openai")]


def test_words_of_a_command_that_are_no_headers_are_kept():
    words = ["benchmark", "-p", "a: b", "--threshold", "ttft_p95<1", "-H", "X-Trace: 7", "-H"]
    assert mask_command(words) == words
