"""Exporters: where a program pushes what it measures, and the formats of files.

from lens.exporters import PrometheusExporter
"""

from __future__ import annotations

from lens.export.formats import FORMATS, Export, Format, RecordExport, format_named, open_export
from lens.integrations.observatory import Exporter, InfluxExporter, OtlpExporter, PrometheusExporter

__all__ = [
    "FORMATS",
    "Export",
    "Exporter",
    "Format",
    "InfluxExporter",
    "OtlpExporter",
    "PrometheusExporter",
    "RecordExport",
    "format_named",
    "open_export",
]
