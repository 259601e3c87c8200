"""What of a configuration is secret is known before anything is sent, and in no header of a run."""

import msgspec
import pytest

from lens.config.secret_settings import remember_settings, remember_webhook, without_secrets
from lens.config.settings import CustomConfig, ExportConfig, MonitorConfig, OutputConfig, RunConfig, TargetConfig
from lens.orchestrator.run_info import settings_of
from lens.secrets import mask_known

SECRETS = [
    f"hidden-{name}-5c4d3e" for name in ("query", "proxy", "field", "deep", "header", "push", "hook", "body", "x")
]


def config():
    query, proxy, field, deep, header, push, hook, body, token = SECRETS
    custom = CustomConfig(headers={"X-Api-Key": token}, body={"api_key": body, "max_tokens": 5})
    target = TargetConfig(
        provider="custom",
        model="m",
        base_url=f"http://h/v1?sig={query}",
        proxy=f"http://me:{proxy}@h:1",
        headers=(("X-Auth-Thing", header), ("X-Trace", "shown-in-full")),
        extra_body={
            "api_key": field,
            "nested": [{"session_token": deep}],
            "max_tokens": 7,
            "cache_key": "shown-as-well",
        },
        custom=custom,
    )
    output = OutputConfig(exports=(ExportConfig(format="influxdb", endpoint=f"http://u:{push}@h/write?p={push}"),))
    return RunConfig(targets=(target,), output=output, monitor=MonitorConfig(webhook=f"https://h/services/{hook}"))


def test_the_header_of_a_run_holds_none_and_keeps_the_rest():
    text = msgspec.json.encode(settings_of(config())).decode()
    assert [secret for secret in SECRETS if secret in text] == []
    for innocent in ("shown-in-full", "shown-as-well", '"max_tokens":7', '"http://h/v1"', '"https://h/***"'):
        assert innocent in text


def test_all_are_masked_from_then_on():
    remember_settings(config())
    assert mask_known(" ".join(SECRETS)) == " ".join(["***"] * len(SECRETS))
    assert mask_known("shown-in-full shown-as-well") == "shown-in-full shown-as-well"


def test_the_path_of_a_webhook_is_a_secret():
    remember_webhook("https://hooks.example/services/T0/B0/w9x8y7")
    assert mask_known("POST https://hooks.example/services/T0/B0/w9x8y7") == "POST https://hooks.example/***"
    remember_webhook("http://[::1")


@pytest.mark.parametrize("value", [None, 5, 1.5, True, "text", [], {}])
def test_what_is_no_secret_stays(value):
    assert without_secrets(value) == value
