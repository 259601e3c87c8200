"""What a server says of itself beside its answers: which models it has, and under which path it answers.

Only asked where something is missing or wrong. What does not answer is None, never an error: the question
was only a help.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import msgspec

from lens.analysis.diagnosis.symptoms import Served
from lens.errors import LensError
from lens.model import UNREADABLE
from lens.orchestrator.plan import PlanTarget
from lens.providers.base import as_dict, as_list, as_str
from lens.providers.openai import OpenAI
from lens.transport.post import Answer, post

ANSWER_WITHIN_S = 10.0
# What people copy along with a base URL.
ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/models")


async def list_models(target: PlanTarget, base_url: str) -> tuple[str, ...] | None:
    """The models that GET /models names; None where it is no list."""
    answer = await _get(target, base_url)
    return None if answer is None or answer.status != 200 else _names(answer.body)


async def look_around(target: PlanTarget, served: Served) -> Served:
    """Whether the models are listed at this address, or else at one that is usual."""
    here = await _get(target, served.base_url)
    models = _names(here.body) if here is not None and here.status == 200 else None
    if models is not None or here is None:
        return msgspec.structs.replace(served, models=models)
    others = usual_addresses(served.base_url)
    for other in others:
        answer = await _get(target, other)
        if answer is None or answer.status == here.status:
            continue
        if answer.status in (401, 403) or (answer.status == 200 and _names(answer.body) is not None):
            return msgspec.structs.replace(served, better_url=other, models=_names(answer.body))
    return msgspec.structs.replace(served, guessed_url=others[0] if others else None)


def usual_addresses(base_url: str) -> list[str]:
    """Where an API may be instead: without an endpoint's path, with /v1, at the root's /v1."""
    parts = urlsplit(base_url.rstrip("/"))
    path = parts.path
    for end in ENDPOINTS:
        path = path.removesuffix(end)
    paths = [path, *([] if path.endswith("/v1") else [f"{path}/v1"]), "/v1", "/api/v1", "/openai/v1"]
    found = [urlunsplit((parts.scheme, parts.netloc, one, "", "")) for one in dict.fromkeys(paths)]
    return [url for url in found if url != base_url.rstrip("/")]


async def _get(target: PlanTarget, base_url: str) -> Answer | None:
    if not isinstance(target.provider, OpenAI):
        return None
    headers = {"accept": "application/json"}
    if target.key is not None:
        headers["authorization"] = f"Bearer {target.key.reveal()}"
    try:
        return await post(
            f"{base_url.rstrip('/')}/models", b"", headers, ANSWER_WITHIN_S, method="GET", endpoint=target.endpoint
        )
    except LensError:
        return None


def _names(body: bytes) -> tuple[str, ...] | None:
    try:
        told = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    rows = as_dict(told).get("data", told)
    if not isinstance(rows, list):
        return None
    return tuple([name for row in as_list(rows) if (name := as_str(as_dict(row).get("id")))])
