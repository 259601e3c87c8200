"""Dashboards, alerts and recording rules: they ask only for what is really emitted, and fire and end as they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import yaml
from needs import need_module
from waiting import HANG_S

sys.path.insert(0, str(Path(__file__).parent))
import queries
from queries import DASHBOARDS, DEPLOY, OF_MONITOR, OF_PROMETHEUS, PREFIX, ROOT, panels, program, rules

from lens.export.buckets import LATENCY_MS
from lens.simulator import Script, start_thread

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def exposition(tmp_path_factory):
    """Of a run whose requests partly fail and are priced: name of a sample -> labels, bounds of le."""
    script = Script(tokens=5, ttft_ns=5_000_000, itl_ns=1_000_000, usage="always", status=500, fail_rate=0.3, seed=1)
    place = tmp_path_factory.mktemp("run")
    with start_thread(script) as there:
        words = ["benchmark", "--provider", "vllm", "--model", "m", "--base-url", f"{there.url}/v1", "-n", "30"]
        words += ["--connection", "fresh"]
        words += ["--price", "in=1,out=1", "--ui", "none", "--export", "jsonl,prometheus", "-o", "run.jsonl"]
        done = forks.server().run(words, cwd=place)
    lines = [line for line in (place / "run.prom").read_text().splitlines() if line[0] != "#"]
    found: dict[str, dict[str, set[str]]] = {}
    for line in lines:
        name, _, inside = line.rpartition("}")[0].partition("{")
        for label, value in re.findall(r'(\w+)="([^"]*)"', inside):
            found.setdefault(name, {}).setdefault(label, set()).add(value)
    assert {"Success", "ServerError"} <= found[f"{PREFIX}requests_total"]["status"], done.stderr
    return found


def asked() -> list[str]:
    return queries.panel_queries() + [rule["expr"] for rule in rules()]


@pytest.mark.parametrize("query", asked())
def test_a_query_asks_only_for_what_is_emitted(query, exposition):
    recorded = {rule["record"]: {"provider", "model"} for rule in rules() if "record" in rule}
    names = queries.metrics_of(query)
    assert names
    assert names <= exposition.keys() | recorded.keys() | OF_PROMETHEUS | OF_MONITOR.keys()
    for name, labels in queries.selectors_of(query).items():
        if name not in OF_PROMETHEUS:
            assert labels <= recorded.get(name, set()) | exposition.get(name, {}).keys() | OF_MONITOR.get(
                name, set()
            ), name
    bounds = re.findall(r'le=~"(\d+)', query)
    assert set(bounds) <= exposition[f"{PREFIX}ttft_ms_bucket"]["le"]


def test_what_is_grouped_by_is_a_label_of_what_is_grouped(exposition):
    for query in asked():
        labels = {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")}
        known = {label for name in queries.metrics_of(query) for label in exposition.get(name, {})}
        assert labels <= known | {"provider", "model"}, query


def test_the_bounds_that_an_slo_may_have_are_reported():
    text = (DEPLOY / "prometheus" / "recording.yml").read_text()
    assert " ".join(f"{bound:g}" for bound in LATENCY_MS) in text


def test_promtool_accepts_the_rules_and_the_config(tmp_path):
    paths = [str(DEPLOY / "prometheus" / name) for name in queries.RULES]
    done = subprocess.run(
        [program("promtool"), "check", "rules", *paths], capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    config = (
        (DEPLOY / "prometheus" / "prometheus.yml").read_text().replace("/etc/prometheus", str(DEPLOY / "prometheus"))
    )
    (tmp_path / "prometheus.yml").write_text(config)
    words = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rules found") == 2


def test_alerts_fire_and_end_as_their_tests_say(tmp_path):
    for path in [*(DEPLOY / "prometheus").glob("*.yml"), HERE / "alerts.test.yml"]:
        shutil.copy(path, tmp_path)
    words = [program("promtool"), "test", "rules", "alerts.test.yml"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires():
    tests = yaml.safe_load((HERE / "alerts.test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def test_every_alert_says_how_bad_it_is_and_what_it_is_of():
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_the_page_tells_of_every_alert():
    text = (ROOT / "docs" / "observatory.md").read_text()
    told = set(re.findall(r"llm_\w+", text.partition("## Alerts")[2].partition("## ")[0])) - {"llm_latency_lens"}
    told |= {f"llm_sla_burn{end}" for end in re.findall(r"`(_\w+)`", text)}
    assert told == {rule["alert"] for rule in rules() if "alert" in rule}


def test_the_dashboards_are_what_their_table_says():
    words = [sys.executable, str(ROOT / "tools" / "make_dashboards.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr


def test_panels_of_a_kind_share_one_form():
    forms: dict[str, set[str]] = {}
    for path in DASHBOARDS:
        for panel in panels(path):
            # Its own: where it stands, what it shows, in which unit, from when on in which color.
            own = {"id", "title", "description", "targets"}
            form = {key: value for key, value in panel.items() if key not in own}
            form["gridPos"] = {"h": panel["gridPos"]["h"]}
            form["fieldConfig"] = sorted(set(panel["fieldConfig"]["defaults"]) - {"max"})
            form["target"] = [
                {k: v for k, v in t.items() if k not in ("refId", "expr", "legendFormat")} for t in panel["targets"]
            ]
            form["target"] = (
                form["target"][:1] if all(t == form["target"][0] for t in form["target"]) else form["target"]
            )
            forms.setdefault(panel["type"], set()).add(repr(form))
    assert {kind: len(found) for kind, found in forms.items()} == dict.fromkeys(forms, 1)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap_and_have_names_of_their_own(path):
    taken: set[tuple[int, int]] = set()
    shown = json.loads(path.read_text())
    for panel in shown["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in shown["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert shown["uid"] == path.stem


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafanas_own_model_knows_every_field(path):
    model = need_module("grafana_foundation_sdk.models.dashboard", "pip install grafana-foundation-sdk")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    shown = json.loads(path.read_text())
    back = json.loads(JSONEncoder().encode(model.Dashboard.from_json(shown)))

    def missing(ours, theirs, at=""):
        if isinstance(ours, dict):
            return [
                m
                for k, v in ours.items()
                for m in (missing(v, theirs[k], f"{at}.{k}") if k in theirs else [f"{at}.{k}"])
            ]
        if isinstance(ours, list):
            pairs = enumerate(zip(ours, theirs, strict=True))
            return [m for i, (one, other) in pairs for m in missing(one, other, f"{at}[{i}]")]
        return [] if ours == theirs else [at]

    assert missing(shown, back) == []
