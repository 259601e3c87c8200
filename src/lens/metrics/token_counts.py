"""How many tokens each content event brought, and who says so.

A server or a tokenizer told for each event; or the server's total is the number of events; or its total is
spread over the events by their characters; or nobody told, and each is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lens.arrays.dispatch import arange_like, np
from lens.metrics.columns import Column

# Who said how many tokens an event brought, from best to worst.
COUNTED = "counted"  # the server or a tokenizer told for each event
ONE_PER_EVENT = "one_per_event"  # the server's total is the number of events, give or take the end token
SPREAD = "spread"  # the server's total, spread over the events by their characters
ASSUMED = "assumed_one_per_event"  # nobody told; one each
BEYOND = "assumed_beyond_what_came"  # the server claims more than came; one each
EVIDENCE = (COUNTED, ONE_PER_EVENT, SPREAD, ASSUMED, BEYOND)  # by their number in a table; -1: no events

# No tokenizer makes more tokens than bytes, and a character has four at most (UTF-8). The rest is for what is
# counted and does not come: an end, and what a protocol wraps around tool calls.
TOKENS_PER_CHAR = 4
TOKENS_UNSEEN = 1024


class TokenCounts(NamedTuple):
    """Tokens as they came over the wire."""

    tokens: Column  # int64, of each content event
    streamed: Column  # float64, of each request: all that came; NaN where nobody told, or more is claimed than can have
    evidence: Column  # of each request: place in EVIDENCE, -1 without content events


def tokens_of_events(
    *,
    chars: Column,
    of: Column,
    n: Column,
    output_tokens: Column,
    reasoning_tokens: Column,
    thought_aloud: Column,
    told: Mapping[int, Column],
) -> TokenCounts:
    """Return the tokens of content events.

    chars, of: of each content event its characters and its request; n: how many each request has; told: tokens
    of each event, of the requests where the server or a tokenizer told them. A claim allocates nothing.
    """
    claimed = _claimed(output_tokens, reasoning_tokens, thought_aloud)
    # More tokens than this are not in so many characters, whoever says so.
    most = TOKENS_PER_CHAR * np.bincount(of, weights=chars, minlength=len(n)) + TOKENS_UNSEEN
    first = np.cumsum(n) - n
    tokens = np.ones_like(of, dtype=np.int64)
    some = n > 0
    known = some & (claimed > 0)
    beyond = known & (claimed > most)
    # Many servers count the end token, which brings no text; some send it as an event of its own.
    spread = known & ~beyond & (np.abs(np.where(known, claimed, 0) - n) > 1)
    evidence = np.where(some, np.where(known, np.where(beyond, 4, np.where(spread, 2, 1)), 3), -1)
    for row, each in told.items():
        if len(each) == n[row] > 0 and 0 < each.sum() <= most[row]:
            tokens[first[row] : first[row] + n[row]] = each
            evidence[row], spread[row] = 0, False
    if spread.any():
        rows = spread[of]
        tokens[rows] = _spread(chars[rows], np.where(known, claimed, 0)[spread].astype(np.int64), n[spread])
    return TokenCounts(tokens, np.where(some & (claimed > most), np.nan, claimed), evidence)


def _claimed(total: Column, thought: Column, thought_aloud: Column) -> Column:
    """Return output tokens that are said to have come: thinking that stayed at the server is left out."""
    hidden = (thought > 0) & ~thought_aloud
    found: Column = np.where(hidden, np.maximum(total - np.where(hidden, thought, 0), 0), total)
    return found


def _spread(chars: Column, total: Column, n: Column) -> Column:
    """Return tokens of each request over its events by their characters; one each first, where there are enough."""
    of, first = np.repeat(arange_like(n), n), np.cumsum(n) - n
    upto = np.cumsum(chars)
    upto -= (upto[first] - chars[first])[of]
    sums = upto[first + n - 1]
    each = (total >= n).astype(np.int64)
    shares = np.rint(upto * ((total - each * n) / sums)[of]).astype(np.int64)
    found = np.diff(shares, prepend=0)
    found[first] = shares[first]
    tokens: Column = found + each[of]
    return tokens
