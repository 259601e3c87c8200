"""Made-up prompts of a given length: the same seed gives the same text, and no two begin alike.

Lengths are in tokens of nobody's tokenizer: one common English word counts as one, which is within
some percent for the tokenizers in use; the server's own count is what a record holds. Prompts begin
differently so that a prefix cache cannot answer for the model, unless a shared prefix is asked for.
"""

from __future__ import annotations

import random

from lens.errors import ConfigError
from lens.patterns import lazy_pattern

# Common words that are one token, with the space before them, in the vocabularies of today.
_COMMON = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend "
    "father power hour game line end member law car city community name president team minute idea body information "
    "back parent face others level office door health person art war history party result change morning reason "
    "research girl guy moment air teacher force education foot boy age policy music table rate road field north south"
)
WORDS = tuple(_COMMON.split())
# Of each byte its first bits, as many as number the words; and the bytes that number none.
_NUMBERS = bytes([byte >> 8 - len(WORDS).bit_length() for byte in range(256)])
_NO_NUMBERS = bytes([byte for byte, number in enumerate(_NUMBERS) if number >= len(WORDS)])
# No model reads more; a longer prompt is a slip of the hand.
MOST_WORDS = 4_000_000
# Of one session; agents' tasks have hundreds, and each turn is sent with all before it.
MOST_TURNS = 10_000
_RANGE = lazy_pattern(r"(\d+)(?:-(\d+)|:(\d+))?")
# The standard scenario of Anyscale's LLMPerf: 550 tokens in, 150 out.
PRESETS = {"standard": ("550", "150")}


def lengths(
    spec: str, count: int, seed: int = 0, *, option: str = "length", most: int = MOST_WORDS, what: str = "tokens"
) -> list[int]:
    """`count` lengths of "550", "100-900" (even) or "550:50" (normal, mean and deviation); never below 1.

    option: where it was said; most: the greatest number in it, of `what`.

    Raises:
        ConfigError: it is none of these.
    """
    match = _RANGE.fullmatch(spec.replace(" ", ""))
    if match is None:
        raise ConfigError(f"{option} {spec!r}: write 550, 550:50 (mean:deviation) or 100-900")
    first, last, deviation = int(match[1]), match[2], match[3]
    if first < 1 or (last is not None and int(last) < first):
        raise ConfigError(f"{option} {spec!r}: at least 1, and from less to more")
    if max(int(number or 0) for number in match.groups()) > most:
        raise ConfigError(f"{option} {spec!r}: at most {most:,} {what}")
    generator = random.Random(seed)
    if last is not None:
        return [generator.randint(first, int(last)) for _ in range(count)]
    if deviation is not None:
        return [max(1, round(generator.gauss(first, int(deviation)))) for _ in range(count)]
    return [first] * count


def made_up(sizes: list[int], *, seed: int = 0, prefix_tokens: int = 0) -> list[str]:
    """Return a text for each size, in words. The first `prefix_tokens` words are the same in all of them."""
    shared = _words(random.Random(f"{seed} prefix"), prefix_tokens)
    texts = []
    for i, size in enumerate(sizes):
        # The number makes them differ from the first own word on.
        own = [str(i), *_words(random.Random(f"{seed} {i}"), max(size - prefix_tokens - 1, 0))]
        texts.append(" ".join([*shared, *own][:size]))
    return texts


def _words(generator: random.Random, count: int) -> list[str]:
    """Return what `generator.choice(WORDS)` gives so many times; the bits of many words are drawn at once."""
    found = b""
    while len(found) < count:
        drawn = (count - len(found)) * 5 // 4 + 8
        bits = generator.getrandbits(32 * drawn).to_bytes(4 * drawn, "little")
        found += bits[3::4].translate(_NUMBERS, _NO_NUMBERS)
    return [WORDS[number] for number in found[:count]]
