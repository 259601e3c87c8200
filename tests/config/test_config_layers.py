"""Layers of settings: what a flag replaces of a file, and which numbers a pattern makes no use of."""

from __future__ import annotations

import pytest

from lens.config.layers import check_effective
from lens.config.load import make_config
from lens.config.settings import LoadConfig, PromptConfig, SessionConfig
from lens.errors import ConfigError
from lens.units import NS_PER_S


@pytest.mark.parametrize(
    ("text", "flags", "sessions", "prompts"),
    [
        ("[prompts]\ntexts = ['a']", {"sessions": {"file": "f"}}, {"file": "f"}, {}),
        ("[sessions]\nturns = '3'\ntools = '1:1s'", {"sessions": {"file": "f"}}, {"file": "f"}, {}),
        ("[sessions]\nfile = 'f'\nsalt = 'run'", {"sessions": {"turns": "3"}}, {"turns": "3", "salt": "run"}, {}),
        ("[sessions]\nfile = 'f'\nrate = 2", {"sessions": {"salt": "run"}}, {"file": "f", "rate_per_s": 2.0,
            "salt": "run"}, {}),
        ("[sessions]\nfile = 'f'", {"prompts": {"texts": ["b"]}}, {}, {"texts": ("b",)}),
        ("[sessions]\nfile = 'f'", {"prompts": {"system": "s"}}, {"file": "f"}, {"system": "s"}),
    ],
)  # fmt: skip
def test_sessions_of_flags_replace_prompts_and_prompts_replace_sessions(tmp_path, text, flags, sessions, prompts):
    config = make_config(flags, file=write(tmp_path, "c.toml", text), environ={})
    assert config.sessions == SessionConfig(**sessions)
    assert config.prompts == PromptConfig(**prompts)


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("of_file", "flags", "found"),
    [
        # A flag's pattern replaces the file's as a whole; bounds stay.
        (
            "pattern = 'burst'\nconcurrency = 8\niterations = 3",
            {"rate_per_s": 5.0},
            {"rate_per_s": 5.0, "iterations": 3},
        ),
        (
            "rate = 2\nramp_to = 9\nduration = '5s'",
            {"rate_per_s": 5.0},
            {"rate_per_s": 5.0, "duration_ns": 5 * NS_PER_S},
        ),
        ("rate = 2\narrival = 'poisson'", {"rate_per_s": 5.0}, {"rate_per_s": 5.0, "arrival": "poisson"}),
        ("rate = 2\nconcurrency = 4", {"rate_per_s": 5.0}, {"rate_per_s": 5.0, "concurrency": 4}),
        ("rate = 2", {"ramp_to_per_s": 9.0}, {"rate_per_s": 2.0, "ramp_to_per_s": 9.0}),
        ("sweep_max = 9\nsweep_step = 3", {"sweep_concurrency": (1, 2)}, {"sweep_concurrency": (1, 2)}),
        ("idle_gaps = ['1s']", {"trace": "t"}, {"trace": "t"}),
        ("trace = 't'\nspeedup = 2", {"rate_per_s": 5.0}, {"rate_per_s": 5.0}),
        ("rate = 2", {"pattern": "single"}, {"pattern": "single"}),
        ("pattern = 'single'", {"iterations": 4}, {"iterations": 4}),
        # Numbers that any pattern takes change it.
        ("rate = 2", {"iterations": 4, "concurrency": 2}, {"rate_per_s": 2.0, "iterations": 4, "concurrency": 2}),
    ],
)
def test_a_flag_replaces_the_pattern_of_the_file_as_a_whole(tmp_path, of_file, flags, found):
    path = write(tmp_path, "c.toml", f"[load]\n{of_file}\n")
    assert make_config({"load": flags}, file=path, environ={}).load == LoadConfig(**found)


def test_concurrency_of_the_environment_is_that_of_closed_loops(tmp_path):
    environ = {"LLL_CONCURRENCY": "5"}
    assert make_config({"load": {"rate_per_s": 2.0}}, environ=environ).load.concurrency is None
    assert make_config({"load": {"rate_per_s": 2.0, "concurrency": 3}}, environ=environ).load.concurrency == 3
    path = write(tmp_path, "c.toml", "[load]\nrate = 2\nconcurrency = 4\n")
    assert make_config({}, file=path, environ=environ).load.concurrency == 4


def test_a_prompt_or_a_key_of_a_flag_replaces_those_of_the_file(tmp_path):
    text = "[prompts]\nfile = 'p.txt'\nwhole = true\noutput_tokens = '5'\n"
    path = write(tmp_path, "c.toml", text + "[providers.openai]\nmodel = 'm'\napi_key_env = 'A'\n")
    flags = {"prompts": {"texts": ["hi"]}, "target": {"api_key_file": "k", "max_tokens": 3}}
    found = make_config(flags, file=path, environ={})
    assert found.prompts == PromptConfig(texts=("hi",))
    assert (found.targets[0].api_key_env, found.targets[0].api_key_file) == (None, "k")
    made_up = make_config({"prompts": {"input_tokens": "9"}}, file=path, environ={}).prompts
    assert made_up == PromptConfig(input_tokens="9", output_tokens="5")


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"arrival": "poisson"}, r"--arrival \(load.arrival\) has no effect without --rate"),
        ({"speedup": 2.0}, "--speedup .* has no effect without --trace"),
        ({"sweep_step_per_s": 2.0}, "--sweep-step .* has no effect without --sweep-max"),
        ({"ramp_to_per_s": 2.0, "trace": "t"}, r"--ramp-to .* on a load of pattern 'replay' \(--trace"),
        ({"rate_per_s": 2.0, "idle_gaps_ns": (NS_PER_S,)}, "--rate .* on a load of pattern 'idle'"),
        ({"concurrency": 2, "sweep_concurrency": (1, 2)}, "--concurrent .* 'sweep over concurrency'"),
        ({"rate_per_s": 2.0, "burstiness": 2.0}, "--burstiness .* without --arrival gamma"),
        ({"pattern": "burst", "duration_ns": NS_PER_S}, "--duration .* on a load of pattern 'burst'"),
    ],
)
def test_a_number_that_a_pattern_makes_no_use_of_is_refused(load, says):
    with pytest.raises(ConfigError, match=says):
        check_effective(LoadConfig(**load))


def test_numbers_that_a_pattern_uses_are_fine():
    check_effective(LoadConfig(rate_per_s=2.0, concurrency=3, iterations=4, duration_ns=NS_PER_S, arrival="gamma"))
    check_effective(LoadConfig(search_slo=("ttft_p50<5",), arrival="poisson"))
    check_effective(LoadConfig())
