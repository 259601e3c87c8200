"""A server that sends keys of every form back in every way, and what looks for them in whatever came of it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

# Of no known form: with quotes, as base64, with an escape of JSON, and plain.
KEYS = {
    "plain": "tok4f9c2d7e1b8a4c6f9e0d",
    "quotes": """q"uo'te9f8e7d6c5b4a""",
    "base64": "aB3/xY+z9QwErTy012==",
    "backslash": r"ba\ck5l4a3s2h1f0e",
}
FIELD, QUERY, HEADER, PROXY = "fieldhidden71c2d3", "queryhidden82d3e4", "headerhidden93e4f5", "proxyhidden04f5a6"
OTHERS = (FIELD, QUERY, HEADER, PROXY)


class Echo(BaseHTTPRequestHandler):
    """Sends back what it was sent: in headers, in texts, in names, in errors, whole and as deltas.

    What is posted to a path with "hook" in it is kept in `hooks` of the server.
    """

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        if "/hook" in self.path:
            getattr(self.server, "hooks", []).append(body)
        told = " ".join([*self.headers.values(), self.path, body])
        key = (self.headers.get("authorization") or self.headers.get("x-goog-api-key") or "").removeprefix("Bearer ")
        if "refuse" in body:
            self.answer(401, "application/json", {"error": {"message": told, "type": key, "code": key}}, told)
        elif "page" in body:
            self.answer(500, "text/html", f"<p>{told}</p>", told)
        elif "break" in body:
            self.answer(200, "text/event-stream", f"data: {{{told}\n\n", told)
        elif "google" in self.path:
            part = {"candidates": [{"content": {"parts": [{"text": key}]}, "finishReason": key}], "modelVersion": key}
            self.answer(200, "text/event-stream", f"data: {json.dumps(part)}\n\n", told)
        else:
            self.answer(200, "text/event-stream", self.stream(key, told), told)

    def do_GET(self):
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        self.answer(200, "application/json", {"data": [{"id": key}]}, " ".join(self.headers.values()))

    def stream(self, key, told):
        half = len(key) // 2
        pieces = [
            *[{"delta": {"content": text}} for text in (key[:half], key[half:], told)],
            {"delta": {"reasoning_content": key}},
            {"delta": {"tool_calls": [{"index": 0, "id": key, "function": {"name": key, "arguments": told}}]}},
            {"delta": {}, "finish_reason": key},
        ]
        events = [{"id": key, "model": key, "service_tier": key, "choices": [{"index": 0, **one}]} for one in pieces]
        return "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"

    def answer(self, status, kind, body, told):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        line = "".join(c for c in told if c.isprintable() and c.isascii())
        for name, value in (
            ("content-type", kind),
            ("content-length", str(len(data))),
            ("x-request-id", line),
            ("server-timing", line),
            ("x-ratelimit-limit-requests", line),
            ("deprecation", line),
            ("sunset", line),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def leaks(folder, keys, *texts):
    """Which keys stand where, in any form in which a file may write them."""
    data = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    data |= {f"output {number}": text.encode() for number, text in enumerate(texts)}
    forms = [(key, form) for key in keys for form in (key, json.dumps(key)[1:-1], repr(key)[1:-1])]
    return sorted(
        {f"{name}: {form}" for name, content in data.items() for _, form in forms if form.encode() in content}
    )


def words(url, provider="openai"):
    return (
        "--provider", provider, "-m", "m", "--base-url", f"{url}/v1?sig={QUERY}", "-H", f"X-Auth-Thing: {HEADER}",
        "--extra-body", json.dumps({"nested": {"api_key": FIELD}}), "--log-level", "trace",
    )  # fmt: skip


PROMPTS = ("--prompt", "echo", "--prompt", "refuse", "--prompt", "page", "--prompt", "break")
