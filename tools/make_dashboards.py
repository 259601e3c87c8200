"""Makes deploy/grafana/*.json from the one table of dashboard_table.py, so that all panels share one form.

    python tools/make_dashboards.py [--check] [FOLDER]

With --check nothing is written; it fails where a file is not what the table says.
"""

import argparse
import json
import sys
from pathlib import Path

from dashboard_table import DASHBOARDS, GREEN, P

GOAL = Path(__file__).parents[1] / "deploy" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = {"stat": 4, "bargauge": 7, "timeseries": 8, "heatmap": 8, "table": 8}
# What a kind of panel wants beyond what all have.
LAST = {"calcs": ["lastNotNull"]}
OPTIONS = {
    "stat": {"colorMode": "value", "graphMode": "area", "textMode": "value_and_name", "reduceOptions": LAST},
    "bargauge": {"displayMode": "gradient", "orientation": "horizontal", "reduceOptions": LAST},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "heatmap": {"calculate": False, "yAxis": {"unit": "ms"}, "color": {"mode": "scheme", "scheme": "Turbo"}},
    "table": {"showHeader": True},
}


def target(i, query, kind):
    at_once = kind in ("stat", "bargauge", "table")
    return {
        "refId": chr(ord("A") + i),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": at_once,
        "range": not at_once,
        "format": {"heatmap": "heatmap", "table": "table"}.get(kind, "time_series"),
    }


def panel_of(number, panel, x, y):
    steps = [{"value": value if i else None, "color": color} for i, (value, color) in enumerate(panel.steps)]
    defaults = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps or [{"value": None, "color": GREEN}]},
    }
    if panel.most is not None:
        defaults["max"] = panel.most
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT[panel.kind]},
        "targets": [target(i, query, panel.kind) for i, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[panel.kind],
    }


def panels_of(rows):
    """Rows one below the other; the panels of a row fill 24 columns, then the next line."""
    made, y = [], 0
    for title, panels in rows.items():
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})  # fmt: skip
        x, y, tallest = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > 24:
                x, y, tallest = 0, y + tallest, 0
            made.append(panel_of(len(made) + 1, panel, x, y))
            x, tallest = x + panel.width, max(tallest, HEIGHT[panel.kind])
        y += tallest
    return made


def variables():
    """Where the numbers are, which of them, and over how long a window rates are taken."""
    named = [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}]
    for name, ones in (("provider", ""), ("model", '{provider=~"$provider"}')):
        asked = f"label_values({P}requests_total{ones}, {name})"
        named.append({"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "refresh": 2,
                      "query": {"query": asked, "refId": name}, "multi": True, "includeAll": True, "allValue": ".*",
                      "current": {"text": ["All"], "value": ["$__all"]}})  # fmt: skip
    windows = ("5m", "15m", "1h", "6h", "1d")
    options = [{"text": w, "value": w, "selected": w == "5m"} for w in windows]
    named.append({"name": "window", "label": "Window", "type": "custom", "query": ",".join(windows), "options": options,
                  "current": {"text": "5m", "value": "5m"}})  # fmt: skip
    return named


def dashboard(uid):
    title, rows = DASHBOARDS[uid]
    links = [{"title": "LLM", "type": "dashboards", "tags": ["llm-latency-lens"], "asDropdown": True,
              "includeVars": True, "keepTime": True}]  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "description": "Made by tools/make_dashboards.py.",
        "tags": ["llm-latency-lens"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": links,
        "templating": {"list": variables()},
        "panels": panels_of(rows),
    }


def text_of(uid):
    return json.dumps(dashboard(uid), indent=1) + "\n"


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", nargs="?", type=Path, default=GOAL, help="where the files are (deploy/grafana)")
    asked.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    given = asked.parse_args()
    for uid in DASHBOARDS:
        path = given.folder / f"{uid}.json"
        if not given.check:
            path.write_text(text_of(uid))
        elif not path.is_file() or path.read_text() != text_of(uid):
            sys.exit(f"{path} is not what the table says: run tools/make_dashboards.py")


if __name__ == "__main__":
    main()
