"""Pushes: what goes over the wire, what a failure costs, and that no secret is told.

The backend is a small server with a script; real Prometheus, Pushgateway and InfluxDB are asked in
tests/realserver.
"""

from __future__ import annotations

import base64
import json
import socket
import time

import pytest
from backend import Answer, backend
from handmade import INFO, failed_record, record
from waiting import HANG_S

from lens.errors import ConfigError, TransportError
from lens.export.influx import InfluxPoints
from lens.export.prometheus import PrometheusMetrics, exposition
from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price
from lens.push.http import Request, send
from lens.push.push import Push, check_push, gateway_url, open_push, push_run

BOOK = PriceBook([parse_price("in=1,out=2")])
RECORDS = [record(), failed_record("no, not now"), record((50, 60), index=2)]


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_pushgateway_is_put_the_exposition_under_job_and_host():
    metrics = PrometheusMetrics()
    metrics.add(table_of(RECORDS, INFO, BOOK))
    with backend() as found:
        push_run(Push("push-gateway", found.url), INFO, RECORDS, BOOK, {})
    (got,) = found.got
    assert (got.method, got.path) == ("PUT", "/metrics/job/llm_latency_lens/instance/unknown")
    assert got.body == exposition(metrics.families())
    assert b"llm_latency_lens_ttft_ms_count" in got.body


def test_a_group_in_the_url_of_a_pushgateway_is_taken_as_it_is():
    assert gateway_url("http://h:1/metrics/job@base64/YQ", INFO) == "http://h:1/metrics/job@base64/YQ"


def test_the_units_that_were_asked_for_are_pushed():
    with backend() as found:
        push_run(Push("push-gateway", found.url, units="seconds"), INFO, RECORDS, BOOK, {})
    assert b"llm_latency_lens_ttft_seconds_count" in found.got[0].body


def test_influxdb_2_gets_points_into_its_bucket_with_a_token():
    with backend() as found:
        push = Push("influx", f"{found.url}?org=my+org&bucket=b%2F1")
        push_run(push, INFO, RECORDS, BOOK, {"INFLUX_TOKEN": "hush"})
    (got,) = found.got
    assert got.path == "/api/v2/write?org=my+org&bucket=b%2F1&precision=ns"
    assert got.headers["Authorization"] == "Token hush"
    assert got.headers["Content-Encoding"] == "gzip"
    assert got.body == b"".join(InfluxPoints().lines(table_of(RECORDS, INFO, BOOK)))


@pytest.mark.parametrize(
    ("query", "database", "environ", "path", "authorization"),
    [
        ("", None, {}, "/write?db=llm_metrics&precision=ns", None),
        ("", "mine", {}, "/write?db=mine&precision=ns", None),
        ("?db=d&rp=week", "mine", {}, "/write?db=d&rp=week&precision=ns", None),
        ("?u=me&p=hush", None, {}, "/write?db=llm_metrics&precision=ns", login("me", "hush")),
        ("", None, {"INFLUX_USERNAME": "me", "INFLUX_PASSWORD": "x y"}, "/write?db=llm_metrics&precision=ns",
         login("me", "x y")),
        ("/write?db=d", None, {}, "/write?db=d&precision=ns", None),
        ("", None, {"INFLUX_BUCKET": "b", "INFLUX_ORG": "o"}, "/api/v2/write?org=o&bucket=b&precision=ns", None),
    ],
)  # fmt: skip
def test_influxdb_is_addressed_as_url_and_environment_say(query, database, environ, path, authorization):
    with backend() as found:
        push_run(Push("influx", found.url + query, database), INFO, RECORDS, BOOK, environ)
    assert found.got[0].path == path
    assert found.got[0].headers.get("Authorization") == authorization


def test_influxdb_gets_five_thousand_lines_at_a_time():
    many = [record((10, 20), index=i) for i in range(5001)]
    with backend() as found:
        push_run(Push("influx", found.url), INFO, many, BOOK, {})
    assert [got.body.count(b"\n") for got in found.got] == [5000, 1]


