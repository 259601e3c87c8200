"""The walk over an answer that every protocol shares, by a small protocol of the test's own."""

import pytest
from made import exchange, streamed, whole

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers.answers import AnswerReader, ToolCalls, make_usage
from lens.providers.values import increments
from lens.wire import SignalRule, SignalRules

RULES = SignalRules(rules=(SignalRule("say", Signal.TEXT),), done=b"[END]")


class SayReader(AnswerReader):
    """Of events {"say": text, "choice": n, "count": n, "why": reason}."""

    done_marker = RULES.done

    def take_event(self, event, name):
        self.add_text(event.get("say", ""), event.get("choice", 0))
        self.finish_reason = event.get("why") or self.finish_reason
        self.usage_raw = {"count": event["count"]} if "count" in event else self.usage_raw

    def is_answer(self, document):
        return "say" in document

    def missing_part(self, document):
        return None if document["say"] else "word"

    def usage(self):
        return make_usage(None, self.usage_raw.get("count"), total=None)

    def running_tokens(self, event):
        return event.get("count")

    def blocked(self):
        return Failure(message="hush") if self.finish_reason == "blocked" else None


def read(*events, **more):
    return SayReader(streamed(RULES, *events, **more)).read()


@pytest.mark.parametrize(
    ("events", "more", "category"),
    [
        ([{"say": "a"}, b"[END]"], {}, "success"),
        ([{"say": "a"}, b"[END]"], {"ended": False, "category": "truncated"}, "success"),
        ([{"say": "a", "why": "stop"}], {}, "success"),
        ([{"say": "a"}], {}, "truncated"),
        ([{"say": "a"}], {"ended": False, "category": "timeout"}, "timeout"),
        ([b"[END]"], {}, "empty"),
        ([{"say": "a"}, b"[1]", b"[END]"], {}, "protocol_error"),
        ([{"say": "a"}, b"{oops", b"[END]"], {}, "protocol_error"),
        ([{"say": "a"}, {"error": {"message": "broke"}}, b"[END]"], {}, "stream_error"),
        ([{"say": "a"}, {"error": 7}, b"[END]"], {}, "stream_error"),
        ([{"say": "a", "why": "blocked"}, b"[END]"], {}, "content_filtered"),
        ([b"  ", {"say": "a"}, b"", b"[END]"], {}, "success"),
        ([{"say": "a"}], {"status": 503}, "server_error"),
        ([], {"status": None}, "network_error"),
    ],
)
def test_a_stream_has_the_outcome_of_what_it_held(events, more, category):
    assert read(*events, **more).category == category


def test_what_comes_after_the_end_marker_is_not_read():
    assert read({"say": "a"}, b"[END]", {"say": "b"}).text == "a"


def test_a_reading_ends_when_whoever_waits_for_it_has_no_patience_left():
    assert read({"say": "a"}, {"say": "b"}, {"say": "c"}, goes_on=iter([True, True, False]).__next__).text == "ab"


def test_the_first_failure_of_a_stream_counts_and_what_came_before_is_kept():
    found = read({"say": "a"}, {"error": "first"}, {"error": "second"})
    assert (found.failure.message, found.failure.where, found.text) == ("first", "stream", "a")


@pytest.mark.parametrize(
    ("document", "more", "category", "says"),
    [
        ({"say": "a", "why": "stop"}, {}, "success", None),
        ({"say": ""}, {}, "empty", "the answer holds no word"),
        ({"other": 1}, {}, "protocol_error", "is the base URL that of an API?"),
        ([{"say": "a"}], {}, "protocol_error", "is the base URL"),
        (b"<html>", {}, "protocol_error", "is the base URL"),
        ({"error": "broke"}, {}, "stream_error", "broke"),
        ({"say": "a", "why": "blocked"}, {}, "content_filtered", "hush"),
        ({"say": "a"}, {"ended": False}, "truncated", None),
        ({"say": "a"}, {"ended": False, "category": "timeout"}, "timeout", None),
    ],
)
def test_a_document_has_the_outcome_of_what_it_holds(document, more, category, says):
    found = SayReader(whole(document, **more)).read()
    assert found.category == category
    assert says is None or says in found.failure.message


def test_a_failure_in_a_document_is_of_its_body():
    assert SayReader(whole({"error": "broke"})).read().failure.where == "body"


def test_tokens_of_each_event_need_a_running_total_in_every_content_event():
    assert read({"say": "a", "count": 2}, {"say": "b", "count": 5}, {"count": 9}).tokens_per_event == (2, 3)
    assert read({"say": "a"}, {"say": "b", "count": 5}).tokens_per_event is None
    assert read({"say": "a", "count": 5}, {"say": "b", "count": 2}).tokens_per_event is None
    assert increments([]) == ()


def test_text_is_kept_by_choice_where_there_are_several():
    assert read({"say": "a"}, b"[END]").choices is None
    found = read({"say": "b", "choice": 1}, {"say": "a"}, {"say": "c", "choice": 1}, b"[END]")
    assert (found.text, found.choices) == ("a", ("a", "bc"))


def test_counts_that_nobody_reported_are_none():
    assert read({"say": "a"}, b"[END]").usage is None
    found = read({"say": "a", "count": 1}, b"[END]")
    assert (found.usage, found.token_source) == (Usage(output_tokens=1), "usage")


def test_tool_calls_grow_at_their_places_and_keep_their_first_id():
    calls = ToolCalls()
    calls.extend(2, name="b", arguments="{", id_="x")
    calls.extend(0, name="a")
    calls.extend(2, arguments="}", id_="y")
    assert calls.in_order() == (
        ToolCall(name="a", valid=True),
        ToolCall(name="b", arguments="{}", id="x", valid=True),
    )
    calls.put(0, ToolCall(name="c"))
    assert (calls.get(0).name, calls.get(7).name, len(calls)) == ("c", "", 2)


def test_a_protocol_says_what_its_events_mean():
    with pytest.raises(NotImplementedError):
        AnswerReader(streamed(RULES, {})).read()
    with pytest.raises(NotImplementedError):
        AnswerReader(exchange(framing="document", document=b"{}")).read()
