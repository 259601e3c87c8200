"""Generated text: seeded, reproducible, and hard on code that cuts text or escapes JSON.

Token k of a seed is the same in every process and version of Python, so that what a client decoded can be compared
with what was sent.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import pairwise

# Plain words, several scripts, a joined emoji, and all that JSON must escape.
VOCABULARY = (
    "latency", "stream", "token", "harbour", "of", "the", "signal", "and", "river", "clock",
    "packet", "window", "is", "mountain", "a", "cipher", "orchard", "in", "lantern", "gradient",
    "naïve", "Größe", "задержка", "поток", "延迟", "応答", "토큰", "تدفق", "घड़ी", "½", "—", "…",
    "👩‍🚀", "🧪", '"quoted"', "back\\slash", "tab\tstop", "line\nbreak", "</tag>", "data:", "[DONE]", "{}", "e\u0301",
    "100%", "don't", "C++", "\u2028", "x=1&y=2",
)  # fmt: skip

_MASK = 0xFFFF_FFFF_FFFF_FFFF


def hash_bits(*numbers: int) -> int:
    """Return a 64-bit hash of small integers: the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = 0
    for number in numbers:
        z = (z + number + 1) * 0x9E37_79B9_7F4A_7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _MASK
        z ^= z >> 31
    return z


def hash_fraction(*numbers: int) -> float:
    """Return a number in 0..1, evenly distributed, that depends on these integers only."""
    return hash_bits(*numbers) / (_MASK + 1)


@lru_cache(maxsize=64)
def make_tokens(kind: str, seed: int, count: int) -> tuple[str, ...]:
    """`count` tokens; each but the first begins with a space, so none is empty."""
    salt = sum(kind.encode())
    words = [VOCABULARY[hash_bits(seed, salt, k) % len(VOCABULARY)] for k in range(count)]
    return tuple(word if k == 0 else " " + word for k, word in enumerate(words))


def make_text(kind: str, seed: int, count: int) -> str:
    """Return the same tokens as one text."""
    return "".join(make_tokens(kind, seed, count))


@lru_cache(maxsize=64)
def make_arguments(seed: int, count: int) -> tuple[str, ...]:
    """Return a tool call's arguments, a JSON object, in exactly `count` fragments that are not empty."""
    if count == 0:
        return ()
    text = json.dumps({"city": make_text("tool", seed, count), "days": 3}, ensure_ascii=False, separators=(",", ":"))
    edges = [len(text) * k // count for k in range(count + 1)]
    return tuple(text[a:b] for a, b in pairwise(edges))
