"""Against nginx, which serves a stream that llama.cpp once sent: framing and TLS by another hand.

The recording says how many tokens there are; that nginx sends them fast, slowly, in chunks or
encrypted must not change what is counted.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RECORDED = [line[6:] for line in (Path(__file__).parent / "recorded.sse").read_text().splitlines() if line]
USAGE = next(json.loads(line)["usage"] for line in RECORDED if '"usage"' in line)


def measure(lll, tmp_path, *args: object) -> dict:
    done = lll("profile", "--provider", "openai", "--model", "tiny", *args, "-e", "json", "-o", "one.json")
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "one.json").read_text())


@pytest.mark.parametrize("way", ["fixed", "chunked", "slow"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "tls"])
def test_a_recorded_stream_is_counted_alike_however_it_is_sent(nginx, lll, tmp_path, way: str, secure: bool) -> None:
    where = [f"{nginx.secure}/{way}/v1", "--cacert", nginx.ca] if secure else [f"{nginx.plain}/{way}/v1"]
    record = measure(lll, tmp_path, "--base-url", *where)
    assert record["status"] == "Success"
    assert record["output_tokens"] == USAGE["completion_tokens"]
    assert record["input_tokens"] == USAGE["prompt_tokens"]
    assert len(record["events"]["arrived_ns"]) == len(RECORDED)
    assert record["ttfb_ms"] <= record["ttft_ms"] <= record["total_latency_ms"]
    connection = record["connection"]
    assert (connection.get("tls_version"), connection.get("verified")) == (
        ("TLSv1.3", True) if secure else (None, None)
    )
    assert (record["tls_handshake_ms"] is not None) == secure


def test_a_certificate_that_nobody_vouches_for_is_refused(nginx, lll) -> None:
    done = lll("profile", "--provider", "openai", "--model", "tiny", "--base-url", f"{nginx.secure}/fixed/v1")
    assert done.returncode == 1
    assert "certificate" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stderr


def test_a_path_that_the_server_does_not_have_is_told_as_404(nginx, lll) -> None:
    done = lll("profile", "--provider", "openai", "--model", "tiny", "--base-url", f"{nginx.plain}/nowhere/v1")
    assert done.returncode == 1
    assert "404" in done.stdout + done.stderr
