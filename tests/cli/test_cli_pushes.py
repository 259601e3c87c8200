"""Pushes by option and by config file: which backend an address means, and that a slip costs no measurement."""

from __future__ import annotations

import pytest
from cli_program import lll, scripted

from lens.cli.pushes import configured_pushes
from lens.config.settings import ExportConfig
from lens.errors import ConfigError
from lens.push.push import Push
from lens.secrets import mask_secrets


@pytest.mark.parametrize(
    ("export", "push"),
    [
        (("prometheus", "http://observatory:9091", None), Push("push-gateway", "http://observatory:9091")),
        (("prometheus", "http://prometheus:9090", None), Push("export-prometheus", "http://prometheus:9090")),
        (("influxdb", "http://influxdb:8086", "llm"), Push("influx", "http://influxdb:8086", "llm")),
        (("otlp", "http://collector:4318", None), Push("otlp", "http://collector:4318")),
    ],
)
def test_an_endpoint_in_the_config_file_is_pushed_to(export, push):
    name, endpoint, database = export
    assert configured_pushes({}, [ExportConfig(format=name, endpoint=endpoint, database=database)]) == (push,)


def test_conventional_names_are_written_wherever_the_format_was_named(tmp_path):
    path = tmp_path / "run.prom"
    file = tmp_path / "lens.toml"
    file.write_text(f'[export]\nformat = "prometheus"\nfile = "{path}"\n')
    done = scripted("profile", "-p", "hi", "--config", file, "--prometheus-units", "seconds")
    assert done.returncode == 0, done.stderr
    assert "llm_latency_lens_ttft_seconds_count" in path.read_text()


def test_a_format_that_no_backend_takes_is_refused():
    with pytest.raises(ConfigError, match="export csv: it is not pushed"):
        configured_pushes({}, [ExportConfig(format="csv", endpoint="http://h:1")])


def test_several_backends_at_once_in_the_units_that_were_asked_for():
    params = {"push_gateway": "http://g:1", "otlp": "http://o:2", "prometheus_units": "seconds"}
    assert [(p.kind, p.units) for p in configured_pushes(params, [])] == [
        ("push-gateway", "seconds"),
        ("otlp", "seconds"),
    ]


def test_a_password_in_an_address_is_remembered_as_a_secret():
    configured_pushes({"influx": "http://me:sehr-geheim@h:1?db=x&p=auch-geheim"}, [])
    assert "geheim" not in mask_secrets("http://me:sehr-geheim@h:1?p=auch-geheim sehr-geheim auch-geheim")


def test_an_address_that_cannot_be_costs_no_measurement(tmp_path):
    done = lll(
        "benchmark", "--provider", "simulator", "-n", 1, "-o", tmp_path / "run.json", "--influx", "influxdb:8086"
    )
    assert done.returncode == 2
    assert done.stderr == "lll: --influx: influxdb:8086 is not an address; write http://host:port\n"
    assert list(tmp_path.iterdir()) == []


def test_a_push_that_fails_leaves_the_files_and_says_so_with_exit_code_2(tmp_path):
    path = tmp_path / "run.jsonl"
    done = scripted("profile", "-p", "hi", "-o", path, "--push-gateway", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "push to http://127.0.0.1:9/metrics/job/llm_latency_lens" in done.stderr
    assert path.stat().st_size > 0
