"""A provider told in a config file, against protocols of the simulator that it has never heard of."""

import json
import re

import pytest
from click.testing import CliRunner

from lens.cli.main import lll
from lens.config.settings import CustomConfig
from lens.errors import ConfigError
from lens.model import Events, Stamps
from lens.providers.custom import Custom
from lens.simulator import Script, start_thread
from lens.wire import Ask, Exchange, Frame, Prompt, Secret

OLLAMA = """
[custom]
path = "/api/chat"
framing = "ndjson"
text = ["message.content"]
finish = "done_reason"
done_path = "done"
input_tokens = "prompt_eval_count"
output_tokens = "eval_count"
served_model = "model"
[custom.body]
model = "{{model}}"
messages = "{{messages}}"
stream = "{{stream}}"
options = { num_predict = "{{max_tokens}}" }
[custom.headers]
X-Token = "token {{key}}"
"""
OPENAI = """
[custom]
path = "/v1/chat/completions"
text = ["choices[].delta.content"]
whole_text = ["choices[].message.content"]
finish = "choices[].finish_reason"
done = "[DONE]"
error = "error"
output_tokens = "usage.completion_tokens"
[custom.body]
model = "{{ model }}"
messages = [{ role = "user", content = "Q: {{prompt}}" }]
stream = "{{stream}}"
stream_options = { include_usage = true }
"""


def measured(tmp_path, settings, script, *more):
    (tmp_path / "lens.toml").write_text(settings)
    out = tmp_path / "one.json"
    with start_thread(script) as handle:
        words = ["profile", "--provider", "custom", "--model", "m", "--base-url", handle.url, "--prompt", "hi"]
        words += ["--config", str(tmp_path / "lens.toml"), "-e", "json", "-o", str(out), "--api-key", "hush-hush"]
        result = CliRunner().invoke(lll, [*words, *more])
        log = handle.log()
    return result, json.loads(out.read_text()) if out.exists() else None, log


@pytest.mark.parametrize("settings", [OLLAMA, OPENAI])
def test_settings_are_enough_to_measure_a_stream(tmp_path, settings):
    result, record, _ = measured(tmp_path, settings, Script(tokens=7, usage="always"), "--save-text")
    assert result.exit_code == 0, result.output
    assert (record["status"], record["output_tokens"]) == ("Success", 7)
    assert record["ttft_ms"] <= record["total_latency_ms"]
    assert record["text"]
    assert "hush-hush" not in result.output + json.dumps(record)


def test_an_answer_in_one_piece(tmp_path):
    result, record, _ = measured(tmp_path, OPENAI, Script(tokens=7, usage="always"), "--no-stream", "--save-text")
    assert result.exit_code == 0, result.output
    assert record["output_tokens"] == 7
    assert record["text"]


def test_an_error_in_the_stream_is_found_by_its_path(tmp_path):
    _, record, _ = measured(tmp_path, OPENAI, Script(tokens=7, error_at=3))
    assert record["category"] == "stream_error"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[custom]\ntxt = ['a']\n", "did you mean text"),
        ("[custom]\npath = '/x'\n", "no path to the text"),
        ("[load]\niterations = 1\n", r"no \[custom\] section"),
        ("[custom]\ntext = ['a']\n[custom.body]\nq = '{{promt}}'\n", "nothing is called {{promt}}"),
        ("[custom]\ntext = ['a']\nframing = 'xml'\n", "custom"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_line(tmp_path, settings, says):
    result, _, _ = measured(tmp_path, settings, Script())
    assert isinstance(result.exception, ConfigError)
    assert re.search(says, str(result.exception))


def made(prompt=None, key=None, **settings):
    custom = Custom().with_settings(CustomConfig(text=("t",), **settings))
    return custom, custom.encode(prompt or Prompt(text="hi"), Ask(model="m", max_tokens=5), "http://x/base", key)


def test_blanks_keep_their_type_and_an_absent_one_takes_its_field_away():
    body = {"n": "{{max_tokens}}", "t": "{{temperature}}", "s": "max {{max_tokens}}", "l": ["{{seed}}", 1]}
    _, request = made(body=body, path="/ask/{{model}}")
    assert json.loads(request.body) == {"n": 5, "s": "max 5", "l": [1]}
    assert request.path == "/base/ask/m"


def test_the_key_is_a_bearer_unless_a_header_has_a_place_for_it():
    _, plain = made(key=Secret("k"))
    assert dict(plain.headers)[b"authorization"] == b"Bearer k"
    _, placed = made(key=Secret("k"), headers={"X-Key": "{{key}}"})
    assert dict(placed.headers)[b"x-key"] == b"k"
    assert b"authorization" not in dict(placed.headers)


def test_where_nothing_says_how_a_stream_ends_the_end_of_the_body_does():
    custom, request = made()
    frames = (Frame(0, "", b'{"t": "Hi"}'),)
    exchange = Exchange(stamps=Stamps(start=0), status=200, framing="sse", events=Events(), frames=frames, ended=True)
    reading = custom.decode(request, exchange)
    assert reading.text == "Hi"
    with pytest.raises(ConfigError):
        Custom().with_settings(None)
