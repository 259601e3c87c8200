"""The outputs that `lll compare` writes itself: the comparison as JSON, CSV and JUnit XML.

They are opened before anything is sent or read, so that one that cannot be written costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from lens.config.settings import ExportConfig, OutputConfig, RunConfig, TargetConfig
from lens.errors import ConfigError
from lens.export.formats import Format, format_named
from lens.history.write import is_stdout
from lens.run.outputs import Destination, OpenPlaces, destinations

if TYPE_CHECKING:
    from lens.analysis.sides import Compared
    from lens.cli.settings import Settings
    from lens.metrics.table import Table
    from lens.model import RunInfo

_WHERE = "lens.export.comparison"
FORMATS = {
    "json": Format(name="json", suffix=".json", where=_WHERE, says="the comparison, and the requests of a run"),
    "csv": Format(name="csv", suffix=".csv", where=_WHERE, says="the comparison, a row a figure"),
    "junit": Format(name="junit", suffix=".xml", where=_WHERE, says="thresholds and shifts as test cases"),
}
OWN_FORMATS = frozenset(FORMATS)


def without_own(settings: Settings) -> tuple[Settings, list[Destination]]:
    """Return the settings of the run, whose driver writes the other formats; and where the comparison goes.

    Raises:
        ConfigError: two outputs want one place. FileError: the output folder cannot be made.
    """
    config, exports = settings.config, settings.config.output.exports
    places = iter(destinations(config, settings.output, own=FORMATS))
    rest: list[ExportConfig] = []
    own: list[Destination] = []
    for export in exports:
        place = None if export.endpoint is not None else next(places)
        if place is not None and export.format in OWN_FORMATS:
            own.append(place)
        else:
            rest.append(export if place is None or place.path is None else replace(export, file=str(place.path)))
    if not own:
        return settings, own
    output = replace(config.output, exports=tuple(rest))
    to_stdout = settings.output if is_stdout(settings.output) and rest else None
    return settings._replace(config=replace(config, output=output), output=to_stdout), own


def places_of_flags(params: dict[str, Any]) -> list[Destination]:
    """Return where the comparison of run files goes, by --export, --output and --output-dir.

    Raises:
        ConfigError: a format needs the requests of one run, or two outputs want one place.
    """
    output, folder = params["output"], params["output_dir"]
    names = [name.strip().lower() for name in (params["export"] or "").split(",") if name.strip()]
    if not names and (output or folder):
        suffix = Path(output or "").suffix.lower()
        names = [next((one.name for one in FORMATS.values() if one.suffix == suffix), "json")]
    for name in names:
        if name not in FORMATS:
            raise ConfigError(
                f"--export {name}: it holds the requests of one run ({format_named(name).name}); "
                f"a comparison of run files is written as {', '.join(FORMATS)}"
            )
    exports = tuple([ExportConfig(format=name) for name in names])
    config = RunConfig(targets=(TargetConfig(provider="compare"),), output=OutputConfig(exports=exports, dir=folder))
    return destinations(config, output, own=FORMATS)


class ComparisonFiles(OpenPlaces):
    """The open outputs of a comparison; a context manager. An exception keeps what was written, as .partial."""

    def write(self, found: Compared, *, table: Table | None = None, info: RunInfo | None = None) -> str | None:
        """Write the comparison in every format. table, info: of a run that was measured for it.

        Returns why some are not complete, in words; None where all are.
        """
        from lens.export.comparison import csv_table, json_document

        def pieces_of(number: int) -> Iterable[bytes]:
            name = self.formats[number].name
            if name == "json":
                return json_document(found, table=table, info=info)
            return iter([csv_table(found) if name == "csv" else _junit(found)])

        return self.write_each(pieces_of)


def _junit(found: Compared) -> bytes:
    from lens.export.comparison import comparison_checks
    from lens.report.ci import junit

    name = found.sides[0].file or found.sides[0].name if found.sides else "comparison"
    return junit(comparison_checks(found), name, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", by="lll compare")
