"""The words of the simulator: fixed, seeded, and hard on whoever cuts text or escapes JSON.

Token k of a seed is the same in every process and version of Python, so that what a client
decoded can be compared with what was meant.
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


def mixed(*numbers: int) -> int:
    """64 well-mixed bits from small integers: the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = 0
    for number in numbers:
        z = (z + number + 1) * 0x9E37_79B9_7F4A_7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _MASK
        z ^= z >> 31
    return z


def share(*numbers: int) -> float:
    """A number in 0..1 that depends on these integers only."""
    return mixed(*numbers) / (_MASK + 1)


@lru_cache(maxsize=64)
def tokens_of(kind: str, seed: int, count: int) -> tuple[str, ...]:
    """`count` tokens; each but the first begins with a space, so none is empty."""
    salt = sum(kind.encode())
    words = [VOCABULARY[mixed(seed, salt, k) % len(VOCABULARY)] for k in range(count)]
    return tuple(word if k == 0 else " " + word for k, word in enumerate(words))


def text_of(kind: str, seed: int, count: int) -> str:
    """The same tokens as one text."""
    return "".join(tokens_of(kind, seed, count))


@lru_cache(maxsize=64)
def arguments_of(seed: int, count: int) -> tuple[str, ...]:
    """A tool call's arguments, a JSON object, in exactly `count` fragments that are not empty."""
    if count == 0:
        return ()
    text = json.dumps({"city": text_of("tool", seed, count), "days": 3}, ensure_ascii=False, separators=(",", ":"))
    edges = [len(text) * k // count for k in range(count + 1)]
    return tuple(text[a:b] for a, b in pairwise(edges))
