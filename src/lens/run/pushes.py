"""Push the records of a finished run to backends of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lens.config.settings import ExportConfig
from lens.errors import ConfigError, LensError
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

if TYPE_CHECKING:
    from lens.export.prometheus import Units
    from lens.export.push import Push

# A Pushgateway listens here by convention; other Prometheus addresses take remote writes.
GATEWAY_PORT = 9091
_KINDS = {"influxdb": "influx", "influx": "influx", "otlp": "otlp", "opentelemetry": "otlp"}


def pushes_of_exports(exports: Iterable[ExportConfig], units: Units = "ms") -> tuple[Push, ...]:
    """Return the backends that exports with an endpoint name.

    Raises:
        ConfigError: a format cannot be pushed, an endpoint is no URL, or a library is missing.
    """
    wanted = [(export, export.endpoint) for export in exports if export.endpoint is not None]
    if not wanted:
        return ()
    from lens.export.push import Push, check

    found = [Push(_kind(export.format, endpoint), endpoint, export.database, units) for export, endpoint in wanted]
    for push in found:
        check(push)
    return tuple(found)


def _kind(name: str, endpoint: str) -> str:
    if name == "prometheus":
        return "push-gateway" if f":{GATEWAY_PORT}" in endpoint else "export-prometheus"
    if name not in _KINDS:
        raise ConfigError(f"export {name}: it is not pushed; endpoints are for prometheus, influxdb, otlp")
    return _KINDS[name]


def push_all(pushes: Iterable[Push], info: RunInfo, records: Sequence[Record], book: PriceBook) -> list[str]:
    """Push to every backend; return what went wrong, a line each. None of it undoes what was written."""
    troubles = []
    for push in pushes:
        from lens.export.push import push_run

        try:
            push_run(push, info, records, book)
        except LensError as error:
            troubles.append(str(error))
    return troubles
