"""The worked example of a provider's package: built and installed as its README says, then used by `lll`."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "provider-plugin"
WORDS = ("HELLO ", "THERE ", "YOU")


class Shouter(BaseHTTPRequestHandler):
    """A server of the made-up protocol."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        lines = [{"word": word} for word in WORDS] + [{"bye": True, "words": len(WORDS), "heard": asked["ask"]}]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, built into a wheel and installed into a folder of its own; nothing is fetched."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    made = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(place), str(EXAMPLE)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return place


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Shouter)
    thread = Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def lll(site, *words):
    path = os.pathsep.join([str(site), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "lens", *words], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_it_is_listed(site):
    assert "shout" in lll(site, "providers").stdout


def test_it_measures(site, server):
    done = lll(site, "profile", "--provider", "shout", "--model", "loud", "--base-url", server, "--prompt", "hi",
               "-e", "json", "--save-text")  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["text"], record["output_tokens"]) == ("Success", "HELLO THERE YOU", 3)
    assert record["ttft_ms"] > 0


def test_without_its_address_the_message_says_what_is_wanted(site):
    done = lll(site, "profile", "--provider", "shout", "--model", "loud")
    assert done.returncode == 2
    assert "--base-url" in done.stderr
