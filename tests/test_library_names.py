"""The two names under which programs look for exporters and for the analyzer."""

import importlib
import inspect

import pytest

import lens


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


def test_a_status_and_a_timing_have_names_of_their_own():
    assert lens.RequestStatus is lens.Status
    assert lens.TokenTiming.__required_keys__ == {"token_index", "timestamp_ms", "delta_ms"}


@pytest.mark.parametrize("name", [name for name in lens.__all__ if name[0].isalpha()])
def test_every_public_name_and_what_it_has_is_documented(name):
    found = getattr(lens, name)
    if not inspect.isclass(found):
        assert not callable(found) or found.__doc__
        return
    assert found.__doc__
    for own, value in vars(found).items():
        function = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
        assert own.startswith("_") or not inspect.isfunction(function) or function.__doc__, f"{name}.{own}"
