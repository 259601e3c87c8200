"""Requests that failed or brought nothing, as findings: what happened, in whose words, and what to try next.

One finding for each way of failing, however many requests it struck. A message is shown as the record
holds it, which holds no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from lens.analysis.diagnosis.symptoms import Finding, Served, requests
from lens.model import Record, Status

# So many names of models are listed.
MOST_MODELS = 8
_OF_MODEL = re.compile(r"model", re.IGNORECASE)
_PLAIN_ON_TLS = re.compile(r"wrong.version.number|record layer|unknown protocol|not HTTP", re.IGNORECASE)
_TLS_ON_PLAIN = re.compile(r"plain HTTP|HTTPS port|HTTP request to an HTTPS|not HTTP/1.1", re.IGNORECASE)
_OF_SOCKET = re.compile(r"no connection to (?P<path>/.*): (?P<why>[^:]*)$")
_OF_FAMILY = re.compile(r": it has no (?P<family>IPv[46]) address$")
_OF_LIMIT = re.compile(r"--answer-limit \w+=N")

NO_CONTENT = 204
CONTENT_TYPE = "content_type"  # the kind of a failure whose answer is a page or a document

Told = tuple[str, str, str]  # cause, what it means, what to try next


def refusals(records: Sequence[Record], served: Served, empty: Sequence[Record] = ()) -> list[Finding]:
    """Return a finding for each way in which requests failed, and one for empty answers; the most frequent first."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status not in (Status.SUCCESS, Status.CANCELLED):
            kind = kind_of(record)
            finer = kind if record.status is Status.NETWORK_ERROR or kind == CONTENT_TYPE else ""
            groups.setdefault((record.category, finer), []).append(record)
    found = [_finding(category, kind, group, len(records), served) for (category, kind), group in groups.items()]
    if empty:
        found.append((len(empty), _empty(empty, sum(record.status is Status.SUCCESS for record in records))))
    return [finding for _, finding in sorted(found, key=lambda pair: -pair[0])]


def _empty(empty: Sequence[Record], answered: int) -> Finding:
    """Return the finding of the answers that succeeded and brought nothing."""
    tokens = sum((record.usage.output_tokens or 0) for record in empty if record.usage)
    reasons = sorted({record.finish_reason for record in empty if record.finish_reason})
    evidence = [
        f"{requests([one.index for one in empty])}: they succeeded, and no token came, so that nothing is timed"
    ]
    if reasons:
        evidence.append(f"finish reason: {', '.join(reasons)}")
    if tokens:
        evidence.append(f"the server counts {tokens:,} output tokens of them")
    return Finding(
        cause="empty answer",
        kind="failure",
        says=f"{len(empty)} of {answered} answers brought no text, reasoning or tool call",
        evidence=tuple(evidence),
        try_next=_THOUGHT if tokens else _NOTHING,
    )


def _finding(category: str, kind: str, group: list[Record], asked: int, served: Served) -> tuple[int, Finding]:
    record = group[0]
    says = record.failure.message if record.failure else category
    cause, means, try_next = _told(category, kind, record, served)
    whole = "every request" if len(group) == asked else f"{len(group)} of {asked} requests"
    numbers = requests([one.index for one in group])
    status = f"HTTP {record.http_status}: " if record.http_status and str(record.http_status) not in says else ""
    wait_s = max((one.failure.retry_after_s or 0 for one in group if one.failure), default=0)
    evidence = [f"{whole} failed ({numbers}): {status}{says}"]
    if wait_s:
        evidence.append(f"the server asks to wait {wait_s:g} s before trying again")
    evidence += _limits(record)
    return len(group), Finding(
        cause=cause,
        kind="failure",
        says=means,
        ms=wait_s * 1000 if wait_s else None,
        evidence=tuple(evidence),
        try_next=try_next,
    )


def _limits(record: Record) -> list[str]:
    told = [
        f"{one.remaining:,} of {one.limit:,} {name} left"
        + (f", full again in {one.reset_s:g} s" if one.reset_s is not None else "")
        for name, one in record.rate_limits.items()
        if one.remaining is not None and one.limit is not None
    ]
    return [f"limits it told: {'; '.join(told)}"] if told and record.status is Status.RATE_LIMITED else []


