"""The typed attributes of a request are those that its definitions give it, and of the types that the figures have."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args, get_type_hints

import pytest
from handmade import full_record

from lens.metrics.definitions import request_metrics
from lens.metrics.rows import file_name
from lens.results.request_figures import RequestFigures
from lens.results.request_metrics import RequestMetrics

KINDS = get_type_hints(RequestFigures)
METRICS = RequestMetrics(full_record())


def test_every_name_of_every_metric_is_an_attribute_and_no_other():
    names = {name for metric in request_metrics() for name in (file_name(metric), metric.name, *metric.aliases)}
    assert set(KINDS) == names


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_figure_has_the_type_that_its_attribute_says(name):
    value = getattr(METRICS, name)
    kinds = get_args(KINDS[name])
    assert isinstance(value, kinds)
    assert not (isinstance(value, int) and kinds[0] is Decimal)
