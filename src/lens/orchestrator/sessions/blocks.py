"""Prompts of which only lengths and block hashes are known: words made up at the moment of sending.

Equal hashes are equal words, so that a prefix cache finds what it would have found. Only the hashes are kept: the
whole prompts of a long trace would not fit into memory.
"""

from __future__ import annotations

import random
from functools import cache, lru_cache

import msgspec

from lens.orchestrator.synthetic import MOST_WORDS, WORDS

# Tokens of a block where a file does not say: https://github.com/kvcache-ai/Mooncake (FAST25 traces).
BLOCK_WORDS = 512
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
    size = max(blocks.size, -(-blocks.words // len(ids)))
    whole, rest = divmod(min(blocks.words, MOST_WORDS), size)
    found = [_words(blocks.scope, block, size) for block in ids[:whole]]
    if rest:
        found.append(" ".join(_words(blocks.scope, ids[min(whole, len(ids) - 1)], size).split(" ")[:rest]))
    return " ".join(found)


def most_bytes(blocks: Blocks) -> int:
    """Return how long the text is at most, in bytes, without making it."""
    named = max(len(blocks.ids), 1) * (len(blocks.scope.encode()) + 24)
    return blocks.words * _LONGEST + named


@lru_cache(maxsize=1 << 15)
def _words(scope: str, block: int, count: int) -> str:
    """Return the words of a block; the first names it, so that no two blocks begin alike."""
    pool = _pool()
    at = random.Random(f"{scope} {block}").randrange(len(pool))
    found = pool[at : at + count - 1]
    while len(found) < count - 1:
        found = [*found, *pool[: count - 1 - len(found)]]
    return " ".join([f"{scope}b{block}".replace(" ", ""), *found])


@cache
def _pool() -> list[str]:
    return random.Random("blocks").choices(WORDS, k=_POOL_WORDS)
