"""`lll init`: five answers become a config file that works; a key never gets into it."""

from __future__ import annotations

import tomllib

import pytest
from cli_program import lll

from lens.simulator import make_script, start


@pytest.fixture(scope="module")
def strict():
    with start(make_script(ttft="5ms", itl="1ms", tokens=3, root="/v1", models="small+large")) as simulator:
        yield simulator


def test_five_answers_are_a_file_that_works(strict, tmp_path):
    ended = lll("init", stdin=f"{strict.url}\n\nMY_KEY\n3\n2\n", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("]: ") == 5
    found = tomllib.loads((tmp_path / "llm-latency-lens.toml").read_text())
    assert found == {
        "providers": {"simulator": {"model": "small", "base_url": f"{strict.url}/v1", "api_key_env": "MY_KEY"}},
        "load": {"iterations": 3, "concurrency": 2},
    }
    done = lll("benchmark", "--ui", "none", cwd=tmp_path, env={"MY_KEY": "k"})
    assert done.returncode == 0, done.stderr
    assert "3 succeeded" in done.stdout
    again = lll("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_the_end_of_the_input_takes_what_is_in_brackets(tmp_path):
    ended = lll("init", "-o", "a.toml", stdin="openai\ngpt-x", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = tomllib.loads((tmp_path / "a.toml").read_text())
    assert found["providers"] == {"openai": {"model": "gpt-x", "api_key_env": "OPENAI_API_KEY"}}
    assert found["load"] == {"iterations": 100, "concurrency": 8}
    assert "--config a.toml" in ended.stdout


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("openai\ngpt\nsk-abcdef1234567890\n", "no name of a variable"),
        ("opnai\n", "did you mean openai"),
        ("azure\n", "no address of its own"),
        ("openai\n\n", "write its name as the second answer"),
        ("openai\ngpt\n\nmany\n", "write a number"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_nothing_is_written(answers, says, tmp_path):
    ended = lll("init", stdin=answers, cwd=tmp_path)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "sk-abc" not in ended.stderr
    assert not list(tmp_path.iterdir())