def _told(category: str, kind: str, record: Record, served: Served) -> Told:
    if record.stamps.informational is not None and record.http_status is None and kind != "proxy":
        return _INFORMATIONAL
    if kind in _OF_NETWORK:
        return _OF_NETWORK[kind](record, served)
    if category == "not_found":
        return _not_found(record, served)
    if category == "invalid_request" and _TLS_ON_PLAIN.search(_says(record)):
        return _wrong_scheme(served)
    if category == "invalid_request" and not served.model:
        return _no_model(served)
    if category in _OF_CATEGORY:
        return _OF_CATEGORY[category]
    if kind_of(record) == CONTENT_TYPE:
        return _PAGE
    if category == "protocol_error" and (record.http_status or 0) < 400:
        return _wrong_answer(record, served)
    return (
        "server error",
        f"the server failed ({category.replace('_', ' ')})",
        "ask again in a while; its log, or the provider's status page, knows more",
    )


def kind_of(record: Record) -> str:
    """Return the kind of a failure, "" where there is none."""
    return (record.failure.type or "") if record.failure else ""


def _says(record: Record) -> str:
    return record.failure.message if record.failure else ""


def _host(served: Served) -> str:
    return urlsplit(served.base_url).hostname or "the host"


def _dns(record: Record, served: Served) -> Told:
    host = _host(served)
    if (wanted := _OF_FAMILY.search(_says(record))) is not None:
        option = "-4" if wanted["family"] == "IPv4" else "-6"
        return "name", f"{host} has no {wanted['family']} address", f"leave out {option}, or give another address"
    return (
        "name",
        f"the name {host} does not resolve to an address",
        f"check its spelling; does `getent hosts {host}` know it? --resolve HOST:PORT:ADDRESS goes past DNS",
    )


def _connect(record: Record, served: Served) -> Told:
    if (socket := _OF_SOCKET.search(_says(record))) is not None:
        means = f"no server takes connections at {socket['path']}: {socket['why']}"
        return "socket", means, "is the server running, and is that the path of its socket (--unix-socket)?"
    says = _says(record).lower()
    address = urlsplit(served.base_url).netloc.rpartition("@")[2] or "the address"
    if "refused" in says:
        means = f"nothing listens at {address}: the connection was refused"
        return "refused", means, "is the server running, and on this port? In a container: is the port published?"
    means = f"no connection to {address}: no answer"
    return "unreachable", means, "a firewall, a VPN or a proxy may stand between: --proxy, --ipv4, --connect-timeout"


def _tls(record: Record, served: Served) -> Told:
    if _PLAIN_ON_TLS.search(_says(record)):
        return _wrong_scheme(served)
    return (
        "certificate",
        "the TLS handshake failed: the certificate is not one to trust for this name",
        "--cacert FILE for an authority of your own; is the name in the URL the one the certificate is for? "
        "--insecure goes on without checking, and says so",
    )


def _wrong_scheme(served: Served) -> Told:
    here = urlsplit(served.base_url).scheme or "http"
    other = "http" if here == "https" else "https"
    return "scheme", f"the port does not speak what {here}:// means", f"try {other}:// in the same address"


def _wrong_answer(record: Record, served: Served) -> Told:
    """Return what to say of an answer that is no error of the server's, and none that can be read."""
    status = record.http_status or 0
    if 300 <= status < 400:
        means = f"the API is not at {served.base_url or 'this address'}: the server points elsewhere"
        return "moved", means, "give the address that it points to as --base-url; redirects are not followed"
    if status == NO_CONTENT:
        return "no content", "the server accepted the request and sent nothing", "is the path that of a streaming API?"
    if _OF_LIMIT.search(_says(record)):
        return "limit", "the answer is beyond what is read of one", "the option that it names allows more"
    if not status and _PLAIN_ON_TLS.search(_says(record)):
        return _wrong_scheme(served)
    return (
        "protocol",
        "what answers does not keep to HTTP/1.1",
        "is it the server, or a proxy before it? --proxy '' goes without; its log knows",
    )


def _proxy(*_: object) -> Told:
    return "proxy", "the proxy refused or broke off", "check --proxy and HTTPS_PROXY; --proxy '' goes without"


