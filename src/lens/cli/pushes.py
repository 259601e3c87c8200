"""The backends that options and the config file name, and the push of a run that has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lens.config.settings import ExportConfig
from lens.errors import ConfigError, LensError
from lens.secrets import remember_url

if TYPE_CHECKING:
    from lens.export.prometheus import Units
    from lens.model import Record, RunInfo
    from lens.pricing import PriceBook
    from lens.push.push import Push

OPTIONS = ("push_gateway", "export_prometheus", "influx", "otlp")
_KINDS = {"influxdb": "influx", "influx": "influx", "otlp": "otlp", "opentelemetry": "otlp"}


def configured_pushes(params: dict[str, Any], exports: Sequence[ExportConfig]) -> tuple[Push, ...]:
    """Return the backends that the options and the exports of the config file name.

    Raises:
        ConfigError: an endpoint stands with a format that is not pushed, an address is not a URL, or a
            library is missing.
    """
    if not any(params.get(name) for name in OPTIONS) and all(export.endpoint is None for export in exports):
        return ()
    from lens.push.push import Push, check_push

    units: Units = params.get("prometheus_units") or "ms"
    found = [Push(name.replace("_", "-"), params[name], units=units) for name in OPTIONS if params.get(name)]
    found += [
        Push(_kind(export.format, export.endpoint), export.endpoint, export.database, units)
        for export in exports
        if export.endpoint is not None
    ]
    for push in found:
        remember_url(push.url)
        check_push(push)
    return tuple(found)


def _kind(format_name: str, endpoint: str) -> str:
    """The kind of backend that an export with an endpoint means."""
    from lens.push.push import prometheus_kind

    kind = prometheus_kind(endpoint) if format_name == "prometheus" else _KINDS.get(format_name)
    if kind is None:
        raise ConfigError(f"export {format_name}: it is not pushed; endpoints are for prometheus, influxdb, otlp")
    return kind


def push_all(pushes: Iterable[Push], book: PriceBook, info: RunInfo, records: Sequence[Record]) -> list[str]:
    """Push a run to every backend; return a line for each that did not accept it."""
    from lens.push.push import push_run

    failures = []
    for push in pushes:
        try:
            push_run(push, info, records, book)
        except LensError as error:
            failures.append(str(error))
    return failures
