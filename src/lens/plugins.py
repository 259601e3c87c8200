"""What others add: entry points, looked up and loaded only when they are asked for.

A plugin that cannot be loaded is named in the error, with what it raised; it never takes the
program down with it while nobody asked for it.
"""

from __future__ import annotations

from typing import Any

from lens.errors import ConfigError


def names(group: str) -> list[str]:
    """Names of the plugins of a group ("lens.providers", "lens.exporters")."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Any:
    """Return what the plugin of this name provides.

    Raises:
        ConfigError: there is none of this name, or importing it failed.
    """
    from importlib.metadata import entry_points

    points = list(entry_points(group=group, name=name))
    if not points:
        raise ConfigError(f"no plugin {name!r} in {group}; installed are {', '.join(names(group)) or 'none'}")
    try:
        return points[0].load()
    except Exception as error:  # a plugin may raise anything while it is imported
        raise ConfigError(f"plugin {name!r} ({points[0].value}) failed to load: {error!r}") from error