def _timeout(record: Record, served: Served) -> Told:
    says = _says(record)
    if "waiting for the proxy" in says:
        means = "the proxy takes connections and does not answer"
        return "proxy", means, "is --proxy, or HTTPS_PROXY, the address of an HTTP proxy? --proxy '' goes without"
    if "TLS handshake" in says:
        address = urlsplit(served.base_url).netloc.rpartition("@")[2] or "the address"
        means = f"{address} accepts connections and is silent in the TLS handshake"
        return "handshake", means, "does the server hang, or a proxy before it? A port without TLS wants http://"
    if record.stamps.tcp_end is None and record.stamps.send_end is None:
        return _connect(record, served)
    means = "no answer within the time limit"
    return "timeout", means, "a model that is loading, or a queue: --timeout 5m waits longer; look at the server's log"


def _closed(record: Record, served: Served) -> Told:
    advice = "a proxy or a load balancer with a short limit, or a server that restarts: compare with a request past it"
    if record.stamps.first_byte is None and served.base_url.startswith("http://"):
        advice = "does it want https:// there? Else a server that restarts, or a firewall: its log knows"
    return "broken off", "the connection broke before the answer was complete", advice


def _not_found(record: Record, served: Served) -> Told:
    failure = record.failure
    named = failure is not None and _OF_MODEL.search(f"{failure.code or ''} {failure.message}")
    missing = served.models is not None and served.model not in served.models
    if served.better_url is not None:
        means = f"the path is wrong: nothing answers under {served.base_url}"
        return "path", means, f"--base-url {served.better_url} answers"
    if not served.model and (named or served.guessed_url is None):
        return _no_model(served)
    if named or missing:
        return "model", f"there is no model {served.model!r} here", _models(served)
    guess = served.guessed_url
    means = f"the path is wrong: nothing answers under {served.base_url}"
    advice = (
        f"try --base-url {guess}" if guess else "check the path; most servers of OpenAI's protocol want /v1 at its end"
    )
    return "path", means, advice


def _no_model(served: Served) -> Told:
    return "model", "no model was named, and the server wants one", _models(served)


def _models(served: Served) -> str:
    if not served.models:
        return "give --model NAME; this server does not list its models"
    shown = ", ".join(served.models[:MOST_MODELS])
    more = f" and {len(served.models) - MOST_MODELS} more" if len(served.models) > MOST_MODELS else ""
    return f"--model with one of: {shown}{more}"


# What to try where answers are empty: tokens were counted, or none.
_THOUGHT = (
    "thinking that is not shown may use up all the tokens that an answer may have: ask for less of it, like "
    '--extra-body \'{"reasoning_effort": "low"}\'; else look at an answer with `lll profile --log-level trace`'
)
_NOTHING = (
    "look at an answer with `lll profile --log-level trace`; are weights, tokenizer and chat template those of the "
    "model? The server's log knows more"
)
_INFORMATIONAL: Told = (
    "informational",
    "only informational heads (1xx) came, and never the answer",
    "a proxy or gateway before the server may send them: ask past it (--proxy '' goes without); its log knows more",
)
_PAGE: Told = (
    "page",
    "a page or document was served, not an answer of the API",
    "is the base URL that of an API? Most servers of OpenAI's protocol want /v1 at its end; else a login page or a "
    "proxy stands before it",
)
_OF_NETWORK: dict[str, Callable[[Record, Served], Told]] = {
    "dns": _dns,
    "connect": _connect,
    "tls": _tls,
    "proxy": _proxy,
    "timeout": _timeout,
    "incomplete_body": _closed,
    "incomplete_head": _closed,
    "connection_reset": _closed,
    "no_answer": _closed,
}
_OF_CATEGORY: dict[str, Told] = {
    "auth": (
        "key",
        "the key was refused",
        "is it this provider's key, and still valid? --api-key-env NAME, or the provider's own variable",
    ),
    "permission": ("permission", "the key may not do this", "ask for access to this model, project or region"),
    "rate_limited": (
        "rate limit",
        "the rate limit is used up: requests are refused, not slow",
        "send fewer at a time, --adaptive throttles by itself; or ask the provider for a higher limit",
    ),
    "quota_exceeded": ("quota", "the account's money or quota is used up", "look at the provider's billing page"),
    "overloaded": (
        "overloaded",
        "the server has too much to do, or still loads its model",
        "ask again in a while; --retries 3 waits as long as the server asks",
    ),
    "invalid_request": (
        "request",
        "the server does not accept this request",
        "its message says which field; --api and --extra-body change what is sent",
    ),
    "context_length": ("prompt", "the prompt is longer than the model takes", "give a smaller --input-tokens"),
    "empty": ("empty answer", "the answer held no text", "does `lll profile --prompt TEXT` get one?"),
}
