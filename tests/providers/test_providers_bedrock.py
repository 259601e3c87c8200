"""Bedrock: signatures against botocore's, credentials from where people keep them, and what models are asked."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from waiting import wait_until

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, MissingKey
from lens.model import Events, Stamps
from lens.orchestrator.keys import address_of, find_key
from lens.providers import bedrock_invoke
from lens.providers.aws_credentials import RenewedCredentials, find_credentials, region_of
from lens.providers.registry import get_provider
from lens.providers.sigv4 import AwsCredentials, signed_headers
from lens.wire import Ask, Exchange, Frame, Prompt, Secret

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "auth" / "sigv4_vectors.json").read_text())
NOWHERE = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials", "AWS_CONFIG_FILE": "/nowhere/config"}
KEY = AwsCredentials("AKID", "very-secret", None, "us-east-1")


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_signatures_are_those_of_botocore(vector):
    parts = urlsplit(vector["url"])
    added = signed_headers(
        AwsCredentials(vector["access_key"], vector["secret_key"], vector["session_token"]),
        method=vector["method"],
        host=parts.netloc,
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        headers=vector["headers_in"].items(),
        body=vector["body"].encode(),
        region=vector["region"],
        service=vector["service"],
        now=datetime.strptime(vector["amz_date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert dict(added)["Authorization"] == vector["authorization"]


def encoded(key=KEY, base_url="https://bedrock-runtime.eu-west-1.amazonaws.com", model="anthropic.claude:0", **ask):
    return get_provider("bedrock").encode(Prompt(text="hi"), Ask(model=model, **ask), base_url, key)


@pytest.mark.parametrize(
    ("api", "stream", "path"),
    [
        ("converse", True, "/model/anthropic.claude%3A0/converse-stream"),
        ("converse", False, "/model/anthropic.claude%3A0/converse"),
        ("invoke", True, "/model/anthropic.claude%3A0/invoke-with-response-stream"),
        ("invoke", False, "/model/anthropic.claude%3A0/invoke"),
    ],
)
def test_the_path_of_an_operation(api, stream, path):
    assert encoded(api=api, stream=stream).path == path


def test_a_request_is_signed_when_it_is_sent_for_the_region_of_its_address():
    request = encoded()
    headers = dict(request.sign(request))
    assert b"/eu-west-1/bedrock/aws4_request" in headers[b"authorization"]
    assert b"host;x-amz-date" in headers[b"authorization"]
    assert b"authorization" not in dict(request.headers)


def test_an_address_that_names_no_region_takes_that_of_the_credentials():
    request = encoded(base_url="http://localhost:8080")
    assert b"/us-east-1/" in dict(request.sign(request))[b"authorization"]
    with pytest.raises(ConfigError, match="AWS_REGION"):
        encoded(AwsCredentials("a", "b"), base_url="http://localhost:8080")


def test_a_bearer_key_needs_no_signature():
    request = encoded(Secret("abc"))
    assert request.sign is None
    assert dict(request.headers)[b"authorization"] == b"Bearer abc"


def test_secrets_do_not_show():
    request = encoded()
    assert "very-secret" not in repr(KEY) + repr(request) + repr(request.sign) + str(vars(request.sign))


def profile_files(tmp_path):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKD\naws_secret_access_key = sd\n"
        "[work]\naws_access_key_id = AKW\naws_secret_access_key = sw\naws_session_token = tw\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = us-west-2\n[profile work]\nregion = eu-central-1\n")
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }


def test_credentials_of_the_environment_come_before_those_of_a_profile(tmp_path):
    files = profile_files(tmp_path)
    said = find_credentials(
        {**files, "AWS_ACCESS_KEY_ID": "AKE", "AWS_SECRET_ACCESS_KEY": "se", "AWS_SESSION_TOKEN": "te"},
        whole_chain=False,
    )
    assert (said.access_key, said.reveal(), said.session_token, said.region) == ("AKE", "se", "te", "us-west-2")


def test_credentials_of_a_profile(tmp_path):
    files = profile_files(tmp_path)
    plain = find_credentials(files, whole_chain=False)
    assert (plain.access_key, plain.region) == ("AKD", "us-west-2")
    work = find_credentials({**files, "AWS_PROFILE": "work"}, whole_chain=False)
    assert (work.access_key, work.session_token, work.region) == ("AKW", "tw", "eu-central-1")
    assert region_of({**files, "AWS_REGION": "x"}) == "x"


def test_a_bearer_token_comes_before_all_else():
    assert find_credentials({**NOWHERE, "AWS_BEARER_TOKEN_BEDROCK": "b"}, whole_chain=True).reveal() == "b"


def test_a_broken_profile_file_is_named_and_its_lines_are_not_shown(tmp_path):
    (tmp_path / "credentials").write_text("aws_secret_access_key = hush\n")
    with pytest.raises(ConfigError) as told:
        find_credentials({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}, whole_chain=False)
    assert "no profile file" in str(told.value)
    assert "hush" not in str(told.value)


def test_without_credentials_the_message_says_what_to_set(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NOWHERE, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    provider = get_provider("bedrock")
    with pytest.raises(MissingKey, match="AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID"):
        find_key(TargetConfig(provider="bedrock", model="m"), provider, NOWHERE)
    assert find_key(TargetConfig(provider="bedrock", model="m", base_url="http://x"), provider, NOWHERE) is None
    amazon = TargetConfig(provider="bedrock", model="m", base_url="https://bedrock-runtime.us-east-1.amazonaws.com")
    with pytest.raises(MissingKey, match="no credentials"):
        find_key(amazon, provider, NOWHERE)


class Chain:
    """As botocore's credentials: frozen ones, that change."""

    def __init__(self):
        self.asked = 0

    def get_frozen_credentials(self):
        from types import SimpleNamespace

        self.asked += 1
        return SimpleNamespace(access_key=f"AK{self.asked}", secret_key="s", token="t")


