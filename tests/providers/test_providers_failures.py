"""Each way in which an answer comes, in each protocol: its category, its words, and where its text and timings end."""

import json
from pathlib import Path

import pytest
from failure_table import PROTOCOLS, cases, exchange_of, page, read, request_of

from lens.model import CONTENT, Signal
from lens.orchestrator.collect import first_events
from lens.providers.registry import get_provider

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("protocol", "shape"), cases(), ids=lambda one: getattr(one, "title", getattr(one, "name", ""))
)
def test_an_answer_has_the_category_and_the_words_of_what_it_holds(protocol, shape):
    exchange, reading = read(protocol, shape)
    assert reading.category == shape.category, reading.failure
    assert (reading.failure is None) == (shape.category == "success")
    assert shape.says in (reading.failure.message if reading.failure else "")
    assert shape.text is None or reading.text == shape.text
    events = first_events(exchange.events, reading.events_read)
    assert sum(bool(bits & CONTENT) for bits in events.signals) == len(shape.text.replace("\ufffd", ""))


def test_the_page_is_what_the_table_says():
    assert (DOCS / "answers.md").read_text() == page(), "run: make faults"


OPENAI = PROTOCOLS[0]


HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def http(body, head=HEAD):
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def reading_of(body, head=HEAD):
    request = request_of(OPENAI)
    return get_provider(OPENAI.provider).decode(request, exchange_of(request, http(body, head)))


def chat(*chunks):
    return OPENAI.answer(*[json.dumps(chunk) for chunk in chunks], *OPENAI.stop("stop"), "[DONE]")


def delta(**fields):
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "reasoning_text", "thinking"])
def test_reasoning_counts_under_each_name_in_use(key):
    found = reading_of(chat(delta(**{key: "hm"}), delta(content="a")))
    assert (found.reasoning, found.text, found.warnings) == ("hm", "a", ())


def test_the_same_reasoning_under_several_names_counts_once():
    piece = {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}
    exchange = exchange_of(request_of(OPENAI), http(chat(delta(**piece), delta(content="a"))))
    assert list(exchange.events.chars)[:2] == [2, 1]
    assert reading_of(chat(delta(**piece))).reasoning == "hm"
    blocks = [{"type": "thinking", "thinking": "hm"}]
    assert reading_of(chat(delta(thinking_blocks=blocks), delta(content="a"))).reasoning == "hm"


def test_a_stream_of_messages_is_read_as_one_of_deltas():
    message = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
    exchange = exchange_of(request_of(OPENAI), http(chat(message)))
    assert exchange.events.chars[0] == 2
    assert reading_of(chat(message)).text == "Hi"


def test_text_under_an_unknown_name_is_reported():
    found = reading_of(chat(*[delta(musings=f"part {i}") for i in range(3)], delta(content="a")))
    (warning,) = found.warnings
    assert warning.startswith("3 events held text under `choices[].delta.musings`, which is not read")


def test_text_outside_of_the_choices_is_told_too():
    pieces = [{"choices": [], "token": {"text": f"part {i}"}} for i in range(2)]
    (warning,) = reading_of(chat(*pieces, delta(content="a"))).warnings
    assert warning.startswith("2 events held text under `token.text`")


@pytest.mark.parametrize("fields", [{"role": "assistant"}, {"id": "x1"}, {"thought_signature": "abc"}, {"tag": ""}])
def test_what_is_no_text_is_no_unknown_text(fields):
    changing = [{key: value + str(i) if value else "" for key, value in fields.items()} for i in range(3)]
    assert reading_of(chat(*[delta(**one) for one in changing], delta(content="a"))).warnings == ()


