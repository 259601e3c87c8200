"""The two names under which programs look for exporters and for the analyzer."""

import importlib

import pytest


@pytest.mark.parametrize("module", ["lens.exporters", "lens.analyzer"])
def test_every_name_of_the_module_can_be_had(module):
    loaded = importlib.import_module(module)
    assert all(getattr(loaded, name) is not None for name in loaded.__all__)


def test_they_are_the_things_themselves():
    from lens.analyzer import Criteria, ModelComparator
    from lens.exporters import PrometheusExporter
    from lens.integrations import observatory, optimizer

    assert PrometheusExporter is observatory.PrometheusExporter
    assert (Criteria, ModelComparator) == (optimizer.Criteria, optimizer.ModelComparator)
