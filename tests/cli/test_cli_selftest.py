"""`lll selftest`: the table and the JSON say what was measured; how good it is depends on the machine."""

from __future__ import annotations

import json

from cli_program import lll


def test_the_table_says_what_holds_here():
    ended = lll("selftest", "--streams", "1", "--schemes", "http")
    assert ended.returncode == 0
    assert "http x 1" in ended.stdout
    assert "http: TTFT bias below 50 us at 1 stream" in " ".join(ended.stdout.split())
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_the_certificate_is_written_where_it_was_asked_for(tmp_path):
    path = tmp_path / "certificate.json"
    ended = lll("selftest", "--streams", "1", "--schemes", "http", "-o", path)
    assert ended.returncode == 0
    found = json.loads(path.read_text())
    assert found["machine"]["cpus"] >= 1
    assert {"clock", "files"} <= {condition["name"] for condition in found["conditions"]}
    refused = lll("selftest", "--streams", "1", "--schemes", "http", "-o", tmp_path / "no" / "where.json")
    assert refused.returncode == 2
    assert "where.json: No such file or directory" in refused.stderr
    kept = lll("selftest", "--streams", "1", "--schemes", "http", "-o", path)
    assert (kept.returncode, json.loads(path.read_text())) == (2, found), "a file is replaced with --force only"


def test_json_is_json_and_check_has_an_exit_code_of_its_own():
    ended = lll("selftest", "--streams", "2", "--schemes", "http", "--json", "--check")
    found = json.loads(ended.stdout)
    assert ended.returncode == (0 if all(v["holds"] for v in found["verdicts"]) else 3)
    assert found["cases"][0]["tokens"]["n"] == 200
