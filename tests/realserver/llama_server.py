"""Serves a GGUF file with llama.cpp's own HTTP server on loopback, until standard input ends.

    python llama_server.py FILE SLOTS

The port is the system's choice; one line on standard output names it once the server listens.
Ending with standard input means that the server never outlives the test that started it.
"""

from __future__ import annotations

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"tiny"}
params.n_ctx = 8192
params.n_parallel = int(sys.argv[2])
params.hostnames = ["127.0.0.1"]
params.port = 0
params.warmup = False
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print(f"listening {server.listening_address}", flush=True)
sys.stdin.read()
