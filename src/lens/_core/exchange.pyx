# cython: language_level=3
"""What is known of a stream's exchange, read at one moment: its stamps and counts, and its head where that is usual.

The lines of heads are kept, decoded: most lines of an answer stood in the one before it, at the same place.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memchr, memcmp

from lens._core.frames cimport LENS_BODY_CHUNKED, event_framing_name
from lens._core.lock cimport hold, let_go, lens_lock_t
from lens._core.stream_state cimport StreamState, lens_field_next, lens_field_t, lens_head_fields

cdef enum:
    KNOWN_LINES = 64

# Of the heads before, by the number of the line.
cdef list known_lines = []
cdef list known_fields = []


def read_facts(StreamState stream not None):
    return facts_of(stream)


cdef tuple facts_of(StreamState stream):
    cdef lens_lock_t *lock = hold(stream.lock)
    cdef bint late = stream.c_sent_is_late(), stamped = stream.c_sent_stamped, kernel = stream.c_kernel_stamped
    cdef bint stepped = stream.c_clock_stepped
    cdef int64_t send_start = stream.c_send_start_ns, first_byte = stream.c_first_byte_ns
    cdef int64_t send_end = first_byte if late else stream.c_send_end_ns
    cdef int64_t head_end = stream.c_head_end_ns, end = stream.ended_at
    cdef int64_t reads = stream.c_reads, wire_bytes = stream.c_wire_bytes
    cdef uint64_t comments = stream.decoder.splitter.comments if stream.decoder is not None else 0
    let_go(lock)
    return (
        send_start, send_end, "kernel" if stamped else "bound" if late else "call", first_byte, head_end, end,
        "kernel" if kernel and reads else "read", stepped, comments, wire_bytes,
    )


def read_usual_head(StreamState stream not None):
    cdef const unsigned char *at
    cdef const unsigned char *end
    cdef const unsigned char *stop
    cdef bytes head
    cdef list fields = []
    cdef lens_lock_t *lock = hold(stream.lock)
    cdef bint usual = stream.c_usual
    let_go(lock)
    if not usual:
        return None
    head = stream.partial_head
    at = lens_head_fields(<const unsigned char *>head, len(head))
    end = <const unsigned char *>head + len(head)
    reason = head[13:at - <const unsigned char *>head - 2].decode("ascii")
    while at < end - 2:
        stop = <const unsigned char *>memchr(at, c'\n', end - at) + 1
        fields.append(_field(at, stop - at, len(fields)))
        at = stop
    body = "chunked" if stream.usual.body == LENS_BODY_CHUNKED else "length"
    return reason, body, stream.usual.length, event_framing_name(stream.usual.events), tuple(fields)


cdef tuple _field(const unsigned char *at, Py_ssize_t n, Py_ssize_t number):
    """(name in lower case, value) of line `number` of a usual head."""
    cdef lens_field_t field
    cdef bytes line
    if number < len(known_lines):
        line = <bytes>known_lines[number]
        if len(line) == n and memcmp(<const char *>line, at, n) == 0:
            return <tuple>known_fields[number]
    lens_field_next(at, at + n, &field)
    name = (<const char *>field.name)[:field.name_n].decode("ascii").lower()
    found = name, (<const char *>field.value)[:field.value_n].decode("ascii")
    if number < KNOWN_LINES:
        if number == len(known_lines):
            known_lines.append(None)
            known_fields.append(None)
        known_lines[number], known_fields[number] = (<const char *>at)[:n], found
    return found
