"""Second witnesses: the providers' own clients read the simulator's protocols to the text and usage of the script.

They come with the extra `sdks`; a client that is not installed is said to be missing.
"""

from __future__ import annotations

import json

import pytest
import simulator_wire as wire
from needs import need_module

from lens.simulator import make_script

# What the clients warn of in their own code is not ours to judge.
pytestmark = pytest.mark.filterwarnings("default")

SCRIPT = make_script(ttft="5ms", itl="1ms", tokens=25)
THINKING = {"x-lens-script": "ttft=5ms,itl=1ms,tokens=12,reasoning=6,cached=2"}
THOUGHT = make_script(tokens=12, reasoning=6)
CALLING = {"x-lens-script": "ttft=5ms,itl=1ms,tokens=3,tool=7"}
CALLED = make_script(tokens=3, tool=7)
MESSAGES = [{"role": "user", "content": "four words for you"}]
TOKENS = 1024


@pytest.fixture(scope="module")
def simulator():
    with wire.running(ttft="5ms", itl="1ms", tokens=25) as handle:
        yield handle


def sdk(name):
    return need_module(name, "pip install '.[sdks]'")


@pytest.fixture
def openai(simulator):
    with sdk("openai").OpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(simulator):
    with sdk("anthropic").Anthropic(base_url=simulator.url, api_key="k", max_retries=0) as client:
        yield client


def read_chat(chunks):
    text, reasoning, arguments, usage = "", "", "", None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            for call in choice.delta.tool_calls or []:
                arguments += call.function.arguments or ""
    return text, reasoning, arguments, usage


def test_openai_chat(openai):
    asked = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    text, _, _, usage = read_chat(openai.chat.completions.create(**asked))
    assert (text, usage.prompt_tokens, usage.completion_tokens) == (SCRIPT.expected_text(), 4, 25)
    text, reasoning, _, usage = read_chat(openai.chat.completions.create(**asked, extra_headers=THINKING))
    assert (text, reasoning) == (THOUGHT.expected_text(), THOUGHT.expected_reasoning())
    assert (usage.completion_tokens_details.reasoning_tokens, usage.prompt_tokens_details.cached_tokens) == (6, 2)
    _, _, arguments, _ = read_chat(openai.chat.completions.create(**asked, extra_headers=CALLING))
    assert arguments == CALLED.expected_arguments()


def test_openai_in_one_piece(openai):
    answer = openai.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == SCRIPT.expected_text()
    assert answer.usage.total_tokens == 29
    assert openai.completions.create(model="m", prompt="a b").choices[0].text == SCRIPT.expected_text()
    assert [model.id for model in openai.models.list()] == ["simulated"]
    assert len(openai.embeddings.create(model="m", input=["a", "b"]).data[1].embedding) == 8


def test_openai_responses(openai):
    for headers, script in ((None, SCRIPT), (THINKING, THOUGHT), (CALLING, CALLED)):
        text = reasoning = arguments = ""
        for event in openai.responses.create(model="m", input="one two", stream=True, extra_headers=headers):
            text += event.delta if event.type == "response.output_text.delta" else ""
            reasoning += event.delta if event.type == "response.reasoning_summary_text.delta" else ""
            arguments += event.delta if event.type == "response.function_call_arguments.delta" else ""
            last = event
        assert (text, reasoning, arguments) == (
            script.expected_text(),
            script.expected_reasoning(),
            script.expected_arguments(),
        )
        assert last.type == "response.completed"
        assert last.response.output_text == text
        assert last.response.usage.input_tokens == 2
    assert openai.responses.create(model="m", input="one two").output_text == SCRIPT.expected_text()


