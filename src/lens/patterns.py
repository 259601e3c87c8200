"""Regular expressions that are compiled when they are first used.

A start that never uses one does not pay for it: to compile one takes 0.1 to 4 ms.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    """Stands in for a compiled pattern; its methods are those of the pattern from the first use on."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, value)
        return value


def lazy_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern that is compiled when a method of it is first called; then it costs no more than another.

    Raises:
        re.error: not here but at the first use, where `text` is no regular expression.
    """
    return cast("re.Pattern[AnyStr]", _Pattern(text, flags))
