"""A usual chunk of a chat for C: what it holds, read without the GIL and without an object."""

cdef extern from "chat.h" nogil:
    enum:
        LENS_CHAT_MODEL
        LENS_CHAT_TIER
        LENS_CHAT_FINGERPRINT
        LENS_CHAT_FINISH
        LENS_CHAT_TEXT
        LENS_CHAT_COUNTS
        LENS_CHAT_PARTS
    ctypedef struct lens_chat_part_t:
        const unsigned char *p
        size_t n
    ctypedef struct lens_chat_chunk_t:
        lens_chat_part_t parts[7]
        int escaped
    int lens_chat_read(const unsigned char *p, size_t n, lens_chat_chunk_t *out) noexcept
    Py_ssize_t lens_chat_unescape(const lens_chat_part_t *span, unsigned char *to) noexcept
