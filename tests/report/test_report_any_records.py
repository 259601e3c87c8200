"""Whatever was measured, every page can be made of it, and numpy has nothing to complain of."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

from handmade import INFO
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "export"))
from made_records import records as made_records

from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.pricing import standard_book
from lens.report.html.document import page_json, report_page
from lens.report.html.series import Source
from lens.report.page import TextPage
from lens.report.request import print_profile
from lens.report.run import print_report
from lens.report.terminal import console_for

BOOK = standard_book()


@settings(max_examples=30)
@given(st.lists(made_records(), max_size=5))
def test_any_records_have_their_pages(records):
    table = table_of(records, INFO, BOOK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        print_report(console_for(io.StringIO(), 80), summarize(table, INFO), INFO, (), table=table)
        found = page_json(report_page([Source("a", table, INFO)]))
        for record in records:
            one = table_of([record], INFO, BOOK)
            print_profile(TextPage(io.StringIO(), 80), one, record, INFO, summarize(one, INFO))
    assert sum(series["tiles"]["requests"] for series in found["series"]) == len(records)
