"""Where a run is pushed to, by options and by the config file, and doing so when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from lens.cli.errors import remember_secret
from lens.config.settings import ExportConfig
from lens.errors import ConfigError, LensError

if TYPE_CHECKING:
    from lens.cli.settings import Settings
    from lens.export.prometheus import Units
    from lens.export.push import Push
    from lens.model import Record, RunInfo

OPTIONS = ("push_gateway", "export_prometheus", "influx", "otlp")
# A Pushgateway listens here by convention; other Prometheus addresses take remote writes.
GATEWAY_PORT = 9091
_KINDS = {"influxdb": "influx", "influx": "influx", "otlp": "otlp", "opentelemetry": "otlp"}


def pushes_of(params: dict[str, Any], exports: Sequence[ExportConfig]) -> tuple[Push, ...]:
    """All that was asked for.

    Raises:
        ConfigError: the file names an endpoint for a format that is not pushed, an address is none, or
            a library is missing.
    """
    if not any(params.get(name) for name in OPTIONS) and all(export.endpoint is None for export in exports):
        return ()
    from lens.export.push import Push, check

    units: Units = params.get("prometheus_units") or "ms"
    found = [Push(name.replace("_", "-"), params[name], units=units) for name in OPTIONS if params.get(name)]
    for export in exports:
        if export.endpoint is None:
            continue
        kind = _KINDS.get(export.format)
        if export.format == "prometheus":
            kind = "push-gateway" if f":{GATEWAY_PORT}" in export.endpoint else "export-prometheus"
        if kind is None:
            raise ConfigError(f"export {export.format}: it is not pushed; endpoints are for prometheus, influxdb, otlp")
        found.append(Push(kind, export.endpoint, export.database, units))
    for push in found:
        _remember(push.url)
        check(push)
    return tuple(found)


def _remember(url: str) -> None:
    """What may be a secret in a URL is shown nowhere, not even in the command that is recorded."""
    _, _, query = url.partition("?")
    for name, value in parse_qsl(query):
        if name in ("p", "token"):
            remember_secret(value)
    login, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    if at:
        remember_secret(login.partition(":")[2])


def push_all(settings: Settings, info: RunInfo, records: Sequence[Record]) -> list[str]:
    """Push to every backend; what went wrong, a line each. None of it undoes what was written."""
    from lens.export.push import push_run

    troubles = []
    for push in settings.pushes:
        try:
            push_run(push, info, records, settings.book)
        except LensError as error:
            troubles.append(str(error))
    return troubles
