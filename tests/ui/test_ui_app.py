"""Who is answered, and with what: without the token, under a stranger's name or from another page nobody is."""

from __future__ import annotations

import json

import msgspec
import pytest
import ui_folder
from report_runs import loaded

from lens.pricing import standard_book
from lens.report.html.document import page_json
from lens.server import Asked, EventStream
from lens.ui.app import App, addresses, is_own_name
from lens.ui.folder import Folder

TOKEN, HOST = "the-token", "127.0.0.1:8098"


@pytest.fixture
def root(tmp_path):
    return ui_folder.folder(tmp_path)


@pytest.fixture
def app(root):
    return App(Folder(root), standard_book(), TOKEN, "127.0.0.1")


async def get(app, path, *fields, method="GET", headers=None, token=TOKEN):
    query = {}
    for name, value in (*fields, *([("token", token)] if token is not None else [])):
        query.setdefault(name, []).append(value)
    return await app.handler(Asked(method, path, query, {"host": HOST} | (headers or {})))


PATHS = (
    "/",
    "/ui.js",
    "/view",
    "/live",
    "/api/runs",
    "/api/figures",
    "/api/gates",
    "/api/read",
    "/api/star",
    "/absent",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "", "the-toke", "the-token2", "ümlaut"])
async def test_without_the_token_nothing_is_reported(app, path, token):
    page = await get(app, path, ("run", "one.jsonl"), token=token)
    assert page.status == 403
    assert b"fast-1" not in page.body


@pytest.mark.parametrize("path", PATHS)
async def test_a_strangers_name_or_page_is_refused(app, path):
    assert (await get(app, path, headers={"host": "evil.example:8098"})).status == 403
    assert (await get(app, path, headers={"host": ""})).status == 403
    assert (await get(app, path, headers={"origin": "https://evil.example"})).status == 403
    assert (await get(app, path, headers={"origin": "null"})).status == 403


@pytest.mark.parametrize(
    ("host", "listen", "own"),
    [
        ("127.0.0.1:8098", "127.0.0.1", True), ("localhost:8098", "127.0.0.1", True), ("[::1]:8098", "::1", True),
        ("LOCALHOST", "127.0.0.1", True), ("10.0.0.5:8098", "127.0.0.1", False), ("rebound.lan", "127.0.0.1", False),
        ("10.0.0.5:8098", "0.0.0.0", True), ("rebound.lan", "0.0.0.0", False), ("bench.lan", "bench.lan", True),
        ("[::1", "127.0.0.1", False), ("", "0.0.0.0", False), ("localhost.evil.example", "127.0.0.1", False),
    ],
)  # fmt: skip
def test_only_names_of_this_machine_are_its_own(host, listen, own):
    assert is_own_name(host, listen) is own


async def test_every_answer_forbids_to_load_from_elsewhere(app):
    for path in PATHS:
        answer = await get(app, path, ("run", "one.jsonl"), method="POST" if path == "/api/star" else "GET")
        headers = dict(answer.headers)
        assert "frame-ancestors" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        if path != "/view":
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        if isinstance(answer, EventStream):
            await answer.events.aclose()


async def test_the_list_is_filtered_sorted_and_given_in_parts(app):
    found = json.loads((await get(app, "/api/runs")).body)
    assert (found["all"], found["kept"], found["baseline"]) == (3, 3, None)
    found = json.loads(
        (await get(app, "/api/runs", ("sort", "file"), ("down", "0"), ("offset", "1"), ("limit", "1"))).body
    )
    assert [row["file"] for row in found["rows"]] == ["nightly/two.msgpack"]
    await get(app, "/api/figures", ("run", "one.jsonl"))
    found = json.loads((await get(app, "/api/runs", ("where", "ttft_p50 > 1"), ("sort", "ttft_p50"))).body)
    assert [row["file"] for row in found["rows"]] == ["one.jsonl"]
    assert sorted(found["unknown"]) == ["nightly/three.jsonl", "nightly/two.msgpack"]
    for down in "01":
        found = json.loads((await get(app, "/api/runs", ("sort", "ttft_p50"), ("down", down))).body)
        assert found["rows"][0]["file"] == "one.jsonl"
    wrong = await get(app, "/api/runs", ("where", "modell == 1"))
    assert wrong.status == 400
    assert b"did you mean model" in wrong.body


async def test_a_page_is_that_of_the_runs_or_of_the_chosen_requests(app):
    page = await get(app, "/view", ("run", "one.jsonl"), ("run", "nightly/two.msgpack"))
    assert [run["facts"][0][1] for run in page_json(page.body)["runs"]] == ["one.jsonl", "two.msgpack"]
    page = await get(app, "/view", ("run", "one.jsonl"), ("failed", "1"))
    tiles = page_json(page.body)["series"][0]["tiles"]
    assert tiles["requests"] == tiles["failed"] > 0
    for fields in ([("run", "../x.jsonl")], [("run", "one.jsonl"), ("where", "(")], []):
        assert (await get(app, "/view", *fields)).status == 400


async def test_what_changes_something_must_be_posted(app, root):
    for path in ("/api/star", "/api/save"):
        assert (await get(app, path, ("run", "one.jsonl"))).status == 405
        assert (await get(app, path, ("run", "one.jsonl"), method="POST")).status == 200
    assert (await get(app, "/api/runs", method="POST")).status == 405
    assert (root / "one.html").exists()
    assert json.loads((await get(app, "/api/runs")).body)["baseline"] == "one.jsonl"
    assert json.loads((await get(app, "/api/star", ("run", "one.jsonl"), method="POST")).body)["baseline"] is None


async def test_gates_are_evaluated_against_the_baseline(app):
    await get(app, "/api/star", ("run", "one.jsonl"), method="POST")
    found = json.loads((await get(app, "/api/gates", ("run", "nightly/two.msgpack"), ("threshold", "ttft_p95<1"))).body)
    assert {check["suite"] for check in found["checks"]} == {"thresholds", "regression"}
    assert (await get(app, "/api/read", ("run", "one.jsonl"))).status == 200


async def test_the_live_stream_tells_what_runs_and_then_what_is_new(app, root, autojump_clock):
    journal = ui_folder.begin_journal(root)
    records = loaded(30)
    ui_folder.go_on(journal, records[:20])
    stream = await get(app, "/live")

    async def told():
        data = await anext(stream.events)
        assert data.startswith(b"data: ")
        assert data.endswith(b"\n\n")
        return msgspec.json.decode(data[6:])["live"]

    (first,) = await told()
    assert (first["requests"], first["whole"], first["file"]) == (20, True, ui_folder.JOURNAL)
    assert first["target"] == "openai live-3"
    ui_folder.go_on(journal, records[20:])
    (then,) = await told()
    assert (then["requests"], then["whole"]) == (30, False)
    ui_folder.long_ago(journal)
    assert await told() == []
    await stream.events.aclose()


def test_addresses_can_be_opened_as_they_are_printed():
    assert addresses([("127.0.0.1", 80), ("::1", 81)], "t") == [
        "http://127.0.0.1:80/?token=t",
        "http://[::1]:81/?token=t",
    ]
