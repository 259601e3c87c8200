"""Read from options and the config file where a run is pushed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lens.config.settings import ExportConfig

if TYPE_CHECKING:
    from lens.export.prometheus import Units
    from lens.push.push import Push

OPTIONS = ("push_gateway", "export_prometheus", "influx", "otlp")


def configured_pushes(params: dict[str, Any], exports: Sequence[ExportConfig]) -> tuple[Push, ...]:
    """Return the backends that the options and the exports of the config file name.

    Raises:
        ConfigError: an endpoint stands with a format that is not pushed, an address is not a URL, or a
            library is missing.
    """
    if not any(params.get(name) for name in OPTIONS) and all(export.endpoint is None for export in exports):
        return ()
    from lens.push.push import Push
    from lens.run.pushes import checked_pushes, pushes_of_exports

    units: Units = params.get("prometheus_units") or "ms"
    named = [Push(name.replace("_", "-"), params[name], units=units) for name in OPTIONS if params.get(name)]
    return (*checked_pushes(named), *pushes_of_exports(exports, units))
