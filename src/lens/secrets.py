"""Secrets: which names hold them, what they look like, and texts, headers and URLs without them.

Everything that is shown, logged or written and may hold a key passes through here: commands, headers,
addresses, what a server said. A value is masked because it was remembered, because of the name that it
stands under, or because it looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, quote, unquote

from lens.patterns import lazy_pattern

MASK = "***"
# Shorter values would mask innocent text.
SHORTEST = 6
_NAMES = r"auth|key|token|secret|cookie|password|credential"
_SENSITIVE = lazy_pattern(_NAMES, re.IGNORECASE)
# InfluxDB's password in a query: https://docs.influxdata.com/influxdb/v1/tools/api/#query-string-parameters-2
# and the names under which signed addresses carry their signature.
_PASSWORD_PARAMETERS = frozenset(("p", "sig", "signature", "x-amz-signature", "code"))
# Keys of the providers we know begin like this; the last resort, behind what is remembered.
_LOOKS_SECRET = lazy_pattern(
    r"\b(sk[-_]|AIza|key-(?=[\w-]{0,200}\d))[\w\-*.]{5,}[\w\-*]"
    r"|\b((?:pk|rk|gsk|xai|nvapi|hf|r8|pplx|fw|csk)[-_])[\w\-*.]{7,}[\w\-*]"
    r"|(\bBearer\s+)[^\s'\",]+"
    r"|(://)[^/\s@]+(?=@)"
    rf"|([?&](?i:p|[\w.-]{{0,64}}(?:{_NAMES})[\w.-]{{0,64}})=)[^&\s'\"#]+",
    re.ASCII,
)
# What starts a command of GitHub's and GitLab's, Azure's and TeamCity's runners: "::error ...::", "##[error]",
# "##vso[", "##teamcity["; a wrapped line may begin with any word.
_RUNNER_COMMAND = lazy_pattern(r"::(?=[A-Za-z][\w-]*(?:\s[^:]*)?::)|##(?=(?:vso|teamcity)?\[)")
_MARK = lazy_pattern("::|##")
_HOST_AND_PORT = lazy_pattern(r"(\[[^]]*]|[^:]*)(:\d*)?")
# What people write where a server wants no key; to mask these would mask innocent text.
_PLACEHOLDERS = frozenset(("ollama", "unused", "not-needed", "notneeded", "lm-studio", "placeholder", "no-key"))
# Access tokens are renewed each hour for as long as a monitor runs; the oldest are forgotten.
MOST_KNOWN = 256
# Names of settings and body fields that hold a secret whatever they hold; "max_tokens" and "cache_key" do not.
_HOLDS_SECRET = lazy_pattern(
    r"(.*[-_.])?(api[-_]?keys?|apikey|secrets?|secret[-_]?key|access[-_]?key|private[-_]?key|password|passwd"
    r"|credentials?|auth|authorization|token|bearer|(access|auth|api|session|refresh|id|bearer|user)[-_]?token)",
    re.IGNORECASE,
)


# Headers that a user gives and that hold no secret; any other may, whatever its name says.
_HARMLESS = frozenset((
    "accept", "accept-charset", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version",
    "baggage", "cache-control", "connection", "content-encoding", "content-language", "content-length",
    "content-type", "date", "dnt", "expect", "forwarded", "host", "http-referer", "idempotency-key", "keep-alive",
    "openai-beta", "openai-organization", "openai-project", "origin", "pragma", "priority", "referer", "te",
    "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent", "via", "x-app", "x-b3-spanid",
    "x-b3-traceid", "x-client-request-id", "x-correlation-id", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-proto", "x-goog-user-project", "x-lens-script", "x-request-id", "x-request-timeout", "x-title",
    "x-trace", "x-trace-id",
))  # fmt: skip
_OF_HEADERS = ("-H", "--header")  # options behind which a header stands


class _Known:
    """The secrets of this process, in every form in which one may be written."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[str, ...]] = {}
        self._pattern: re.Pattern[str] | None = None
        self._bytes: tuple[bytes, ...] | None = None

    def add(self, value: str) -> None:
        if value not in self._forms:
            self._forms[value] = _forms(value)
            if len(self._forms) > MOST_KNOWN:
                del self._forms[next(iter(self._forms))]
            self._pattern = self._bytes = None

    def all_forms(self) -> set[str]:
        return {form for forms in tuple(self._forms.values()) for form in forms}

    def mask(self, text: str) -> str:
        if not self._forms:
            return text
        if self._pattern is None:
            longest_first = sorted(self.all_forms(), key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._pattern.sub(MASK, text)

    def has_any(self) -> bool:
        return bool(self._forms)

    def in_bytes(self, data: bytes) -> bool:
        if self._bytes is None:
            self._bytes = tuple([form.encode("utf-8", "replace") for form in self.all_forms()])
        return any(form in data for form in self._bytes)


_known = _Known()
_given: set[str] = set()  # names, in small letters, of headers that a user gave and that may hold a secret


def _forms(value: str) -> tuple[str, ...]:
    """Return a secret as it is, in a URL, in JSON, in the repr of a text, and in an HTML page."""
    import json

    quoted = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    html = quoted.replace('"', "&quot;").replace("'", "&#x27;")
    written = (value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1], repr(value)[1:-1], html)
    return tuple(dict.fromkeys(written))


def is_sensitive(name: str) -> bool:
    """Return whether a header, variable or parameter of this name may hold a secret."""
    return _SENSITIVE.search(name) is not None