def call(id_=None, name=None, arguments="", **place):
    return {"tool_calls": [{**place, "id": id_, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize("place", [{"index": 0}, {}])
def test_calls_with_ids_of_their_own_are_different_calls(place):
    pieces = (call("a", "f", "{", **place), call(arguments="1}", **place), call("b", "g", "{", **place))
    found = reading_of(chat(*[delta(**piece) for piece in pieces], delta(**call(arguments="2}", **place))))
    assert [(one.id, one.name, one.arguments) for one in found.tool_calls] == [("a", "f", "{1}"), ("b", "g", "{2}")]


def test_a_call_whose_fragments_repeat_its_id_is_one():
    pieces = (call("a", "f", "{", index=0), call("b", "g", "{", index=1), call("a", arguments="1}", index=0))
    found = reading_of(chat(*[delta(**piece) for piece in pieces]))
    assert [(one.id, one.arguments) for one in found.tool_calls] == [("a", "{1}"), ("b", "{")]


def test_each_choice_keeps_its_text_and_its_calls():
    chunks = [
        {"choices": [{"index": i, "delta": {"content": "xy"[i], **call("a", "f", str(i), index=0)}}]} for i in (0, 1)
    ]
    found = reading_of(chat(*chunks))
    assert found.choices == ("x", "y")
    assert [one.arguments for one in found.tool_calls] == ["0", "1"]


def usage(**counts):
    return {"choices": [], "usage": counts}


@pytest.mark.parametrize(
    ("chunks", "counts"),
    [
        ([usage(prompt_tokens=5.0, completion_tokens="2")], (5, 2)),
        ([usage(prompt_tokens=5, completion_tokens=2), usage(prompt_tokens=0, completion_tokens=0)], (5, 2)),
        ([usage(prompt_tokens=0, completion_tokens=0), usage(prompt_tokens=5, completion_tokens=2)], (5, 2)),
        ([usage(input_tokens=5, output_tokens=2)], (5, 2)),
        ([usage(promptTokens=5, completionTokens=" 2 ")], (5, 2)),
        ([{"choices": [], "usage": [{"prompt_tokens": 5, "completion_tokens": 2}]}], (5, 2)),
        ([{"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 5, "completion_tokens": 2}}]}], (5, 2)),
    ],
)
def test_counts_are_read_as_they_were_meant(chunks, counts):
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    body = OPENAI.answer(*[json.dumps(one) for one in (delta(content="a"), end, *chunks)], "[DONE]")
    found = reading_of(body)
    assert (found.usage.input_tokens, found.usage.output_tokens) == counts


def test_text_of_no_tokens_raises_a_doubt():
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"completion_tokens": 0}}
    found = reading_of(OPENAI.answer(json.dumps(delta(content="a")), json.dumps(end), "[DONE]"))
    assert found.usage.output_tokens == 0
    assert any("0 output tokens" in warning for warning in found.warnings)


def test_an_answer_that_came_whole_though_a_stream_was_asked_for_is_read():
    message = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    for body in (json.dumps(message).encode(), json.dumps(message).encode() + b"\n\ndata: [DONE]\n\n"):
        assert (reading_of(body).category, reading_of(body).text) == ("success", "Hi")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code":"InvalidApiKey","message":"no such key"}', "no such key"),
        (b'{"choices":null,"base_resp":{"status_code":1004,"status_msg":"login fail"}}', "login fail"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"code":500,"msg":"404 NOT_FOUND","success":false}', "404 NOT_FOUND"),
    ],
)
def test_an_error_with_a_status_of_success_keeps_its_words(body, words):
    found = reading_of(body, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    assert found.category == "stream_error"
    assert words in found.failure.message


@pytest.mark.parametrize("body", [b'{"type":"progress","message":"searching"}', b'{"code":0,"message":"ok"}'])
def test_a_message_that_is_no_error_is_none(body):
    assert reading_of(OPENAI.write(body) + chat(delta(content="a"))).category == "success"


def exchange_in(title, *events):
    protocol = next(one for one in PROTOCOLS if one.title == title)
    body = protocol.answer(*[json.dumps(one) for one in events], *protocol.stop(protocol.good_reason), *protocol.end)
    request = request_of(protocol)
    exchange = exchange_of(request, http(body))
    return exchange, get_provider(protocol.provider).decode(request, exchange)


def parts(*given):
    return {"candidates": [{"content": {"parts": list(given)}}]}


def shell(kind, **fields):
    return {"type": f"response.shell_call_command.{kind}", "output_index": 0, **fields}


SHELL = {"type": "shell_call", "call_id": "c1"}


@pytest.mark.parametrize(
    ("title", "events", "signal", "first"),
    [
        ("anthropic", [{"type": "content_block_start", "content_block": {"type": "thinking", "thinking": "hm"}}],
         Signal.REASONING, 0),
        ("google", [parts({"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}})], Signal.AUDIO, 0),
        ("google", [parts({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"q": "x"}}})], Signal.TOOL, 0),
        ("openai-responses", [shell("added", command=""), shell("delta", delta="ls ")], Signal.TOOL, 1),
        ("openai-responses", [{"type": "response.image_generation_call.partial_image", "partial_image_b64": "AAAA"}],
         Signal.AUDIO, 0),
        ("openai-responses", [{"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "x"}],
         Signal.TOOL, 0),
    ],
)  # fmt: skip
def test_content_of_each_kind_counts_from_its_first_event(title, events, signal, first):
    exchange, reading = exchange_in(title, *events)
    columns = zip(exchange.events.signals, exchange.events.chars, strict=True)
    counting = [i for i, (bits, chars) in enumerate(columns) if bits & signal and chars]
    assert counting[0] == first
    assert (reading.category, reading.warnings) == ("success", ())


def test_a_shell_call_is_kept_with_its_commands():
    added = {
        "type": "response.output_item.added",
        "item": {**SHELL, "status": "in_progress", "action": {"commands": []}},
    }
    done = {
        "type": "response.output_item.done",
        "item": {**SHELL, "status": "completed", "action": {"commands": ["ls /"]}},
    }
    streamed = exchange_in("openai-responses", added, shell("delta", delta="ls "), shell("delta", delta="/"), done)[1]
    assert [(call.name, call.arguments, call.id) for call in streamed.tool_calls] == [("shell_call", "ls /", "c1")]
    whole = exchange_in("openai-responses", added, done)[1]
    assert [call.arguments for call in whole.tool_calls] == ['{"commands":["ls /"]}']


def test_a_tool_that_google_runs_itself_is_kept():
    (call,) = exchange_in("google", parts({"toolCall": {"id": "t", "toolType": "SEARCH", "args": {"q": "x"}}}))[
        1
    ].tool_calls
    assert (call.name, call.arguments, call.id) == ("SEARCH", '{"q":"x"}', "t")


def test_the_servers_own_metrics_are_evidence():
    metrics = {"time_to_first_token_ms": 31.5, "queue_time_ms": 7.25, "generation_time_ms": 88.0, "mean_itl_ms": 4.0}
    found = reading_of(chat(delta(content="a"), {"choices": [], "metrics": metrics}))
    assert found.server_timing_ms == {
        "vllm_ttft": 31.5, "vllm_queue": 7.25, "vllm_generation": 88.0, "vllm_mean_itl": 4.0,
    }  # fmt: skip


def test_words_in_place_of_an_event_are_in_the_message():
    found = reading_of(OPENAI.answer(json.dumps(delta(content="a")), "Internal Server Error sk-abcdefghijklmnop"))
    assert (found.category, found.text) == ("protocol_error", "a")
    assert "not valid JSON: Internal Server Error" in found.failure.message
    assert "sk-abcdefghijklmnop" not in found.failure.message


def test_an_error_in_an_array_is_one():
    for title in ("google", "anthropic", "openai"):
        assert exchange_in(title, [{"error": {"code": 503, "message": "busy"}}])[1].failure.message == "busy"


RESPONSES, ANTHROPIC, GOOGLE, COHERE, BEDROCK = [
    next(one for one in PROTOCOLS if one.title == title)
    for title in ("openai-responses", "anthropic", "google", "cohere", "bedrock")
]


def answer(protocol, *events, reason="stop"):
    """What the codec makes of these events before the end of a good answer, each a JSON value or a line of a frame."""
    said = [event if isinstance(event, str) else json.dumps(event) for event in events]
    body = protocol.answer(*said, *protocol.stop(reason), *protocol.end)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {protocol.media}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = request_of(protocol)
    exchange = exchange_of(request, head.encode() + body)
    return exchange, get_provider(protocol.provider).decode(request, exchange)


def content_events(exchange):
    return sum(bool(bits & CONTENT) for bits in exchange.events.signals)


def _block(id_, name, **place):
    return {"type": "content_block_start", **place, "content_block": {"type": "tool_use", "id": id_, "name": name}}


def _json(text, **place):
    return {"type": "content_block_delta", **place, "delta": {"type": "input_json_delta", "partial_json": text}}


def _item(id_, call, name, **place):
    item = {"type": "function_call", "id": id_, "call_id": call, "name": name, "arguments": ""}
    return {"type": "response.output_item.added", **place, "item": item}


def _arguments(text, id_, **place):
    return {"type": "response.function_call_arguments.delta", **place, "item_id": id_, "delta": text}


def _cohere_call(kind, **call):
    return {"type": f"tool-call-{kind}", "index": 0, "delta": {"message": {"tool_calls": call}}}


def _frame(kind, **block):
    return f"contentBlock{kind} {json.dumps(block)}"


def _tool_use(id_, name):
    return _frame("Start", contentBlockIndex=0, start={"toolUse": {"toolUseId": id_, "name": name}})


def _input(text):
    return _frame("Delta", contentBlockIndex=0, delta={"toolUse": {"input": text}})


@pytest.mark.parametrize(
    ("protocol", "events"),
    [
        (ANTHROPIC, [_block("a", "f", index=0), _json("{}", index=0), _block("b", "g", index=0), _json("[]", index=0)]),
        (ANTHROPIC, [_block("a", "f"), _json("{}"), _block("b", "g"), _json("[]")]),
        (RESPONSES, [_item("1", "a", "f"), _arguments("{}", "1"), _item("2", "b", "g"), _arguments("[]", "2")]),
        (
            RESPONSES,  # in turns
            [
                *[_item("1", "a", "f", output_index=0), _item("2", "b", "g", output_index=0)],
                *[_arguments("{}", "1", output_index=0), _arguments("[]", "2", output_index=0)],
            ],
        ),
        (
            COHERE,
            [
                *[
                    _cohere_call("start", id="a", function={"name": "f"}),
                    _cohere_call("delta", function={"arguments": "{}"}),
                ],
                *[
                    _cohere_call("start", id="b", function={"name": "g"}),
                    _cohere_call("delta", function={"arguments": "[]"}),
                ],
            ],
        ),
        (BEDROCK, [_tool_use("a", "f"), _input("{}"), _tool_use("b", "g"), _input("[]")]),
    ],
)
def test_calls_with_one_index_and_two_ids_are_two_in_every_protocol(protocol, events):
    _, found = answer(protocol, *events)
    assert [(one.id, one.name, one.arguments) for one in found.tool_calls] == [("a", "f", "{}"), ("b", "g", "[]")]


@pytest.mark.parametrize("numbers", [(0, 1), (None, None)])
def test_each_candidate_and_each_choice_keeps_its_text_also_without_an_index(numbers):
    places = [{"index": number} if number is not None else {} for number in numbers]
    parts = [{**places[i], "content": {"parts": [{"text": "xy"[i]}]}} for i in (0, 1)]
    assert answer(GOOGLE, {"candidates": parts})[1].choices == ("x", "y")
    choices = [{**places[i], "delta": {"content": "xy"[i]}} for i in (0, 1)]
    assert answer(OPENAI, {"choices": choices})[1].choices == ("x", "y")


@pytest.mark.parametrize("place", ["delta", "message"])
@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x"}, {"content": [{"type": "text", "text": "x"}]}, {"reasoning": "x"}, {"refusal": "x"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "x"}]}, {"audio": {"data": "AAAA"}},
        {"thinking_blocks": [{"type": "thinking", "thinking": "x"}]}, {"audio": {"transcript": "x"}},
        {"images": [{"type": "image_url", "image_url": {"url": "data:x"}}]}, {"images": [{"b64_json": "AAAA"}]},
        {"content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"content": [{"type": "audio", "audio": {"data": "AAAA"}}]},
        {"tool_calls": [{"index": 0, "id": "a", "custom": {"name": "sh", "input": "ls"}}]},
    ],
    ids=str,
)  # fmt: skip
def test_content_counts_wherever_a_choice_holds_it(place, fields):
    exchange, found = answer(OPENAI, {"choices": [{"index": 0, place: fields}]})
    assert (content_events(exchange), found.warnings) == (1, ())


@pytest.mark.parametrize(
    ("protocol", "event"),
    [
        (RESPONSES, {"type": "response.output_audio.delta", "delta": "AAAA"}),
        (RESPONSES, {"type": "response.reasoning.delta", "delta": "x"}),
        (RESPONSES, {"type": "response.code_interpreter_call.code.delta", "delta": "x"}),
        (BEDROCK, _frame("Delta", contentBlockIndex=0, delta={"image": {"source": {"bytes": "AAAA"}}})),
        (GOOGLE, {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}}]}),
        (
            ANTHROPIC,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "x"}},
        ),
    ],
)
def test_content_counts_under_its_name_in_every_protocol(protocol, event):
    assert content_events(answer(protocol, event)[0]) == 1


@pytest.mark.parametrize(
    ("protocol", "event", "path"),
    [
        (OPENAI, lambda x: delta(extra={"thought": {"text": x}}), "choices[].delta.extra.thought.text"),
        (OPENAI, lambda x: delta(musings=[x]), "choices[].delta.musings[]"),
        (RESPONSES, lambda x: {"type": "response.muse.chunk", "musing": x}, "musing"),
        (RESPONSES, lambda x: {"type": "response.muse.delta", "delta": {"text": x}}, "delta.text"),
        (ANTHROPIC, lambda x: {"type": "content_block_delta", "delta": {"type": "muse", "musing": x}}, "delta.musing"),
        (GOOGLE, lambda x: {"candidates": [{"content": {"parts": [{"musing": x}]}}]}, "parts[].musing"),
        (COHERE, lambda x: {"type": "x", "delta": {"message": {"musing": x}}}, "delta.message.musing"),
        (BEDROCK, lambda x: _frame("Delta", contentBlockIndex=0, delta={"musing": x}), "delta.musing"),
    ],
)
def test_text_that_grows_under_an_unknown_name_is_told_in_every_protocol(protocol, event, path):
    (warning,) = answer(protocol, *[event(f"part {i}") for i in range(3)], protocol.text("a"))[1].warnings
    assert warning.startswith("3 events held text under `")
    assert f"{path}`" in warning


def test_what_the_responses_api_repeats_and_what_a_shell_printed_is_no_unknown_text():
    pieces = [{"type": "response.output_text.done", "text": f"part {i}"} for i in range(3)]
    pieces += [{"type": "response.shell_call_output_content.delta", "delta": {"stdout": f"x{i}"}} for i in range(3)]
    assert answer(RESPONSES, *pieces, RESPONSES.text("a"))[1].warnings == ()


WHOLE = {
    "openai": {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]},
    "openai-responses": {"status": "completed", "output": [{"content": [{"type": "output_text", "text": "ab"}]}]},
    "anthropic": {"content": [{"type": "text", "text": "ab"}], "stop_reason": "end_turn"},
    "google": {"candidates": [{"content": {"parts": [{"text": "ab"}]}, "finishReason": "STOP"}]},
    "cohere": {"message": {"content": [{"type": "text", "text": "ab"}]}, "finish_reason": "COMPLETE"},
}


