"""What a run tells the logger: what was decided before anything is sent, and how it ended."""

from __future__ import annotations

import logging
from pathlib import Path

from lens.orchestrator.plan import Plan, count_of
from lens.orchestrator.run_state import Outcome
from lens.units import human_duration

LOG = logging.getLogger(__name__)


def log_plan(plan: Plan) -> None:
    """Tell targets, load and limits, without secrets."""
    if not LOG.isEnabledFor(logging.INFO):
        return
    for target in plan.targets:
        endpoint = target.endpoint
        way = f", via {endpoint.proxy.label}" if endpoint.proxy else ""
        key = "with a key" if target.key else "without a key"
        LOG.info("target %s %s at %s%s, %s", target.info.provider, target.info.model, target.info.url, way, key)
    for stage in plan.stages:
        end = f", {human_duration(stage.duration_ns)}" if stage.duration_ns else ""
        LOG.info("load %s: %s requests%s%s", stage.name, count_of(stage) or "any number of", end,
                 ", warm-up" if stage.warmup else "")  # fmt: skip
    LOG.info("%d prompts, connections: %s, %d opened ahead, %d retries", len(plan.prompts), plan.connection,
             plan.warm_connections, plan.retry.retries)  # fmt: skip
    for warning in plan.warnings:
        LOG.info("%s", warning)


def log_outcome(outcome: Outcome, *, journal_path: Path | None) -> None:
    """Tell how a run ended."""
    took = human_duration(outcome.ended_ns - outcome.started_ns)
    LOG.info("%d requests in %s; %s", outcome.requests, took, outcome.stopped_by or "ran to its end")
    if journal_path is not None:
        LOG.debug("the journal is %s", journal_path)
