"""Read from options and the config file where a run is pushed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from lens.cli.errors import remember_secret
from lens.config.settings import ExportConfig

if TYPE_CHECKING:
    from lens.export.prometheus import Units
    from lens.export.push import Push

OPTIONS = ("push_gateway", "export_prometheus", "influx", "otlp")


def pushes_of(params: dict[str, Any], exports: Sequence[ExportConfig]) -> tuple[Push, ...]:
    """Return the backends that options and exports name.

    Raises:
        ConfigError: a format cannot be pushed, an address is no URL, or a library is missing.
    """
    if not any(params.get(name) for name in OPTIONS) and all(export.endpoint is None for export in exports):
        return ()
    from lens.export.push import Push, check
    from lens.run.pushes import pushes_of_exports

    for export in exports:
        _remember(export.endpoint or "")
    units: Units = params.get("prometheus_units") or "ms"
    found = [Push(name.replace("_", "-"), params[name], units=units) for name in OPTIONS if params.get(name)]
    for push in found:
        _remember(push.url)
        check(push)
    return (*found, *pushes_of_exports(exports, units))


def _remember(url: str) -> None:
    """What may be a secret in a URL is shown nowhere, not even in the command that is recorded."""
    _, _, query = url.partition("?")
    for name, value in parse_qsl(query):
        if name in ("p", "token"):
            remember_secret(value)
    login, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    if at:
        remember_secret(login.partition(":")[2])