def remember_secret(value: str | None) -> None:
    """Mask this value from now on wherever it appears in what `mask_secrets` returns."""
    if value and len(value) >= SHORTEST and value.lower() not in _PLACEHOLDERS:
        _known.add(value)


def holds_secret(name: str) -> bool:
    """Return whether a setting or a field of a body with this name holds a secret, whatever its value is."""
    return _HOLDS_SECRET.fullmatch(name) is not None


def remember_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Remember the values of headers or variables that may hold secrets by their names."""
    for name, value in headers:
        if is_sensitive(name):
            remember_secret(value)


def may_hold_secret(name: str) -> bool:
    """Return whether a header that a user gives may hold a secret: each may whose name is not known to be harmless."""
    return is_sensitive(name) or name.strip().lower() not in _HARMLESS


def remember_given_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Remember the headers that a user gave and that may hold a secret: their names, and their values.

    A plain word under a name that does not sound secret is masked in its header alone: it may be a provider's name.
    """
    for name, value in headers:
        if may_hold_secret(name):
            _given.add(name.strip().lower())
            if is_sensitive(name) or not value.isalpha():
                remember_secret(value)


def mask_given_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers that a user gave, with the values of those masked that may hold secrets."""
    return [(name, MASK if may_hold_secret(name) else value) for name, value in headers]


def mask_command(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without secrets."""
    found = []
    for before, word in zip(("", *words), words, strict=False):
        option = next((one for one in ("--header=", "-H") if word.startswith(one) and word != one), "")
        header = word.removeprefix(option)
        name = header[: min((at for at in (header.find(":"), header.find("=")) if at > 0), default=0)]
        is_given = (option or before in _OF_HEADERS) and name
        found.append(f"{option}{name}: {MASK}" if is_given and may_hold_secret(name) else mask_secrets(word))
    return found


def remember_url(url: str) -> None:
    """Remember the user's name and password and the query of a URL, and the parameters that may be secrets alone."""
    _, _, query = url.partition("?")
    remember_secret(query)
    for name, value in parse_qsl(query):
        if name.lower() in _PASSWORD_PARAMETERS or is_sensitive(name):
            remember_secret(value)
    user_info = _user_info(url)
    password = user_info.partition(":")[2] or user_info
    remember_secret(password)
    remember_secret(unquote(password))
    if user_info:  # as it stands in a header: RFC 7617
        from base64 import b64encode

        remember_secret(b64encode(unquote(user_info).encode("utf-8", "replace")).decode())


def mask_known(text: str) -> str:
    """Return the text without the secrets that were remembered; what only looks like a key stays."""
    return _known.mask(text)


def knows_secrets() -> bool:
    """Return whether a secret was remembered."""
    return _known.has_any()


def is_known_in(data: bytes) -> bool:
    """Return whether a secret that was remembered stands in the bytes."""
    return _known.in_bytes(data)


def mask_secrets(text: str) -> str:
    """Return the text without secrets; of what only looks like a key, its prefix stays."""
    text = _known.mask(text)
    return _LOOKS_SECRET.sub(lambda found: f"{next(g for g in found.groups() if g is not None)}{MASK}", text)


def one_line(text: str, most: int | None = None) -> str:
    """Return the text clean, on one line that is shortened to `most` characters."""
    line = clean_line(" ".join(text.split()))
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."


def clean_line(text: str) -> str:
    """Return a line as it may be shown on a terminal and in a log, whoever wrote it.

    Without secrets; with a blank for each character that steers a terminal or turns the direction of writing; and so
    that no part of it is a command to a runner of continuous integration.
    """
    return clean_piece(mask_secrets(text))


def clean_piece(text: str) -> str:
    """Return a part of a line without what steers a terminal or a runner; see `clean_line`."""
    if not text.isprintable():
        text = "".join([c if c.isprintable() else " " for c in text])
    return _RUNNER_COMMAND.sub(lambda found: f"{found[0][0]} {found[0][1]}", text) if _MARK.search(text) else text


def clean_lines(text: str) -> str:
    """Return lines of text, each without what steers a terminal or a runner; see `clean_line`."""
    return "\n".join(map(clean_piece, text.split("\n")))


def clean_json(text: str) -> str:
    """Return JSON text that means the same, with an escape for each character that steers a terminal."""
    text = text.replace("##", "#\\u0023")  # both stand in a string, nowhere else
    lines = [
        line if line.isprintable() else "".join([c if c.isprintable() else _escaped(c) for c in line])
        for line in text.split("\n")
    ]
    return "\n".join(lines)


def _escaped(character: str) -> str:
    import json

    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


def mask_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers with the values of those masked that may hold secrets by their names, or that a user gave."""
    return [(name, MASK if is_sensitive(name) or name.lower() in _given else value) for name, value in headers]


def bare_url(url: str) -> str:
    """Return the URL without credentials and query, as it may be shown."""
    bare, _, _ = url.partition("?")
    user_info = _user_info(bare)
    return bare.replace(f"{user_info}@", "", 1) if user_info else bare


def _user_info(url: str) -> str:
    """Return what stands before the @ of a URL's authority; a password may hold a slash that is not escaped."""
    rest = url.partition("://")[2] or url
    authority = rest.partition("/")[0]
    whole = "@" in authority or _HOST_AND_PORT.fullmatch(authority)
    return (authority if whole else rest).rpartition("@")[0]