def test_a_collector_gets_spans_and_metrics_each_at_its_own_path():
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=hush%20hush, x-team = a"}
    with backend() as found:
        push_run(Push("otlp", f"{found.url}/"), INFO, RECORDS, BOOK, environ)
    traces, metrics = found.got
    assert (traces.path, metrics.path) == ("/v1/traces", "/v1/metrics")
    assert (traces.headers["x-api-key"], traces.headers["x-team"]) == ("hush hush", "a")
    spans = json.loads(traces.body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["status"]["code"] if "status" in span else 0 for span in spans] == [0, 2, 0]
    names = {m["name"] for m in json.loads(metrics.body)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    assert names >= {"gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk"}


def test_a_busy_backend_is_asked_again():
    with backend(Answer(503, headers=(("Retry-After", "1"),))) as found:
        began = time.monotonic()
        push_run(Push("push-gateway", found.url), INFO, RECORDS, BOOK, {})
    assert len(found.got) == 2
    assert time.monotonic() - began >= 1


def test_a_refusal_is_told_in_the_backends_words_and_not_repeated():
    with backend(Answer(404, b'{"error":"database not found:\n \\"x\\""}')) as found:
        away = found.url.replace("//", "//me:hush@") + "?db=x&p=hush2"
        with pytest.raises(TransportError, match=r"database not found.*CREATE DATABASE") as told:
            push_run(Push("influx", away), INFO, RECORDS, BOOK, {"INFLUX_TOKEN": "hush3"})
    assert len(found.got) == 1
    assert "hush" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_redirect_is_not_followed_because_credentials_would_go_along():
    with (
        backend() as other,
        backend(Answer(307, headers=(("Location", other.url),))) as found,
        pytest.raises(TransportError, match="HTTP 307; give the address it redirects to"),
    ):
        push_run(Push("push-gateway", found.url), INFO, RECORDS, BOOK, {})
    assert other.got == []


def test_an_answer_that_drips_does_not_hold_a_push_without_end():
    with backend(*[Answer(400, b"x" * 200, drip_s=2.0)] * 3) as found:
        began = time.monotonic()
        with pytest.raises(TransportError):
            send(Request("POST", found.url, {}, b""), timeout_s=0.4, budget_s=1)
    assert time.monotonic() - began < 200, "half of what one such answer takes"


def test_a_backend_that_is_away_is_given_up_within_the_time():
    began = time.monotonic()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(TransportError, match=rf"push to {url}: "):
            send(Request("POST", url, {}, b""), budget_s=2)
    assert time.monotonic() - began < HANG_S


def test_what_was_not_taken_is_sent_with_the_next_flush_and_nothing_twice():
    with backend(Answer(400)) as found:
        pusher = open_push(Push("influx", found.url), INFO, BOOK, {})
        pusher.add(RECORDS[0])
        with pytest.raises(TransportError):
            pusher.flush()
        pusher.add(RECORDS[2])
        pusher.flush()
        pusher.flush()
    assert [got.body.count(b"\n") for got in found.got] == [1, 2]
    assert found.got[1].body.startswith(found.got[0].body)


def test_every_flush_tells_a_collector_new_spans_and_all_metrics():
    with backend() as found:
        pusher = open_push(Push("otlp", found.url), INFO, BOOK, {})
        for one in RECORDS:
            pusher.add(one)
            pusher.flush()
    spans = [json.loads(g.body)["resourceSpans"][0]["scopeSpans"][0]["spans"] for g in found.got[::2]]
    assert [len(s) for s in spans] == [1, 1, 1]
    last = json.loads(found.got[-1].body)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    took = next(m for m in last if m["name"] == "gen_ai.client.operation.duration")
    assert sum(int(p["count"]) for p in took["histogram"]["dataPoints"]) == 3


def test_nothing_is_sent_before_it_is_asked_for():
    with backend() as found:
        open_push(Push("push-gateway", found.url), INFO, BOOK, {}).add(RECORDS[0])
    assert found.got == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:9091", "--push-gateway: localhost:9091 is not an address; write http://host:port"),
        ("ftp://host", "is not an address"),
        ("http://", "is not an address"),
        ("http://host:notaport", "the port is not valid"),
        ("http://host:99999", "the port is not valid"),
    ],
)
def test_an_address_that_cannot_be_is_told_before_anything_is_sent(url, says):
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        check_push(Push("push-gateway", url))
