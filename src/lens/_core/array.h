/* A streamed JSON array (Gemini without alt=sse): each element is an event.

   Elements are cut by depth and quotes; whether they are JSON is for the walk to say. An object or array
   without a surrounding array is an element too (an error body); so is anything else, up to the end. */
#ifndef LENS_ARRAY_H
#define LENS_ARRAY_H

#include "lines.h"

/* Where the element that is being read ends (one past its last byte), or NULL when the piece ends first. */
static inline const unsigned char *lens_element_end(lens_event_splitter_t *c, const unsigned char *p,
                                                    const unsigned char *end) {
    if (c->bare && !c->open) return 0;
    for (; p < end; p++) {
        unsigned char byte = *p;
        if (c->quoted) {
            if (c->escaped) c->escaped = 0;
            else if (byte == '\\') c->escaped = 1;
            else if (byte == '"') c->quoted = 0;
        } else if (byte == '"') {
            c->quoted = 1;
        } else if (byte == '{' || byte == '[') {
            c->depth++;
        } else if (byte == '}' || byte == ']') {
            if (c->depth == 0 && byte == ']') return p; /* the array's own, after a bare value */
            if (c->depth && --c->depth == 0 && !c->bare) return p + 1;
        } else if (byte == ',' && c->depth == 0) {
            return p;
        }
    }
    return 0;
}

static inline int lens_array_next(lens_event_splitter_t *c, lens_piece_t *in, lens_event_t *out) {
    while (!c->error && in->p < in->end) {
        const unsigned char *start = in->p, *stop;
        size_t n;
        if (!c->inside) {
            unsigned char byte = *start;
            if (lens_is_space(byte) || (c->open && byte == ',')) {
                in->p++;
                continue;
            }
            if (c->open ? byte == ']' : byte == '[') {
                c->open = !c->open;
                in->p++;
                continue;
            }
            c->inside = 1;
            c->bare = byte != '{' && byte != '[';
            c->depth = 0;
            c->quoted = c->escaped = 0;
        }
        stop = lens_element_end(c, start, in->end);
        n = (size_t)((stop ? stop : in->end) - start);
        LENS_ASSERT(n <= (size_t)(in->end - start));
        in->p = start + n;
        if (!stop || lens_splitter_carries(c)) lens_splitter_carry(c, in, start, n);
        if (!stop) return 0;
        c->inside = 0;
        if (lens_splitter_carries(c)) {
            c->carry_used = 1;
            start = c->carry.p;
            n = c->carry.n;
        }
        if (n > c->most) c->error = LENS_ERROR_EVENT_LONG;
        if (c->error) return 0;
        lens_whole_event(out, start, n, in->at);
        return 1;
    }
    return 0;
}

/* The payload is over: what stood outside any array was one thing. Half an element is none. */
static inline int lens_array_end(lens_event_splitter_t *c, lens_event_t *out) {
    return c->inside && c->bare && !c->open && lens_ndjson_end(c, out);
}

#endif