def test_credentials_that_end_are_renewed_beside_the_run():
    found = RenewedCredentials(Chain(), "us-east-1")
    assert found.current().access_key == "AK1"
    found._looked_s -= 1000
    assert found.current().access_key == "AK1"
    wait_until(lambda: found.current().access_key != "AK1")
    assert found.current().access_key == "AK2"


def test_the_address_is_that_of_the_region():
    provider, config = get_provider("bedrock"), TargetConfig(provider="bedrock", model="m")
    told = address_of(config, provider, {**NOWHERE, "AWS_REGION": "us-east-1"})
    assert told == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert address_of(config, provider, NOWHERE) is None


def test_what_converse_is_asked():
    talk = (
        {"role": "system", "content": "be short"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a cat"},
    )
    ask = Ask(model="m", max_tokens=5, temperature=0.5)
    body = json.loads(get_provider("bedrock").encode(Prompt(messages=talk), ask, "http://x", Secret("k")).body)
    assert body == {
        "system": [{"text": "be short"}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.5},
        "messages": [
            {
                "role": "user",
                "content": [{"text": "what?"}, {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}],
            },
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "look", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "a cat"}]}}]},
        ],
    }


CHUNKS = [
    ("amazon.nova-pro", {"contentBlockDelta": {"delta": {"text": "Hi"}}}, {"messageStop": {"stopReason": "end_turn"}}),
    ("amazon.titan-text", {"outputText": "Hi"}, {"outputText": "", "completionReason": "FINISH"}),
    ("us.meta.llama3", {"generation": "Hi"}, {"generation": "", "stop_reason": "stop"}),
    ("mistral.large", {"outputs": [{"text": "Hi"}]}, {"outputs": [{"text": "", "stop_reason": "stop"}]}),
    ("openai.gpt-oss", {"choices": [{"delta": {"content": "Hi"}}]}, {"choices": [{"finish_reason": "stop"}]}),
]


@pytest.mark.parametrize(("model", "first", "last"), CHUNKS)
def test_other_makers_chunks_are_read(model, first, last):
    metrics = {"inputTokenCount": 3, "outputTokenCount": 1, "invocationLatency": 90, "firstByteLatency": 40}
    inside = [first, {**last, bedrock_invoke.METRICS: metrics}]
    frames = tuple(
        Frame(i, "event:chunk", json.dumps({"bytes": base64.b64encode(json.dumps(one).encode()).decode()}).encode())
        for i, one in enumerate(inside)
    )
    request = encoded(model=model, api="invoke")
    exchange = Exchange(stamps=Stamps(start=0), status=200, framing="aws", events=Events(), frames=frames, ended=True)
    reading = get_provider("bedrock").decode(request, exchange)
    assert (reading.category, reading.text) == ("success", "Hi")
    assert reading.finish_reason
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (3, 1)
    assert reading.server_timing_ms == {"bedrock_invocation": 90.0, "bedrock_first_byte": 40.0}


def test_a_model_of_an_unknown_maker_is_sent_to_converse():
    with pytest.raises(ConfigError, match="use --api converse"):
        encoded(model="nobody.model", api="invoke")
