"""Describe what a run would do, as plain data, without sending anything.

The rule: everything a key could hide in is hidden, also where a provider puts the key into the path
or a header of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lens.columns import UNREADABLE
from lens.config.settings import RunConfig
from lens.orchestrator.plan import Plan, count_of, make_plan
from lens.orchestrator.plan_target import PlanTarget
from lens.orchestrator.schedule import Stage
from lens.orchestrator.sessions.session import SessionPlan, Turn
from lens.orchestrator.shards import check_parts, share_of
from lens.pricing import PriceBook
from lens.run.budget import quote
from lens.run.checks import check_config
from lens.run.recorded_sessions import recorded_sessions
from lens.run.simulators import with_placeholders
from lens.secrets import mask_headers, mask_known, mask_secrets
from lens.units import seconds
from lens.wire import WireRequest


def dry_run(config: RunConfig, book: PriceBook) -> dict[str, Any]:
    """Return the schedule of a run and its estimated cost.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed.
    """
    check_config(config)
    plan = make_plan(with_placeholders(config), read=recorded_sessions(config))
    share = share_of(config.load)
    check_parts(share, plan.stages)
    ours = {"shard": config.load.shard, "requests_of_shard": share.total(plan.stages)} if share.of > 1 else {}
    return {**described(plan), **ours, "cost": quote(plan, book)}


def described(plan: Plan) -> dict[str, Any]:
    """Return the plan: targets with one request of each in full, stages with their numbers, limits."""
    limits = {
        name: seconds(value)
        for name, value in (
            ("timeout_s", plan.timeouts.total_ns),
            ("connect_timeout_s", plan.timeouts.connect_ns),
            ("ttft_timeout_s", plan.timeouts.ttft_ns),
            ("idle_timeout_s", plan.timeouts.idle_ns),
        )
        if value is not None
    }
    return {
        "requests": plan.total,
        "targets": [_target(target, plan.requests[i]) for i, target in enumerate(plan.targets)],
        **({"prompts": len(plan.prompts)} if plan.sessions is None else {"sessions": _sessions(plan.sessions)}),
        "stages": [_stage(stage) for stage in plan.stages],
        "connection": plan.connection,
        "connections_opened_ahead": plan.warm_connections,
        "retries": plan.retry.retries,
        "limits": limits,
    }


def _target(target: PlanTarget, requests: tuple[WireRequest, ...]) -> dict[str, Any]:
    endpoint = target.endpoint
    found: dict[str, Any] = {
        "name": target.info.name,
        "labels": target.labels or None,
        "provider": target.info.provider,
        "model": target.info.model,
        "url": target.info.url,
        "via": endpoint.unix_socket or (endpoint.proxy.label if endpoint.proxy else None),
        "certificates": "not checked" if endpoint.insecure and endpoint.scheme == "https" else None,
        "request": _request(requests[0]),
        "body_bytes": sum(len(request.body) for request in requests) // len(requests),
    }
    return {name: value for name, value in found.items() if value is not None}


def _request(request: WireRequest) -> dict[str, Any]:
    sent = [(name.decode("latin-1"), mask_secrets(value.decode("latin-1"))) for name, value in request.headers]
    try:
        body: Any = msgspec.json.decode(mask_known(request.body.decode("utf-8", "replace")))
    except UNREADABLE:
        body = f"{len(request.body)} bytes"
    path = mask_secrets(request.path)
    return {"method": request.method, "path": path, "headers": dict(mask_headers(sent)), "body": body}


def _sessions(plan: SessionPlan) -> dict[str, Any]:
    """Return the sessions of a run, with the turns of the first."""
    turns = sorted(len(session.turns) for session in plan.sessions)
    first = plan.sessions[0]
    found: dict[str, Any] = {
        "source": plan.source,
        "different": len(plan.sessions),
        "turns": {"all": sum(turns), "fewest": turns[0], "median": turns[len(turns) // 2], "most": turns[-1]},
        "think_s": seconds(sum(turn.think_ns for session in plan.sessions for turn in session.turns)),
        "tool_s": seconds(sum(turn.tool_ns for session in plan.sessions for turn in session.turns)),
        "history": plan.history,
        "salt": plan.salt,
        "header": plan.header,
        "until": plan.until,
        "first": {"id": first.id, "turns": [_turn(turn) for turn in first.turns]},
    }
    return {name: value for name, value in found.items() if value is not None}


def _turn(turn: Turn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "after": list(turn.after),
        "history": len(turn.history),
        "messages": [str(message.get("role")) for message in turn.messages],
        "think_s": seconds(turn.think_ns) or None,
        "tool_s": seconds(turn.tool_ns) or None,
        "max_tokens": turn.max_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _stage(stage: Stage) -> dict[str, Any]:
    found = {
        "name": stage.name,
        "requests": count_of(stage),
        "at_a_time": stage.concurrency or stage.limit,
        "rate_per_s": stage.rate_per_s,
        "to_per_s": stage.to_per_s,
        "arrival": stage.arrival if stage.rate_per_s is not None else None,
        "duration_s": seconds(stage.duration_ns) if stage.duration_ns is not None else None,
        "warmup": stage.warmup or None,
        "warmup_s": seconds(stage.warmup_ns) or None,
    }
    return {name: value for name, value in found.items() if value is not None}
