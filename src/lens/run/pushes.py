"""The backends that exports of a configuration name, and the push of a run that has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lens.config.settings import ExportConfig
from lens.errors import ConfigError, LensError
from lens.model import RunInfo
from lens.pricing import PriceBook
from lens.secrets import remember_url

if TYPE_CHECKING:
    from lens.export.prometheus import Units
    from lens.metrics.table import Table
    from lens.push.push import Push

_KINDS = {"influxdb": "influx", "influx": "influx", "otlp": "otlp", "opentelemetry": "otlp"}


def pushes_of_exports(exports: Iterable[ExportConfig], units: Units = "ms") -> tuple[Push, ...]:
    """Return the backends that exports with an endpoint name.

    Raises:
        ConfigError: a format cannot be pushed, an endpoint is not a URL, or a library is missing.
    """
    wanted = [(export, export.endpoint) for export in exports if export.endpoint is not None]
    if not wanted:
        return ()
    from lens.push.push import Push

    return checked_pushes(
        [Push(_kind(export.format, endpoint), endpoint, export.database, units) for export, endpoint in wanted]
    )


def checked_pushes(pushes: Iterable[Push]) -> tuple[Push, ...]:
    """Return the pushes; what may be a secret in their URLs is masked from now on.

    Raises:
        ConfigError: an address is not a URL, or a library is missing.
    """
    from lens.push.push import check_push

    found = tuple(pushes)
    for push in found:
        remember_url(push.url)
        check_push(push)
    return found


def _kind(format_name: str, endpoint: str) -> str:
    """Return the kind of backend that an export with an endpoint means."""
    from lens.push.push import prometheus_kind

    kind = prometheus_kind(endpoint) if format_name == "prometheus" else _KINDS.get(format_name)
    if kind is None:
        raise ConfigError(f"export {format_name}: it is not pushed; endpoints are for prometheus, influxdb, otlp")
    return kind


def push_all(pushes: Iterable[Push], info: RunInfo, table: Table, book: PriceBook) -> list[str]:
    """Push a run to every backend; return a line for each that did not accept it."""
    failures = []
    for push in pushes:
        from lens.push.push import push_run

        try:
            push_run(push, info, table, book)
        except LensError as error:
            failures.append(str(error))
    return failures
