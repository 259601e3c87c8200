"""What tools said goes back as each protocol wants it: of calls made at once in one turn, under their names."""

import json

import pytest

from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PROJECT = "https://v/v1beta1/projects/p/locations/global"


def call(id_, name):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}


TALK = (
    {"role": "user", "content": "where?"},
    {"role": "assistant", "content": None, "tool_calls": [call("c1", "look"), call("c2", "hear")]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"seen": "a cat"}'},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "purr"}, PIXEL]},
    {"role": "assistant", "tool_calls": [call("c1", "touch")]},  # an id may come again
    {"role": "tool", "tool_call_id": "c1", "content": ""},
    {"role": "user", "content": "and?"},
)


def asked(provider, base_url="https://x", messages=TALK, model="m"):
    request = get_provider(provider).encode(Prompt(messages=messages), Ask(model=model), base_url, Secret("k"))
    return json.loads(request.body)


@pytest.mark.parametrize(("provider", "base_url"), [("google", "https://g"), ("vertex", PROJECT)])
def test_gemini_gets_the_answers_of_one_turn_in_one_content_under_the_names_of_the_functions(provider, base_url):
    contents = asked(provider, base_url)["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user", "model", "user", "user"]
    assert contents[2]["parts"] == [
        {"functionResponse": {"name": "look", "response": {"seen": "a cat"}}},
        {"functionResponse": {"name": "hear", "response": {"result": "purr"}}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    ]
    assert contents[4]["parts"] == [{"functionResponse": {"name": "touch", "response": {"result": ""}}}]


def test_a_name_that_stands_in_the_message_is_kept_and_an_unknown_call_keeps_its_id():
    named = asked("google", messages=[{"role": "tool", "tool_call_id": "c", "name": "mine", "content": "x"}])
    assert named["contents"][0]["parts"][0]["functionResponse"]["name"] == "mine"
    unknown = asked("google", messages=[{"role": "tool", "tool_call_id": "c", "content": "x"}])
    assert unknown["contents"][0]["parts"][0]["functionResponse"]["name"] == "c"


@pytest.mark.parametrize(("model", "api"), [("m", None), ("amazon.nova-x", "invoke")])
def test_converse_gets_the_answers_of_one_turn_in_one_message_images_too(model, api):
    made = get_provider("bedrock").encode(
        Prompt(messages=TALK), Ask(model=model, api=api), "https://bedrock-runtime.us-east-1.amazonaws.com", None
    )
    turns = json.loads(made.body)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"], "they take turns"
    image = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    assert turns[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": '{"seen": "a cat"}'}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "purr"}, image]}},
    ]
    empty = {"toolResult": {"toolUseId": "c1", "content": []}}  # a text must not be empty
    assert turns[4]["content"] == [empty, {"text": "and?"}]


def test_ollama_gets_each_answer_under_the_name_of_its_function():
    turns = asked("ollama")["messages"]
    assert [turn.get("tool_name") for turn in turns] == [None, None, "look", "hear", None, "touch", None]
