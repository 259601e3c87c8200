"""What the dashboards and the rules ask Prometheus, as they stand in deploy/, and where its programs are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from needs import need_program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PREFIX = "llm_latency_lens_"
RULES = ("recording.yml", "alerts.yml")
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
# What Prometheus itself makes.
OF_PROMETHEUS = {"up", "ALERTS"}
# What the monitor tells of itself; a real one is held to it in test_deploy_demo.py.
OF_MONITOR = {
    f"{PREFIX}slo_burn_rate": {"provider", "model", "target", "slo", "window"},
    f"{PREFIX}alerts_firing": {"provider", "model", "target", "alert"},
    f"{PREFIX}monitor_rounds_total": set(),
    f"{PREFIX}monitor_rounds_late_total": set(),
    f"{PREFIX}push_waiting": {"receiver"},
}


def program(name: str) -> str:
    return need_program(name, "apt-get install prometheus")


def rules() -> list[dict]:
    groups = [group for name in RULES for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def panels(path: Path) -> list[dict]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def panel_queries(window: str = "5m") -> list[str]:
    """With Grafana's variables filled in: all targets, one window."""
    asked = [target["expr"] for path in DASHBOARDS for panel in panels(path) for target in panel["targets"]]
    for name in ("$window", "$__range", "$__rate_interval"):
        asked = [query.replace(name, window) for query in asked]
    return [query.replace("$provider", ".*").replace("$model", ".*") for query in asked]


def metrics_of(query: str) -> set[str]:
    """Names of metrics in a query: what is followed by a selector, a window, or stands alone; no function, no label."""
    bare = re.sub(r'"[^"]*"', '""', query)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?!\w|\s*\()", bare)
    return set(words) - {"and", "or", "unless", "bool", "e6", "inf"}


def selectors_of(query: str) -> dict[str, set[str]]:
    """Metric -> labels that its selectors name."""
    found: dict[str, set[str]] = {}
    for name, inside in re.findall(r"([A-Za-z_:][\w:]*)\{([^}]*)\}", query):
        found.setdefault(name, set()).update(re.findall(r'(\w+)\s*[=!]~?\s*"', inside))
    return found
