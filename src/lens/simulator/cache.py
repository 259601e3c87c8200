"""A prefix cache, as inference servers have one: which words at the start of a prompt were computed before.

Prompts are cached in blocks of words; a block is known by its words and all before it. The block that was used
longest ago is dropped first. The time is handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence


class PrefixCache:
    """Remembers the blocks of the prompts that were answered."""

    def __init__(self) -> None:
        self._used_ns: OrderedDict[int, int] = OrderedDict()  # hash of a block and all before it -> its last use

    def read(self, prompt: Sequence[str], now_ns: int, *, size: int, ttl_ns: int = 0, block: int = 1) -> int:
        """Return how many words of the prompt were cached, and cache it whole.

        size: words that the cache holds; ttl_ns: a block is dropped when it was not used for so long, 0: never.
        """
        cached, unbroken = 0, True
        used_ns = self._used_ns
        keys = list(_block_keys(prompt, block))
        for key in keys:
            last_ns = used_ns.get(key)
            unbroken = unbroken and last_ns is not None and not (ttl_ns and now_ns - last_ns >= ttl_ns)
            cached += block if unbroken else 0
            used_ns[key] = now_ns
        # From its end, so that of a prompt larger than the cache its beginning stays.
        for key in reversed(keys):
            used_ns.move_to_end(key)
        while len(used_ns) * block > size:
            used_ns.popitem(last=False)
        return cached


def _block_keys(prompt: Sequence[str], block: int) -> Iterator[int]:
    """Yield the key of each whole block."""
    key = 0
    for end in range(block, len(prompt) + 1, block):
        key = hash((key, *prompt[end - block : end]))
        yield key
