"""Each fault really happens on the wire, when and to which requests the script says."""

from __future__ import annotations

import json
import socket
import threading
import zlib

import pytest
import simulator_wire as wire
from waiting import HANG_S, limits, wait_until

from lens.simulator import Script

FAST = "ttft=5ms,itl=2ms"


@pytest.fixture(scope="module")
def simulator():
    with wire.running(ttft="5ms", itl="2ms", tokens=20) as handle:
        yield handle


def raw(simulator, script):
    """The bytes that came, and the error that ended them."""
    body = json.dumps({"model": "m", "stream": True, "messages": []})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-lens-script: {script}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    data = b""
    with wire.connect(simulator) as sock:
        sock.sendall((head + body).encode())
        try:
            while part := sock.recv(65536):
                data += part
        except ConnectionResetError:
            return data, "reset"
    return data, "closed"


def test_a_reset_is_a_reset_and_comes_after_its_tokens(simulator):
    data, end = raw(simulator, "reset-at=3,itl=30ms")
    assert end == "reset"
    assert data.count(b'"content":') == 1 + 3  # the role event has an empty content
    assert simulator.log(last=1)[0]["end"] == "reset"


def test_a_truncated_answer_ends_without_its_terminator(simulator):
    data, end = raw(simulator, "truncate-at=3")
    assert end == "closed"
    assert data.count(b'"content":') == 1 + 3
    assert b"[DONE]" not in data
    assert not data.endswith(b"0\r\n\r\n")
    answer = wire.chat(simulator, f"truncate-at=2,framing=length,{FAST}")
    assert answer.error.startswith("h11:")


def test_status_0_resets_before_any_byte(simulator):
    assert raw(simulator, "status=0") == (b"", "reset")


def test_a_malformed_event_is_followed_by_good_ones(simulator):
    answer = wire.chat(simulator, f"malformed-at=4,tokens=8,{FAST}")
    broken = [data for _, data in wire.sse(answer.body) if data != "[DONE]" and not data.endswith("}")]
    assert len(broken) == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken[0])
    kinds = [event[3] for event in simulator.log(last=1)[0]["events"]]
    assert kinds == ["role"] + ["text"] * 4 + ["malformed"] + ["text"] * 4 + ["finish", "usage", "done"]


def test_a_web_page_comes_where_an_answer_was_wanted(simulator):
    answer = wire.chat(simulator, "html")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503, 504, 529])
def test_any_status_can_be_asked_for_and_the_connection_stays(simulator, status):
    with wire.connect(simulator) as sock:
        body = {"model": "m", "stream": True, "messages": []}
        first = wire.exchange(sock, "/v1/chat/completions", body, {"x-lens-script": f"status={status}"})
        assert first.status == status
        assert json.loads(first.body)["error"]["message"]
        assert wire.exchange(sock, "/v1/chat/completions", body).status == 200


def test_quota_and_rate_limit_differ_in_code_only(simulator):
    codes = [
        json.loads(wire.chat(simulator, s).body)["error"]["code"] for s in ("status=429", "status=429,error=quota")
    ]
    assert codes == ["rate_limit_exceeded", "insufficient_quota"]


def test_retry_after_comes_in_seconds_and_milliseconds(simulator):
    answer = wire.chat(simulator, "status=429,retry-after=0.25")
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "250")


def test_fail_first_fails_only_the_first_requests():
    with wire.running(fail_first=2, status=500, ttft="1ms", tokens=1) as simulator:
        assert [wire.chat(simulator).status for _ in range(4)] == [500, 500, 200, 200]
        simulator.reset()
        assert wire.chat(simulator).status == 500


def test_fail_rate_fails_the_same_requests_each_time():
    with wire.running(fail_rate="40%", ttft="1ms", tokens=1, seed=3) as simulator:
        runs = []
        for _ in range(2):
            runs.append([wire.chat(simulator).status for _ in range(40)])
            simulator.reset()
        assert runs[0] == runs[1]
        assert set(runs[0]) == {200, 503}
        assert 6 <= runs[0].count(503) <= 26


def test_fail_rate_applies_to_truncation_too():
    with wire.running(fail_rate="0.5", truncate_at=1, ttft="1ms", itl="1ms", tokens=3) as simulator:
        assert {wire.chat(simulator).complete for _ in range(20)} == {True, False}


def test_a_rate_limit_admits_so_many_and_says_when_to_come_back():
    for window_s in limits(2):
        with wire.running(rate_limit=f"3/{window_s}s", ttft="1ms", itl="1ms", tokens=1) as simulator:
            answers = [wire.chat(simulator) for _ in range(5)]
            if answers[-1].status != 429:  # they were not asked within one window
                continue
            wait_ms = int(answers[4].headers["retry-after-ms"])
            threading.Event().wait(wait_ms / 1000 + 0.02)
            later = wire.chat(simulator)
        if [a.status for a in answers] == [200, 200, 200, 429, 429]:
            break
    assert [a.status for a in answers] == [200, 200, 200, 429, 429]
    assert [a.headers["x-ratelimit-remaining-requests"] for a in answers] == ["2", "1", "0", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
    assert 0 < wait_ms <= window_s * 1000
    assert later.status == 200


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer right"}, {"api-key": "right"}, {"authorization": "Bearer wrong"}, {}]
)
def test_a_key_is_checked_when_the_script_has_one(headers):
    with wire.running(key="right", ttft="1ms", tokens=1) as simulator:
        answer = wire.ask(simulator, "/v1/chat/completions", {"model": "m", "messages": []}, headers)
        assert answer.status == (200 if "right" in str(headers) else 401)
        assert "wrong" not in answer.body.decode()


