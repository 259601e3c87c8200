"""Keys that a server sent back are in nothing that `lll ui` answers: pages, lists, figures, gates, the live stream."""

import pytest
from cli_program import lll
from echoed_keys import KEYS, OTHERS, PROMPTS, Echo, leaks, words
from msgspec.structs import replace
from served import served

from lens.history.read import read_run
from lens.history.write import MAGIC, message
from lens.pricing import standard_book
from lens.server import Asked, EventStream
from lens.ui.app import App
from lens.ui.folder import Folder

KEY = KEYS["quotes"]
RUN, JOURNAL = "run.jsonl", "now.jsonl.journal.msgpack"
ASKED = {
    "/": {},
    "/ui.js": {},
    "/view": {"run": [RUN, JOURNAL]},
    "/api/runs": {"where": ["requests > 0"], "sort": ["ttft_p50"]},
    "/api/figures": {"run": [RUN]},
    "/api/gates": {"run": [RUN], "threshold": ["ttft_p95<1", "valid_rate>=1"]},
    "/api/read": {"run": [JOURNAL]},
    "/api/star": {"run": [RUN]},
    "/api/save": {"run": [RUN]},
    "/live": {},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of such a server, and one that goes on."""
    folder = tmp_path_factory.mktemp("runs")
    with served(Echo) as url:
        more = ("-n", "4", "--retries", "0", "--save-text", "--threshold", "ttft_p95<1", "-o", RUN)
        ended = lll("benchmark", *words(url), "--api-key", KEY, *PROMPTS, *more, cwd=folder)
        assert (folder / RUN).exists(), ended.stderr
    run = read_run(folder / RUN)
    begun = replace(run.info, ended_ns=None, ended_at=None)
    (folder / JOURNAL).write_bytes(MAGIC + b"".join(map(message, [begun, *run.records])))
    return folder


@pytest.mark.parametrize("path", ASKED)
async def test_no_answer_holds_a_key(root, path):
    app = App(Folder(root), standard_book(), "a-token", "127.0.0.1")
    asked = Asked(
        "POST" if path in ("/api/star", "/api/save") else "GET",
        path,
        ASKED[path] | {"token": ["a-token"]},
        {"host": "127.0.0.1:8098"},
    )
    answer = await app.handler(asked)
    if isinstance(answer, EventStream):
        told = (await anext(answer.events)).decode()
        await answer.events.aclose()
        assert JOURNAL in told
    else:
        assert answer.status == 200, answer.body
        told = answer.body.decode()
    assert leaks(root, (KEY, *OTHERS), told) == []
