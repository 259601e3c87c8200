"""Keys of every form, sent back by a server in every way, are in no artefact of any command."""

import os

import pytest
from cli_program import lll
from echoed_keys import FIELD, KEYS, OTHERS, PROMPTS, PROXY, QUERY, Echo, leaks, words
from served import served

from lens.export.formats import FORMATS


@pytest.fixture(scope="module")
def url():
    with served(Echo) as url:
        yield url


@pytest.mark.parametrize("form", KEYS)
@pytest.mark.parametrize("how", ["argument", "environment", "file"])
def test_no_format_of_a_benchmark_holds_a_key(url, form, how, tmp_path):
    if how != "argument" and form != "quotes":
        pytest.skip("where a key is from and what it looks like are two things")
    key, out = KEYS[form], tmp_path / "out"
    out.mkdir()
    (tmp_path / "key").write_text(key)
    given = {"argument": ("--api-key", key), "file": ("--api-key-file", tmp_path / "key")}.get(how, ())
    env = {"OPENAI_API_KEY": key} if how == "environment" else {}
    formats = ",".join(name for name in FORMATS if name != "prometheus-seconds")
    more = ("-n", "4", "--retries", "0", "--save-text", "--export", formats, "--output-dir", out)
    ended = lll("benchmark", *words(url), *given, *PROMPTS, *more, env=env, cwd=out)
    assert ended.returncode in (0, 1), ended.stderr
    assert len(list(out.iterdir())) == len(FORMATS) - 1
    assert leaks(out, (key, *OTHERS), ended.stdout, ended.stderr) == []


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "--prompt", "echo"),
        ("profile", "--prompt", "refuse", "--export", "json"),
        ("benchmark", *PROMPTS, "--dry-run"),
        ("benchmark", *PROMPTS, "-n", "4", "--real-time"),
        ("compare", "--target", "a=openai:m", "--target", "b=openai:n", *PROMPTS, "-n", "4", "-o", "compared.json"),
        ("optimize", "-n", "3", "--prompt", "echo"),
        ("doctor", "-n", "1"),
        ("monitor", "--once", "--listen", "", *PROMPTS, "--history", "h", "--webhook", "{url}/hook/hookhidden15a6b7"),
    ],
    ids=lambda command: " ".join(command[:3:2]),
)
def test_no_command_shows_or_keeps_a_key(url, command, tmp_path):
    given = [word.format(url=url) for word in command]
    target = words(url) if command[0] != "compare" else words(url)[4:]
    given += [] if command[0] == "doctor" else ["--retries", "0"]
    proxies = ("--push-gateway", f"http://me:{PROXY}@127.0.0.1:9") if command[0] in ("benchmark", "monitor") else ()
    ended = lll(*given, *target, "--api-key", KEYS["quotes"], *proxies, cwd=tmp_path)
    assert ended.returncode != 2 or "push to" in ended.stderr or "optimize" in command, ended.stderr
    keys = (KEYS["quotes"], "hookhidden15a6b7", *OTHERS)
    assert leaks(tmp_path, keys, ended.stdout, ended.stderr) == []


def test_googles_answers_hold_none(url, tmp_path):
    key = KEYS["quotes"]
    more = ("--prompt", "echo", "-n", "1", "--save-text", "--export", "json,csv,html,parquet", "--output-dir", ".")
    ended = lll("benchmark", *words(f"{url}/google", "google"), "--api-key", key, *more, cwd=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4, ended.stderr
    assert leaks(tmp_path, (key, *OTHERS), ended.stdout, ended.stderr) == []


def test_keys_of_a_config_file_are_not_shown_by_its_check(tmp_path, url):
    key = KEYS["plain"]
    (tmp_path / "lens.toml").write_text(
        f'[providers.openai]\nmodel = "m"\napi_key = "{key}"\nbase_url = "{url}/v1?sig={QUERY}"\n'
        f'proxy = "http://me:{PROXY}@127.0.0.1:9"\nextra_body = {{ api_key = "{FIELD}" }}\n'
        f'[monitoring]\nwebhook = "{url}/hook/hookhidden15a6b7"\n'
    )
    config = tmp_path / "lens.toml"
    shown = lll("config", "check", config)
    assert shown.returncode == 0, shown.stderr
    asjson = lll("config", "check", config, "--json")
    os.remove(config)
    keys = (key, "hookhidden15a6b7", FIELD, QUERY, PROXY)
    assert leaks(tmp_path, keys, shown.stdout, shown.stderr, asjson.stdout, asjson.stderr) == []


def test_no_command_that_reads_a_run_shows_a_key(url, tmp_path):
    """Of a file that was written with a key known; the commands that read it know none."""
    key = KEYS["quotes"]
    run, other = tmp_path / "run.jsonl", tmp_path / "other.jsonl"
    for file in (run, other):
        ended = lll("benchmark", *words(url), "--api-key", key, *PROMPTS, "-n", "4", "--save-text", "-o", file)
        assert file.exists(), ended.stderr
    (tmp_path / "run.jsonl.journal.msgpack").write_bytes(run.read_bytes())
    trace = {"LLL_LOG_LEVEL": "trace"}
    told = [
        lll(*command, cwd=tmp_path, env=trace)
        for command in (
            ("report", run, other, "-o", "page.html"),
            ("analyze", run, "--by", "status,model", "--anomalies", "9"),
            ("analyze", run, "--format", "json", "--threshold", "ttft_p95<1", "--junit", "gates.xml"),
            ("compare", run, other, "-e", "json", "-o", "compared.json"),
            ("explain", "total_latency_ms", run),
            ("testbench", "report", run, "-o", "bench.json"),
            ("recover", "run.jsonl.journal.msgpack", "-o", "recovered.html"),
            ("merge", run, other, "-o", "merged.msgpack", "--trust-clocks"),
        )
    ]
    assert [one.stderr for one in told if one.returncode not in (0, 1, 3)] == []
    texts = [text for one in told for text in (one.stdout, one.stderr)]
    assert leaks(tmp_path, (key, *OTHERS), *texts) == []