def test_openai_errors(openai):
    module = sdk("openai")
    for status, error in (
        (401, "AuthenticationError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
    ):
        with pytest.raises(getattr(module, error)):
            openai.chat.completions.create(
                model="m", messages=MESSAGES, extra_headers={"x-lens-script": f"status={status}"}
            )
    with pytest.raises(module.APIError, match="server had an error"):
        read_chat(
            openai.chat.completions.create(
                model="m", messages=MESSAGES, stream=True, extra_headers={"x-lens-script": "error-at=2,itl=1ms"}
            )
        )


def test_openai_retries_after_what_the_simulator_says(simulator):
    with wire.running(fail_first=1, status=429, retry_after=0.05, ttft="1ms", tokens=2) as failing:
        with sdk("openai").OpenAI(base_url=f"{failing.url}/v1", api_key="k", max_retries=1) as client:
            assert client.chat.completions.create(model="m", messages=MESSAGES).choices
        first, second = failing.log()
        assert (first["status"], second["status"]) == (429, 200)
        assert second["request_complete_ns"] - first["end_ns"] >= 50_000_000


def test_azure(simulator):
    module = sdk("openai")
    with module.AzureOpenAI(
        azure_endpoint=simulator.url, api_version="2024-10-21", api_key="k", max_retries=0
    ) as client:
        text, _, _, usage = read_chat(
            client.chat.completions.create(
                model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
    assert (text, usage.completion_tokens) == (SCRIPT.expected_text(), 25)
    assert simulator.log(last=1)[0]["path"].startswith("/openai/deployments/m/chat/completions?")


def read_claude(client, model, **more):
    with client.messages.stream(model=model, max_tokens=TOKENS, messages=MESSAGES, **more) as stream:
        return stream.get_final_message()


def test_anthropic_messages(anthropic):
    whole = read_claude(anthropic, "claude")
    assert whole.content[0].text == SCRIPT.expected_text()
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.stop_reason) == (4, 25, "end_turn")
    whole = read_claude(anthropic, "claude", extra_headers=THINKING)
    assert (whole.content[0].thinking, whole.content[1].text) == (THOUGHT.expected_reasoning(), THOUGHT.expected_text())
    assert (whole.usage.cache_read_input_tokens, whole.usage.input_tokens, whole.usage.output_tokens) == (2, 2, 18)
    whole = read_claude(anthropic, "claude", extra_headers=CALLING)
    assert (whole.content[1].input, whole.stop_reason) == (json.loads(CALLED.expected_arguments()), "tool_use")
    plain = anthropic.messages.create(model="claude", max_tokens=TOKENS, messages=MESSAGES, extra_headers=CALLING)
    assert (plain.content[0].text, plain.content[1].input) == (whole.content[0].text, whole.content[1].input)


def test_anthropic_errors(anthropic):
    module = sdk("anthropic")
    for status, error in ((401, "AuthenticationError"), (429, "RateLimitError"), (529, "InternalServerError")):
        with pytest.raises(getattr(module, error)):
            read_claude(anthropic, "claude", extra_headers={"x-lens-script": f"status={status}"})
    with pytest.raises(module.APIStatusError, match="Overloaded"):
        read_claude(anthropic, "claude", extra_headers={"x-lens-script": "error-at=2,itl=1ms"})


def test_anthropic_on_bedrock(simulator):
    sdk("boto3")
    module = sdk("anthropic")
    keys = {"aws_access_key": "a", "aws_secret_key": "b", "aws_region": "us-east-1"}
    with module.AnthropicBedrock(base_url=simulator.url, max_retries=0, **keys) as client:
        text = ""
        asked = {"model": "anthropic.claude-v1:0", "max_tokens": TOKENS, "messages": MESSAGES, "stream": True}
        for event in client.messages.create(**asked):
            text += getattr(getattr(event, "delta", None), "text", "") or ""
    assert text == SCRIPT.expected_text()


def test_anthropic_on_vertex(simulator):
    sdk("google.auth")
    module = sdk("anthropic")
    more = {"region": "r", "project_id": "p", "access_token": "t", "max_retries": 0}
    with module.AnthropicVertex(base_url=f"{simulator.url}/v1", **more) as client:
        assert read_claude(client, "claude@1").content[0].text == SCRIPT.expected_text()
    assert simulator.log(last=1)[0]["path"].endswith("/publishers/anthropic/models/claude@1:streamRawPredict")


def read_gemini(client, script):
    text = thoughts = ""
    calls, usage = [], None
    headers = {"headers": {"x-lens-script": script}}
    for chunk in client.models.generate_content_stream(
        model="gem", contents="four words for you", config={"http_options": headers}
    ):
        usage = chunk.usage_metadata or usage
        for part in chunk.candidates[0].content.parts:
            if part.function_call:
                calls.append(part.function_call.args)
            elif part.thought:
                thoughts += part.text
            else:
                text += part.text
    return text, thoughts, calls, usage


def test_gemini(simulator):
    module = sdk("google.genai")
    client = module.Client(api_key="k", http_options=module.types.HttpOptions(base_url=simulator.url))
    text, _, _, usage = read_gemini(client, "tokens=25,itl=1ms,ttft=5ms")
    assert (text, usage.prompt_token_count, usage.candidates_token_count) == (SCRIPT.expected_text(), 4, 25)
    text, thoughts, _, usage = read_gemini(client, THINKING["x-lens-script"])
    assert (text, thoughts) == (THOUGHT.expected_text(), THOUGHT.expected_reasoning())
    assert (usage.thoughts_token_count, usage.candidates_token_count) == (6, 12)
    _, _, calls, _ = read_gemini(client, CALLING["x-lens-script"])
    assert calls == [json.loads(CALLED.expected_arguments())]
    with pytest.raises(module.errors.ClientError, match="RESOURCE_EXHAUSTED"):
        read_gemini(client, "status=429,retry-after=2")
    with pytest.raises(module.errors.APIError, match="overloaded"):
        read_gemini(client, "error-at=2,itl=1ms,ttft=5ms")
    client.close()


@pytest.fixture
def bedrock(simulator):
    sdk("boto3")
    import botocore.config
    import botocore.session

    session = botocore.session.Session()
    session.set_credentials("a", "b")
    config = botocore.config.Config(retries={"total_max_attempts": 1}, proxies={})
    client = session.create_client("bedrock-runtime", "us-east-1", endpoint_url=simulator.url, config=config)

    header = {}

    def add(request, **_):
        for name, value in header.items():
            request.headers[name] = value

    client.meta.events.register("before-sign.bedrock-runtime.*", add)

    def with_script(script):
        header["x-lens-script"] = script
        return client

    yield with_script
    client.close()


def read_converse(client):
    text = reasoning = arguments = ""
    usage = None
    asked = {"modelId": "m:0", "messages": [{"role": "user", "content": [{"text": "four words for you"}]}]}
    for event in client.converse_stream(**asked)["stream"]:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        reasoning += delta.get("reasoningContent", {}).get("text", "")
        arguments += delta.get("toolUse", {}).get("input", "")
        usage = event.get("metadata", {}).get("usage", usage)
    return text, reasoning, arguments, usage


@pytest.mark.parametrize(("headers", "script"), [(THINKING, THOUGHT), (CALLING, CALLED)])
def test_bedrock_converse(bedrock, headers, script):
    text, reasoning, arguments, usage = read_converse(bedrock(headers["x-lens-script"]))
    assert (text, reasoning, arguments) == (
        script.expected_text(),
        script.expected_reasoning(),
        script.expected_arguments(),
    )
    assert usage["outputTokens"] == script.tokens + script.reasoning_tokens + script.tool_tokens


def test_bedrock_errors(bedrock):
    from botocore.exceptions import ClientError, EventStreamError

    with pytest.raises(ClientError, match="ThrottlingException"):
        read_converse(bedrock("status=429"))
    with pytest.raises(EventStreamError, match="throttlingException"):
        read_converse(bedrock("error-at=2,itl=1ms,ttft=5ms"))


@pytest.mark.parametrize(("headers", "script"), [(None, SCRIPT), (THINKING, THOUGHT)])
def test_ollama(simulator, headers, script):
    with sdk("ollama").Client(host=simulator.url, headers=headers) as client:
        lines = list(client.chat(model="m", messages=MESSAGES, stream=True))
        generated = list(client.generate(model="m", prompt="one two", stream=True))
    assert "".join(line.message.content or "" for line in lines) == script.expected_text()
    assert "".join(line.message.thinking or "" for line in lines) == script.expected_reasoning()
    assert (lines[-1].done, lines[-1].prompt_eval_count) == (True, 4)
    assert lines[-1].eval_count == script.tokens + script.reasoning_tokens
    assert "".join(line.response for line in generated) == script.expected_text()


def test_cohere(simulator):
    text, usage = "", None
    with sdk("httpx").Client() as http:
        client = sdk("cohere").ClientV2(api_key="k", base_url=simulator.url, httpx_client=http)
        for event in client.chat_stream(model="m", messages=MESSAGES):
            if event.type == "content-delta":
                text += event.delta.message.content.text or ""
            if event.type == "message-end":
                usage = event.delta.usage
        plain = client.chat(model="m", messages=MESSAGES)
    assert text == plain.message.content[0].text == SCRIPT.expected_text()
    assert (usage.tokens.input_tokens, usage.tokens.output_tokens) == (4, 25)
