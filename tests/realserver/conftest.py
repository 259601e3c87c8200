"""Servers that are not ours: llama.cpp with a tiny model, and nginx with a recorded stream.

Each runs in a child process on a port of the system's choice and ends with the tests. Where
a program is missing the tests are skipped, and say what is missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from needs import need_package, need_program
from ports import free_port
from waiting import HANG_S, wait_until

HERE = Path(__file__).parent
SLOTS = 4
PROMPT = "say something"

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off; keepalive_requests 1000;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.pem;
        root {dir}/www; default_type text/event-stream;
        # A static file is not served to a POST; the redirect inside makes it a GET.
        error_page 405 =200 $uri;
        location /chunked/ {{ ssi on; ssi_types text/event-stream; }}
        location /slow/ {{ limit_rate 40k; }}
    }}
}}
"""


def wait_for(port: int, child: subprocess.Popen) -> None:
    def listens() -> bool:
        assert child.poll() is None, f"{child.args[0]} ended with {child.returncode} before it listened"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, f"{child.args[0]} did not listen")


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Iterator[str]:
    """Base URL of llama.cpp's own server with a model of our making."""
    for module in ("xllamacpp", "gguf"):
        need_package(module, "pip install 'llm-latency-lens[test]'")
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    subprocess.run([sys.executable, HERE / "tiny_model.py", model], check=True, timeout=HANG_S)
    with (folder / "log").open("w") as log:
        command = [sys.executable, HERE / "llama_server.py", model, str(SLOTS)]
        # The server ends with its standard input, so it cannot outlive this process.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    with child:
        line = child.stdout.readline().split()
        assert line[:1] == ["listening"], (folder / "log").read_text()[-2000:]
        try:
            yield line[1] + "/v1"
        finally:
            child.stdin.close()
            child.wait(timeout=HANG_S)


class Nginx:
    """Addresses of an nginx that serves one recorded stream in several ways."""

    def __init__(self, plain: int, secure: int, ca: Path) -> None:
        self.ca = ca
        self.plain, self.secure = f"http://127.0.0.1:{plain}", f"https://localhost:{secure}"


@pytest.fixture(scope="session")
def nginx(tmp_path_factory) -> Iterator[Nginx]:
    """nginx over HTTP and TLS; /fixed, /chunked and /slow hold the same recorded stream."""
    program = need_program("nginx", "apt-get install nginx-light")
    import trustme

    folder = tmp_path_factory.mktemp("nginx")
    for way in ("fixed", "chunked", "slow"):
        place = folder / "www" / way / "v1" / "chat"
        place.mkdir(parents=True)
        shutil.copy(HERE / "recorded.sse", place / "completions")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    served = Nginx(free_port(), free_port(), folder / "ca.pem")
    plain, secure = (url.rpartition(":")[2] for url in (served.plain, served.secure))
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(dir=folder, plain=plain, secure=secure))
    with subprocess.Popen([program, "-p", folder, "-c", config, "-e", "stderr"], stderr=subprocess.DEVNULL) as child:
        try:
            wait_for(int(secure), child)
            yield served
        finally:
            child.terminate()


@pytest.fixture
def lll(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the program as a user would, away from the sources and from the user's own settings."""

    def run(*args: object) -> subprocess.CompletedProcess:
        ours = ("LLL_", "OPENAI_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
        env = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
        command = [sys.executable, "-m", "lens", *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=HANG_S, check=False, cwd=tmp_path, env=env
        )

    return run
