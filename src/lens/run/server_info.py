"""Questions to a server about itself: which models it serves, and under which path its API is.

Asked only where a model is missing or an address is wrong. A failed request is None, never an error: the
answer only makes a message more helpful.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit, urlunsplit

import msgspec

from lens.analysis.diagnosis.symptoms import Served
from lens.errors import LensError
from lens.orchestrator.plan_target import PlanTarget
from lens.providers.openai import OpenAI
from lens.providers.values import as_dict, as_list, as_str, parse_json
from lens.push.http import Answer, Request, exchange, in_thread
from lens.secrets import mask_secrets

TIMEOUT_S = 10.0
# Paths that people copy along with a base URL.
ENDPOINT_PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/models")


async def list_models(target: PlanTarget, base_url: str) -> tuple[str, ...] | None:
    """Return the models that GET /models lists; None where the answer is not such a list."""
    answer = await _get_models(target, base_url)
    return None if answer is None or answer.status != 200 else _names(answer.body)


async def locate_api(target: PlanTarget, served: Served, timeout_s: float = TIMEOUT_S) -> Served:
    """Return `served` with the models listed at its address, or with a conventional address that answers better."""
    here = await _get_models(target, served.base_url, timeout_s)
    models = _names(here.body) if here is not None and here.status == 200 else None
    if here is None:
        return msgspec.structs.replace(served, silent=isinstance(target.provider, OpenAI))
    if models is not None:
        return msgspec.structs.replace(served, models=models, owner=_owner(here.body))
    others = candidate_urls(served.base_url)
    for other in others:
        answer = await _get_models(target, other, timeout_s)
        if answer is None or answer.status == here.status:
            continue
        if answer.status in (401, 403) or (answer.status == 200 and _names(answer.body) is not None):
            names, owner = _names(answer.body), _owner(answer.body)
            return msgspec.structs.replace(served, better_url=other, models=names, owner=owner)
    return msgspec.structs.replace(served, guessed_url=others[0] if others else None)


def candidate_urls(base_url: str) -> list[str]:
    """Return where an API may be instead: without an endpoint's path, under /v1, under /v1 of the root."""
    parts = urlsplit(base_url.rstrip("/"))
    path = parts.path
    for end in ENDPOINT_PATHS:
        path = path.removesuffix(end)
    paths = [path, *([] if path.endswith("/v1") else [f"{path}/v1"]), "/v1", "/api/v1", "/openai/v1"]
    found = [urlunsplit((parts.scheme, parts.netloc, one, "", "")) for one in dict.fromkeys(paths)]
    return [url for url in found if url != base_url.rstrip("/")]


async def _get_models(target: PlanTarget, base_url: str, timeout_s: float = TIMEOUT_S) -> Answer | None:
    if not isinstance(target.provider, OpenAI):
        return None
    headers = {"accept": "application/json"}
    if target.key is not None:
        headers["authorization"] = f"Bearer {target.key.reveal()}"
    asked = Request("GET", f"{base_url.rstrip('/')}/models", headers)
    try:
        return await in_thread(partial(exchange, asked, timeout_s, endpoint=target.endpoint))
    except LensError:
        return None


def _owner(body: bytes) -> str | None:
    first = next(iter(as_list(as_dict(parse_json(body)).get("data"))), None)
    return as_str(as_dict(first).get("owned_by"))


def _names(body: bytes) -> tuple[str, ...] | None:
    listing = parse_json(body)
    rows = as_dict(listing).get("data", listing)
    if not isinstance(rows, list):
        return None
    return tuple([mask_secrets(name) for row in as_list(rows) if (name := as_str(as_dict(row).get("id")))])
