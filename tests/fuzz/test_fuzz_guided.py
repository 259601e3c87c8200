"""What a fuzzer finds that sees which lines run: every reader refuses it, or reads it, as it should.

FUZZ_SECONDS gives each reader so long, in a process of its own (`make fuzz`); without it all share a few seconds.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzed import INPUTS, executed_units
from needs import need_package
from readers import TARGETS

SECONDS = os.environ.get("FUZZ_SECONDS")
SHARED_SECONDS = 8
GUIDED = Path(__file__).with_name("guided.py")

OFFERED = sys.version_info < (3, 14) and sys.platform == "linux" and platform.machine() == "x86_64"
need_package("atheris", "pip install atheris", offered=OFFERED)


@pytest.mark.parametrize("name", TARGETS if SECONDS else [""])
def test_nothing_that_is_found_breaks_a_reader(name, scratch, record_property):
    seconds = round(float(SECONDS)) if SECONDS else SHARED_SECONDS
    options = [
        f"-max_total_time={seconds}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-max_len=20000",
    ]
    words = [sys.executable, GUIDED, scratch, *([name] if name else []), *options, "-print_final_stats=1"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=seconds + 120)
    assert done.returncode == 0, done.stderr[-4000:]
    record_property(INPUTS, executed_units(done.stderr))
