"""All that `analyze` says of some runs, as data: what pages and documents are written from."""

from __future__ import annotations

from typing import Any

import msgspec

from lens.analysis.checks import Check
from lens.analysis.regression import Regression
from lens.analysis.sheets import Group, Sheet
from lens.metrics.summary import Summary


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    files: tuple[str, ...]
    requests: int  # that were meant, of all files
    where: str | None
    by: tuple[str, ...]
    sheet: Sheet
    total: Summary | None = None  # of all together; None: the sheet is the answer to a query
    groups: tuple[Group, ...] = ()
    checks: tuple[Check, ...] = ()
    regression: Regression | None = None
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return any(check.state == "failed" for check in self.checks)


def document(found: Findings) -> bytes:
    """One JSON document, indented, with money as exact numbers."""
    if found.total is None:
        return _json({"columns": found.sheet.columns, "rows": found.sheet.rows})
    groups = [{"key": dict(zip(found.by, one.key, strict=True)), "summary": one.summary} for one in found.groups]
    return _json(
        {
            "files": found.files,
            "requests": found.requests,
            "where": found.where,
            "by": found.by,
            "groups": groups,
            "total": found.total,
            "checks": found.checks,
            "failed": found.failed,
            "regression": found.regression,
            "warnings": found.warnings,
        }
    )


def _json(tree: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode(tree)) + b"\n"
