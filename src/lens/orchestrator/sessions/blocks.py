"""Prompts of which only lengths and block hashes are known: words made up at the moment of sending.

Equal hashes are equal words, so that a prefix cache finds what it would have found. Only the hashes are kept: the
whole prompts of a long trace would not fit into memory.
"""

from __future__ import annotations

import random
from functools import cache, lru_cache
from itertools import cycle, islice

import msgspec

from lens.orchestrator.synthetic import MOST_WORDS, WORDS

# Tokens of a block where a file does not say: https://github.com/kvcache-ai/Mooncake (FAST25 traces).
BLOCK_WORDS = 512
# Blocks of so many words are remembered: the same come in every turn of a trace.
_CACHED_WORDS = 1024
_LONGEST = max(map(len, WORDS)) + 1  # with the blank behind it
# Words of which each block takes a stretch, from a place of its own on.
_POOL_WORDS = 1 << 13


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """A text by its blocks: the words of block `ids[i]` stand in every text that has it."""

    ids: tuple[int, ...]
    words: int  # of the whole text
    size: int = BLOCK_WORDS  # words of a block; the last may be shorter
    scope: str = ""  # ids mean the same only within a scope


def block_text(blocks: Blocks) -> str:
    """Return the text, as many words as are asked for."""
    ids = blocks.ids or (0,)
    words = min(blocks.words, MOST_WORDS)
    size = max(min(blocks.size, MOST_WORDS), -(-words // len(ids)))
    whole, rest = divmod(words, size)
    found = [_words(blocks.scope, block, size) for block in ids[:whole]]
    if rest:
        found.append(_words(blocks.scope, ids[min(whole, len(ids) - 1)], rest))
    return " ".join(found)


def most_bytes(blocks: Blocks) -> int:
    """Return how long the text is at most, in bytes, without making it."""
    named = max(len(blocks.ids), 1) * (len(blocks.scope.encode()) + 24)
    return blocks.words * _LONGEST + named


def _words(scope: str, block: int, count: int) -> str:
    """Return the first words of a block; the first of all names it, so that no two blocks begin alike."""
    return _few_words(scope, block, count) if count <= _CACHED_WORDS else _make_words(scope, block, count)


@lru_cache(maxsize=1 << 14)
def _few_words(scope: str, block: int, count: int) -> str:
    return _make_words(scope, block, count)


def _make_words(scope: str, block: int, count: int) -> str:
    pool = _pool()
    at = random.Random(f"{scope} {block}").randrange(len(pool))
    round_and_round = islice(cycle(pool), at, at + count - 1)
    return " ".join([f"{scope}b{block}".replace(" ", ""), *round_and_round])


@cache
def _pool() -> list[str]:
    return random.Random("blocks").choices(WORDS, k=_POOL_WORDS)