def test_gemini_says_400_and_bedrock_403_to_a_wrong_key():
    with wire.running(key="right") as simulator:
        gemini = wire.ask(simulator, "/v1/models/g:streamGenerateContent?alt=sse", {}, {"x-goog-api-key": "wrong"})
        assert (gemini.status, "API_KEY_INVALID" in gemini.body.decode()) == (400, True)
        assert wire.ask(simulator, "/model/x/converse-stream", {}).status == 403


SHAPES = {
    "gzip": "gzip", "length": "framing=length", "close": "framing=close", "coalesce": "coalesce=7", "cut": "cut=5",
    "trickle": "trickle", "crlf": "crlf", "gzip, cut": "gzip,cut=3", "gzip, length": "gzip,framing=length",
    "gzip, coalesce": "gzip,coalesce=4", "closing": "close",
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_no_shape_changes_what_is_said(simulator, shape):
    answer = wire.chat(simulator, f"{shape},tokens=25,{FAST}")
    assert answer.complete
    got = wire.parse_openai(wire.plain(answer))
    assert (got.text, got.done) == (Script(tokens=25).expected_text(), True)


def test_cut_chunks_are_small_and_cut_events_in_their_middle(simulator):
    answer = wire.chat(simulator, f"cut=9,{FAST}")
    assert max(map(len, answer.chunks)) <= 9
    assert len({len(chunk) for chunk in answer.chunks}) > 3


def test_coalesced_events_share_one_write_and_its_stamps(simulator):
    wire.chat(simulator, f"coalesce=5,tokens=12,{FAST}")
    stamps = [(event[1], event[2]) for event in simulator.log(last=1)[0]["events"]]
    assert len(stamps) == 16
    assert [stamps.count(stamp) for stamp in dict.fromkeys(stamps)] == [5, 5, 6]


def test_gzip_is_flushed_with_every_write(simulator):
    answer = wire.chat(simulator, "gzip,tokens=3,itl=40ms,ttft=1ms")
    unzip = zlib.decompressobj(31)
    first = unzip.decompress(answer.chunks[0]) + unzip.decompress(answer.chunks[1])
    assert first.count(b"data: ") == 2
    assert first.endswith(b"\n\n")


def test_a_client_that_disconnects_is_logged_and_others_are_served(simulator):
    with wire.connect(simulator) as sock:
        body = '{"model":"m","stream":true,"messages":[]}'
        head = "POST /chat/completions HTTP/1.1\r\nHost: x\r\nx-lens-script: itl=50ms,tokens=100\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        sock.recv(100)
    wait_until(lambda: simulator.log(last=1)[0]["end"] != "open")
    record = simulator.log(last=1)[0]
    assert record["end"] == "client_closed"
    assert len(record["events"]) < 100
    assert wire.chat(simulator).complete


def test_an_idle_connection_is_closed_after_keep_alive():
    body = {"model": "m", "messages": []}
    for idle_s in limits(0.08):
        script = {"keep_alive": f"{idle_s}s", "ttft": "1ms", "tokens": 1}
        with wire.running(**script) as simulator, wire.connect(simulator) as sock:
            assert wire.exchange(sock, "/chat/completions", body).status == 200
            threading.Event().wait(0.02)
            second = wire.exchange(sock, "/chat/completions", body)
            if second.status == 200:  # else it was sent too late
                assert sock.recv(1) == b""
                break
    assert second.status == 200


def test_bytes_that_are_no_http_are_refused_and_the_connection_ends(simulator):
    with socket.create_connection((simulator.host, simulator.port), timeout=HANG_S) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        data = b""
        while part := sock.recv(1000):
            data += part
    assert data.startswith(b"HTTP/1.1 400 ")


def test_an_invalid_script_header_is_a_400_with_the_reason(simulator):
    answer = wire.chat(simulator, "ttfd=3ms")
    assert answer.status == 400
    assert "ttft" in json.loads(answer.body)["error"]["message"]


def test_a_path_beside_the_root_and_a_model_that_is_not_there_are_404():
    with wire.running(ttft="1ms", itl="1ms", tokens=2, root="/v1", models="a+b") as simulator:
        body = {"stream": True, "messages": []}
        assert wire.ask(simulator, "/chat/completions", body | {"model": "a"}).status == 404
        assert wire.ask(simulator, "/v1/chat/completions", body | {"model": "a"}).status == 200
        missing = wire.ask(simulator, "/v1/chat/completions", body | {"model": "c"})
        assert missing.status == 404
        assert json.loads(missing.body)["error"]["code"] == "model_not_found"
        listed = json.loads(wire.ask(simulator, "/v1/models", None, method="GET").body)
        assert [row["id"] for row in listed["data"]] == ["a", "b"]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"messages":' * 2000, b"{", b"\xff"])
def test_a_body_that_cannot_be_read_costs_its_sender_a_400_and_nobody_else_anything(body):
    with wire.running(ttft="1ms", itl="1ms", tokens=2) as simulator:
        with wire.connect(simulator) as sock:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
        assert wire.parse_openai(wire.chat(simulator).body).done
