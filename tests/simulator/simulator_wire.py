"""A client as independent of the simulator as can be: a socket, h11, and small parsers of each protocol.

What it gives is what came: status, headers, the body's bytes with the time of each read, and
of each protocol text, reasoning, tool arguments and usage.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import struct
import time
import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import h11
from waiting import HANG_S


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reads: list[tuple[int, int]] = field(default_factory=list)  # (time in ns, body bytes so far)
    chunks: list[bytes] = field(default_factory=list)  # HTTP chunks, where the body had some
    complete: bool = False
    error: str = ""
    start_ns: int = 0
    end_ns: int = 0


def connect(handle: Any) -> socket.socket:
    if handle.unix:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(handle.unix)
    else:
        sock = socket.create_connection((handle.host, handle.port))
    sock.settimeout(HANG_S)
    if handle.ca_file:
        context = ssl.create_default_context(cafile=handle.ca_file)
        sock = context.wrap_socket(sock, server_hostname="localhost")
    return sock


def exchange(
    sock: socket.socket, path: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST"
) -> Answer:
    """One request on an open connection; whatever ends it is told in the answer."""
    connection, answer = h11.Connection(h11.CLIENT), Answer()
    data = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "simulator", "Content-Length": str(len(data)), **(headers or {})}
    wire = connection.send(h11.Request(method=method, target=path, headers=list(fields.items())))
    wire += connection.send(h11.Data(data=data)) or b""
    wire += connection.send(h11.EndOfMessage()) or b""
    answer.start_ns = time.monotonic_ns()
    try:
        sock.sendall(wire)
        _read(sock, connection, answer)
    except h11.RemoteProtocolError as wrong:
        answer.error = f"h11: {wrong}"
    except OSError as wrong:
        answer.error = type(wrong).__name__
    answer.end_ns = time.monotonic_ns()
    return answer


def _read(sock: socket.socket, connection: h11.Connection, answer: Answer) -> None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(sock.recv(1 << 20))
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = {name.decode().lower(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            answer.body += event.data
            answer.reads.append((time.monotonic_ns(), len(answer.body)))
            if event.chunk_start or not answer.chunks:
                answer.chunks.append(b"")
            answer.chunks[-1] += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer.complete = True
            return
        elif isinstance(event, h11.ConnectionClosed):
            return


def ask(handle: Any, path: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST") -> Answer:
    """One request on a connection of its own."""
    with connect(handle) as sock:
        return exchange(sock, path, body, headers, method)


def chat(handle: Any, script: str = "", *, words: str = "one two three", usage: bool = True, **more: Any) -> Answer:
    """A streamed chat completion."""
    body: dict[str, Any] = {"model": "m", "stream": True, "messages": [{"role": "user", "content": words}], **more}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return ask(handle, "/v1/chat/completions", body, {"x-lens-script": script} if script else None)


def plain(answer: Answer) -> bytes:
    """The body without its content coding."""
    return zlib.decompress(answer.body, 31) if answer.headers.get("content-encoding") == "gzip" else answer.body


def sse(body: bytes) -> list[tuple[str, str]]:
    """(event name, data) of each event that has data."""
    found = []
    for block in re.split(r"\r?\n\r?\n", body.decode())[:-1]:
        lines = [line.partition(":") for line in re.split(r"\r?\n", block)]
        data = [value.removeprefix(" ") for name, _, value in lines if name == "data"]
        names = [value.removeprefix(" ") for name, _, value in lines if name == "event"]
        if data:
            found.append((names[-1] if names else "", "\n".join(data)))
    return found


def aws(body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """(headers, payload) of each frame; both checksums are checked."""
    frames = []
    while body:
        total, size, crc = struct.unpack(">III", body[:12])
        assert crc == zlib.crc32(body[:8]), "prelude checksum"
        assert struct.unpack(">I", body[total - 4 : total])[0] == zlib.crc32(body[: total - 4]), "message checksum"
        block, headers = body[12 : 12 + size], {}
        while block:
            n = block[0]
            name, kind, length = block[1 : n + 1].decode(), block[n + 1], struct.unpack(">H", block[n + 2 : n + 4])[0]
            assert kind == 7
            headers[name] = block[n + 4 : n + 4 + length].decode()
            block = block[n + 4 + length :]
        frames.append((headers, body[12 + size : total - 4]))
        body = body[total:]
    return frames


def said() -> SimpleNamespace:
    return SimpleNamespace(text="", reasoning="", tool="", tool_name="", usage=None, finish=None, done=False, events=0)


def parse_openai(body: bytes) -> SimpleNamespace:
    out = said()
    for _, data in sse(body):
        out.events += 1
        if data == "[DONE]":
            out.done = True
            continue
        chunk = json.loads(data)
        out.usage = chunk.get("usage") or out.usage
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            out.text += delta.get("content") or choice.get("text") or ""
            out.reasoning += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or []:
                out.tool_name += call["function"].get("name", "")
                out.tool += call["function"]["arguments"]
            out.finish = choice.get("finish_reason") or out.finish
    return out


def parse_responses(body: bytes) -> SimpleNamespace:
    out, numbers = said(), []
    for name, data in sse(body):
        event = json.loads(data)
        out.events += 1
        assert event["type"] == name
        numbers.append(event["sequence_number"])
        kind = name.removeprefix("response.")
        if kind == "output_text.delta":
            out.text += event["delta"]
        elif kind == "reasoning_summary_text.delta":
            out.reasoning += event["delta"]
        elif kind == "function_call_arguments.delta":
            out.tool += event["delta"]
        elif kind == "output_item.added" and event["item"]["type"] == "function_call":
            out.tool_name = event["item"]["name"]
        elif kind in ("completed", "incomplete"):
            out.usage, out.finish, out.done = event["response"]["usage"], kind, True
    assert numbers == list(range(len(numbers)))
    return out


def anthropic_event(out: SimpleNamespace, event: dict[str, Any]) -> None:
    out.events += 1
    if event["type"] == "message_start":
        out.usage = event["message"]["usage"]
    elif event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
        out.tool_name = event["content_block"]["name"]
    elif event["type"] == "content_block_delta":
        delta = event["delta"]
        out.text += delta.get("text", "")
        out.reasoning += delta.get("thinking", "")
        out.tool += delta.get("partial_json", "")
    elif event["type"] == "message_delta":
        out.finish, out.usage = event["delta"]["stop_reason"], {**out.usage, **event["usage"]}
    elif event["type"] == "message_stop":
        out.done = True


def parse_anthropic(body: bytes) -> SimpleNamespace:
    out = said()
    for name, data in sse(body):
        event = json.loads(data)
        assert event["type"] == name
        anthropic_event(out, event)
    return out


def parse_invoke(body: bytes) -> SimpleNamespace:
    out = said()
    for headers, payload in aws(body):
        assert headers[":message-type"] == "event"
        anthropic_event(out, json.loads(base64.b64decode(json.loads(payload)["bytes"])))
    return out


def parse_converse(body: bytes) -> SimpleNamespace:
    out = said()
    for headers, payload in aws(body):
        out.events += 1
        event = json.loads(payload)
        delta = event.get("delta", {})
        out.text += delta.get("text", "")
        out.reasoning += delta.get("reasoningContent", {}).get("text", "")
        out.tool += delta.get("toolUse", {}).get("input", "")
        out.tool_name += event.get("start", {}).get("toolUse", {}).get("name", "")
        out.finish = event.get("stopReason", out.finish)
        if headers[":event-type"] == "metadata":
            out.usage, out.done = event.get("usage"), True
    return out


def parse_google_chunks(chunks: list[Any]) -> SimpleNamespace:
    out = said()
    for chunk in chunks:
        out.events += 1
        out.usage = chunk.get("usageMetadata", out.usage)
        for candidate in chunk["candidates"]:
            out.finish = candidate.get("finishReason", out.finish)
            for part in candidate["content"]["parts"]:
                if "functionCall" in part:
                    out.tool_name, out.tool = part["functionCall"]["name"], json.dumps(part["functionCall"]["args"])
                elif part.get("thought"):
                    out.reasoning += part["text"]
                else:
                    out.text += part["text"]
    out.done = out.finish is not None
    return out


def parse_google(body: bytes) -> SimpleNamespace:
    assert b"\r\n\r\n" in body
    return parse_google_chunks([json.loads(data) for _, data in sse(body)])


def parse_google_array(body: bytes) -> SimpleNamespace:
    return parse_google_chunks(json.loads(body))


def parse_ollama(body: bytes) -> SimpleNamespace:
    out = said()
    for line in body.splitlines():
        event = json.loads(line)
        out.events += 1
        message = event.get("message", {})
        out.text += message.get("content", "") + event.get("response", "")
        out.reasoning += message.get("thinking", "") + event.get("thinking", "")
        for call in message.get("tool_calls", []):
            out.tool_name, out.tool = call["function"]["name"], json.dumps(call["function"]["arguments"])
        if event["done"]:
            out.usage, out.finish, out.done = event, event["done_reason"], True
    return out


def parse_cohere(body: bytes) -> SimpleNamespace:
    out = said()
    for name, data in sse(body):
        out.events += 1
        if data == "[DONE]":
            out.done = True
            continue
        event = json.loads(data)
        assert event["type"] == name
        message = event.get("delta", {}).get("message", {})
        content = message.get("content") or {}
        out.text += content.get("text", "")
        out.reasoning += content.get("thinking", "")
        function = (message.get("tool_calls") or {}).get("function", {})
        out.tool_name += function.get("name", "")
        out.tool += function.get("arguments", "")
        if name == "message-end":
            out.finish, out.usage = event["delta"]["finish_reason"], event["delta"].get("usage")
    return out


@contextlib.contextmanager
def running(**options: Any):
    """A simulator in a thread, with script options as people write them; tls and log_file go to the server."""
    from lens.simulator import make_script, start_thread

    server = {name: options.pop(name) for name in ("tls", "unix", "log_file") if name in options}
    with start_thread(make_script(**options), **server) as handle:
        yield handle
