"""Find the error in what a server sent, by the shapes and names that are in use, as one Failure with its words.

A message never repeats a key: what looks like one is masked, also when the server echoed it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lens.model import Failure
from lens.patterns import lazy_pattern
from lens.providers.values import (
    NOT_JSON,
    as_count,
    as_dict,
    as_list,
    as_name,
    as_str,
    json_text,
    parse_json,
    parse_json_or,
)
from lens.secrets import mask_secrets

# An event with one of these is an answer, whatever it says besides.
_ANSWER_KEYS = frozenset(
    {"choices", "candidates", "delta", "output", "response", "content", "done", "data", "generation"}
)
# Names of an error and of its words, written in any way: "ErrorMsg", "error_message", "faultstring".
_ERROR_NAMES = frozenset({"error", "errors", "errormsg", "errormessage", "exception", "fault"})
_WORDS = ("message", "msg", "errormessage", "errormsg", "detail", "description", "reason", "faultstring", "text")
# Objects that hold an answer's status beside it, or all of it.
_WRAPPERS = ("header", "Response", "result")
# Keys of an event that holds nothing but a sentence, as gateways send it: it may say why a stream ended.
_REMARK_KEYS = frozenset(
    {"message", "Message", "msg", "id", "request_id", "requestId", "connectionId", "trace_id", "timestamp"}
)
_IDLE_WORDS = lazy_pattern(
    r"ping|pong|keep-?\s?alive|heart-?\s?beat|process|queue|ok\b|wait|start|connect(?:ed|ing)", re.IGNORECASE
)
# Names of events that report an error: "error", "Exception", "response.error".
_ERROR_EVENT = lazy_pattern(r"(?:.*[._-])?(?:error|exception)", re.IGNORECASE)
_GOOD_CODES = (None, "", 0, 200, "0", "200", "ok", "OK", "success", "Success")
_CODE_NAMES = ("code", "status_code", "statusCode", "error_code", "errcode", "retcode", "ret_code")
_FAILED_WORD = lazy_pattern(r"err|exception|fail|invalid|denied|abort", re.IGNORECASE)
MESSAGE_CHARS = 500
MAX_ERROR_LINES = 64
FIRST_ERROR_STATUS = 400


def find_error(event: Any) -> Failure | None:
    """Return the error that an event or an answer reports in place of content; None where it reports none.

    Stricter than parse_error(), which knows already that a body is an error: what could be an answer is none.
    """
    if not isinstance(event, dict):
        return None
    if event.get("error"):
        return parse_error(event) or Failure(message=json_text(event)[:MESSAGE_CHARS])
    if (inside := event.get("data")) and isinstance(inside, dict) and inside.get("error"):
        return parse_error(inside)
    minimax = as_dict(event.get("base_resp"))
    if as_count(minimax.get("status_code")) != 0 and minimax.get("status_code") is not None:
        return make_failure(minimax.get("status_msg"), None, minimax.get("status_code"))
    if "error" in (event.get("object"), event.get("type"), event.get("event")):
        return parse_error(event) or Failure(message=json_text(event)[:MESSAGE_CHARS])
    return _find_other_error(event) if _ANSWER_KEYS.isdisjoint(event) else None


def _find_other_error(event: dict[str, Any]) -> Failure | None:
    """Return the error of an event that can be no answer, by the names that errors have elsewhere."""
    if (said := _words_in(event)) and _says_failed(event):
        return make_failure(said, event.get("type") or event.get("error_type"), event.get("code"))
    if event.get("detail"):
        return parse_error({"detail": event["detail"]})
    if (named := _error_of_other_name(event)) is not None:
        return named
    inside = (find_error(event[name]) for name in _WRAPPERS if name in event)
    return next((found for found in inside if found is not None), None)


@lru_cache(maxsize=1024)
def is_error_event(name: str) -> bool:
    """Return whether an SSE event of this name reports an error."""
    return _ERROR_EVENT.fullmatch(name) is not None


def find_remark(event: Any) -> Failure | None:
    """Return the sentence of an event that holds nothing else; it is a failure where the answer then stops."""
    if isinstance(event, dict):
        said = (_words_in(event) if _REMARK_KEYS.issuperset(event) else "").strip()
    else:
        said = as_str(event).strip()
    return make_failure(said, None, None) if said and not _IDLE_WORDS.search(said) else None


def _says_failed(event: dict[str, Any]) -> bool:
    """Return whether an object with a message is an error: by its code, type, status or `success`."""
    if any(event.get(name) not in _GOOD_CODES for name in _CODE_NAMES):
        return True
    status = event.get("status")
    kinds = f"{event.get('type')} {event.get('error_type')} {status if isinstance(status, str) else ''}"
    numbered = (as_count(status) or 0) >= FIRST_ERROR_STATUS
    return event.get("success") is False or numbered or _FAILED_WORD.search(kinds) is not None


def parse_error(data: Any) -> Failure | None:
    """Return the error in a parsed body, by the shapes that are in use; None where there is none."""
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # Google's streaming endpoint wraps its errors
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    error = next(iter(error), None) if isinstance(error, list) else error
    if isinstance(error, dict):
        details = as_dict(error.get("details"))
        code = error.get("code") if error.get("code") is not None else details.get("error_code")
        message = _words_in(error) or (json_text(error) if error else "")
        return make_failure(message, error.get("type") or error.get("status"), code)
    if isinstance(error, str):
        return make_failure(_with_description(error, data), data.get("error_type"), data.get("code"))
    if data.get("object") == "error" or "message" in data:
        return make_failure(data.get("message"), data.get("type"), data.get("code"))
    detail = data.get("detail")
    if isinstance(detail, str):
        return make_failure(detail, None, None)
    if isinstance(detail, dict):
        return parse_error(detail) or make_failure(json_text(detail), None, None)
    if as_list(detail):
        return make_failure(as_dict(as_list(detail)[0]).get("msg"), None, None)
    minimax = as_dict(data.get("base_resp"))
    if minimax:
        return make_failure(minimax.get("status_msg"), None, minimax.get("status_code"))
    if as_str(data.get("msg")):
        return make_failure(data["msg"], data.get("type"), data.get("code"))
    return _error_of_other_name(data)


def _error_of_other_name(data: dict[str, Any]) -> Failure | None:
    """Return the error under a name that is written in another way ("errors", "error_msg", "ErrorMessage")."""
    named = {_plain(key): value for key, value in data.items() if value and key != "error"}
    error = next((value for key, value in named.items() if key in _ERROR_NAMES), None)
    if error is None:
        return None
    code = named.get("code", named.get("errorcode"))
    return parse_error({"error": error, "code": code, "error_type": named.get("errortype")})


def _plain(key: Any) -> str:
    return str(key).lower().replace("_", "").replace("-", "")


def _words_in(error: dict[str, Any], depth: int = 0) -> str:
    """Return the words of an error object, also of an error inside it; "" where there are none."""
    named = {_plain(key): value for key, value in error.items()}
    for name in _WORDS:
        if said := as_str(named.get(name)):
            return said
    inside = named.get("error")
    if isinstance(inside, dict) and depth == 0:
        return _words_in(inside, 1)
    return as_str(inside)


def _with_description(error: str, data: dict[str, Any]) -> Any:
    """Return an error that is a string, with the sentence beside it where there is one."""
    more = as_name(data.get("error_description")) or as_name(data.get("message"))
    if not error or more is None:
        return error or more
    return more if error in more else f"{error}: {more}"


def parse_error_body(body: bytes) -> Failure | None:
    """Return the error in the body of an error status: JSON, or an event stream or JSON lines that hold one."""
    if (value := parse_json_or(body, NOT_JSON)) is not NOT_JSON:
        return parse_error(value)
    for line in body.splitlines()[:MAX_ERROR_LINES]:
        found = parse_error(parse_json(line.removeprefix(b"data:")))
        if found is not None and found.message:
            return found
    return None


def parse_error_event(data: bytes) -> Failure:
    """Return the failure of an SSE event named "error", whatever its data is."""
    found = parse_error_body(data)
    text = data.decode("utf-8", "replace").strip()
    if found is not None and found.message:
        return found
    return make_failure(text or "the stream reported an error without words", None, None)


def make_failure(message: Any, kind: Any, code: Any) -> Failure:
    """Return a failure of these words, type and code; what is none is left out."""
    text = mask_secrets(message if isinstance(message, str) else "")[:MESSAGE_CHARS]
    return Failure(message=text, type=error_type(kind), code=_error_code(code))


def error_type(kind: Any) -> str | None:
    """Return an error's type as text; some servers write a number."""
    return mask_secrets(str(kind))[:MESSAGE_CHARS] if isinstance(kind, str) or _error_code(kind) is not None else None


def _error_code(code: Any) -> str | int | None:
    """Return an error's code: a string, or a number that fits a record."""
    if isinstance(code, str):
        return mask_secrets(code)[:MESSAGE_CHARS]
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**63 else None
