# cython: language_level=3
"""Whole streams of chats in which nothing is unusual; what makes a chunk usual stands in chat.h.

The rule: whatever is not certain to mean what the protocol's reader would find is left to that.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcmp

from lens._core.signals cimport LENS_SIGNAL_FINISH, LENS_SIGNAL_TEXT, LENS_SIGNAL_USAGE

cdef enum:
    USUAL_BITS = LENS_SIGNAL_TEXT | LENS_SIGNAL_USAGE | LENS_SIGNAL_FINISH


def read_chat(tuple frames not None, signals not None):
    cdef lens_chat_chunk_t chunk, found
    cdef Py_ssize_t index, n = len(signals)
    cdef int bits
    cdef bytes data
    cdef list texts = []
    found.parts[LENS_CHAT_MODEL].p = found.parts[LENS_CHAT_TIER].p = found.parts[LENS_CHAT_FINGERPRINT].p = NULL
    found.parts[LENS_CHAT_FINISH].p = found.parts[LENS_CHAT_COUNTS].p = NULL
    for frame in frames:
        data, index = frame.data, frame.index
        if data == b"[DONE]":
            return (
                index + 1,
                "".join(texts),
                _bytes(&found.parts[LENS_CHAT_COUNTS]),
                _name(&found.parts[LENS_CHAT_FINISH]),
                _name(&found.parts[LENS_CHAT_MODEL]),
                _name(&found.parts[LENS_CHAT_TIER]),
            )
        if frame.name or not 0 <= index < n:
            return None
        bits = signals[index]
        if bits & ~USUAL_BITS or not lens_chat_read(data, len(data), &chunk):
            return None
        # The frames hold what the parts point to.
        if not (_stays(&chunk, &found, LENS_CHAT_TIER) and _stays(&chunk, &found, LENS_CHAT_FINGERPRINT)):
            return None
        if found.parts[LENS_CHAT_MODEL].p == NULL and chunk.parts[LENS_CHAT_MODEL].n:
            found.parts[LENS_CHAT_MODEL] = chunk.parts[LENS_CHAT_MODEL]
        if chunk.parts[LENS_CHAT_FINISH].n:
            found.parts[LENS_CHAT_FINISH] = chunk.parts[LENS_CHAT_FINISH]
        if chunk.parts[LENS_CHAT_COUNTS].n:
            if found.parts[LENS_CHAT_COUNTS].p != NULL or bits & LENS_SIGNAL_TEXT:
                return None
            found.parts[LENS_CHAT_COUNTS] = chunk.parts[LENS_CHAT_COUNTS]
        if (chunk.parts[LENS_CHAT_TEXT].n != 0) != (bits & LENS_SIGNAL_TEXT != 0):
            return None
        if bits & LENS_SIGNAL_TEXT:
            text = _text(&chunk.parts[LENS_CHAT_TEXT], chunk.escaped)
            if text is None:
                return None
            texts.append(text)
    return None


cdef bint _stays(const lens_chat_chunk_t *chunk, lens_chat_chunk_t *found, int part) noexcept:
    """Whether a chunk says nothing else there than those before; the first that says something is kept."""
    cdef const lens_chat_part_t *says = &chunk.parts[part]
    cdef lens_chat_part_t *before = &found.parts[part]
    if says.n == 0:
        return True
    if before.p == NULL:
        before[0] = says[0]
        return True
    return before.n == says.n and memcmp(before.p, says.p, says.n) == 0


cdef bytes _bytes(const lens_chat_part_t *span):
    return None if span.p == NULL else (<const char *>span.p)[:span.n]


cdef str _name(const lens_chat_part_t *span):
    return None if span.p == NULL else (<const char *>span.p)[:span.n].decode("ascii")


cdef str _text(const lens_chat_part_t *span, bint escaped):
    """The text that a JSON string spells; None where it is not UTF-8, or has half of a character."""
    cdef bytes spelled
    cdef Py_ssize_t n = span.n
    try:
        if not escaped:
            return (<const char *>span.p)[:n].decode("utf-8")
        spelled = PyBytes_FromStringAndSize(NULL, n)
        n = lens_chat_unescape(span, <unsigned char *>spelled)
        return None if n < 0 else spelled[:n].decode("utf-8")
    except UnicodeDecodeError:
        return None
