"""`lll profile --provider X` for each X, against the simulator's protocol of it, over TLS: one script, one truth."""

import json

import pytest
from click.testing import CliRunner

from lens.cli.main import lll
from lens.providers.registry import provider_names
from lens.simulator import Script, start_thread

PROJECT = "/v1beta1/projects/p/locations/global"
# (provider, api, path behind the simulator's address, model)
OTHERS = ("azure", "anthropic", "google", "vertex", "bedrock", "ollama", "cohere", "custom")
SPOKEN = [
    *[(name, None, "/v1", "m") for name in provider_names() if name not in OTHERS],
    ("openai", "completions", "/v1", "m"),
    ("openai", "responses", "/v1", "m"),
    ("azure", "chat", "", "gpt"),
    ("azure", "responses", "", "gpt"),
    ("azure", "chat", "?api-version=2024-10-21", "gpt"),
    ("anthropic", None, "", "claude"),
    ("google", None, "", "gemini"),
    ("google", "gemini-array", "", "gemini"),
    ("vertex", None, PROJECT, "gemini"),
    ("vertex", "gemini-array", PROJECT, "gemini"),
    ("vertex", None, PROJECT, "claude-x"),
    ("bedrock", None, "", "anthropic.claude-x:0"),
    ("bedrock", "invoke", "", "anthropic.claude-x:0"),
    ("ollama", None, "", "m"),
    ("ollama", "generate", "", "m"),
    ("cohere", None, "", "m"),
]  # fmt: skip
TOKENS = 9


@pytest.fixture(scope="module")
def server():
    with start_thread(Script(usage="always", tokens=TOKENS, ttft_ns=20_000_000, itl_ns=2_000_000), tls=True) as handle:
        yield handle


@pytest.fixture
def ask(server, tmp_path, monkeypatch):
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
    }.items():
        monkeypatch.setenv(name, value)

    def run(provider, api, path, model, *more):
        out = tmp_path / "one.json"
        words = ["profile", "--provider", provider, "--model", model, "--base-url", server.url + path]
        words += [
            "--cacert",
            server.ca_file,
            "--prompt",
            "hi",
            "-e",
            "json",
            "-o",
            str(out),
            *(["--api", api] if api else []),
        ]
        if provider not in ("bedrock",):
            words += ["--api-key", "sk-not-to-be-shown"]
        result = CliRunner().invoke(lll, [*words, *more])
        assert result.exit_code == 0, result.output
        written = out.read_text()
        for secret in ("sk-not-to-be-shown", "very-secret"):
            assert secret not in written + result.output
        return json.loads(written)

    return run


@pytest.mark.parametrize(("provider", "api", "path", "model"), SPOKEN)
def test_a_stream_of_every_provider_is_measured(ask, provider, api, path, model):
    record = ask(provider, api, path, model)
    assert record["status"] == "Success"
    assert record["output_tokens"] == TOKENS
    assert record["ttfb_ms"] <= record["ttft_ms"] <= record["total_latency_ms"]
    assert record["tls_handshake_ms"] > 0
    assert record["ttft_ms"] >= 20, "what the script keeps"
    assert record["connection"]["verified"] is True


@pytest.mark.parametrize(("provider", "api", "path", "model"), SPOKEN)
def test_an_answer_in_one_piece_of_every_provider_has_no_token_times(ask, provider, api, path, model):
    record = ask(provider, api, path, model, "--no-stream")
    assert record["status"] == "Success"
    assert record["output_tokens"] == TOKENS
    assert 0 < record["ttfb_ms"] <= record["total_latency_ms"]
    for name in ("ttft_ms", "tpot_ms", "itl_ms", "decode_tokens_per_second"):
        assert record.get(name) is None


def test_embeddings_have_a_latency_and_no_tokens(ask):
    record = ask("openai", "embeddings", "/v1", "text-embedding-3-small")
    assert record["status"] == "Success"
    assert record.get("ttft_ms") is None
    assert record["input_tokens"] > 0


def test_every_built_in_provider_is_spoken_here():
    assert {row[0] for row in SPOKEN} >= {name for name in provider_names() if name != "custom"}