@pytest.mark.parametrize("start", [b"", b"\n\n", b"\xef\xbb\xbf", b"data: "])
@pytest.mark.parametrize("end", [b"", b"\n\ndata: [DONE]\n\n"])
@pytest.mark.parametrize("title", WHOLE)
def test_an_answer_that_came_whole_is_read_whatever_stands_around_it(title, start, end):
    protocol = next(one for one in PROTOCOLS if one.title == title)
    body = start + json.dumps(WHOLE[title]).encode() + (end or b"\n\n")
    request = request_of(protocol)
    for media in ("text/event-stream", "application/json"):
        if start.startswith(b"\xef") and media == "text/event-stream":
            continue  # the mark belongs to the stream there
        exchange = exchange_of(request, http(body, f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\n"))
        found = get_provider(protocol.provider).decode(request, exchange)
        assert (found.category, found.text) == ("success", "ab"), media


def test_an_answer_that_came_only_with_its_end_has_its_text_and_a_doubt():
    last = {"type": "response.completed", "response": WHOLE["openai-responses"]}
    body = RESPONSES.answer(json.dumps(last))
    request = request_of(RESPONSES)
    found = get_provider("openai").decode(request, exchange_of(request, http(body)))
    assert (found.category, found.text) == ("success", "ab")
    assert found.warnings[0].startswith("the text came only in the last event")


@pytest.mark.parametrize("start", [b"", b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'])
@pytest.mark.parametrize(
    "last",
    [
        b'data: {"error":{"message":"boom"}}\n',
        b'data: {"error":{"message":"boom"}}',
        b'{"error":{"message":"boom"}}\n',
        b'{"error":{"message":"boom"}}',
        b'error: {"message":"boom"}',
        b'event: error\ndata: {"message":"boom"}',
    ],
)
def test_an_error_that_lacks_the_end_of_its_event_is_in_the_message(start, last):
    reading = reading_of(start + last)
    assert (reading.category, reading.failure.message) == ("truncated", "boom")
    assert reading.text == ("a" if start else "")


def test_what_else_lacks_the_end_of_its_event_is_no_part_of_the_answer():
    whole = json.dumps(delta(content="a")).encode()
    reading = reading_of(b"data: " + whole + b"\n\ndata: " + whole + b"\n")
    assert (reading.category, reading.text) == ("truncated", "a")
    assert "without a finish reason" in reading.failure.message
