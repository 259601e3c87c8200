/* The response head that nearly every answer has, understood without a second look: HTTP/1.1 200, plain ASCII,
   one framing that is chunked or a length, the type that was asked for, no compression, a connection that stays.
   Whatever else a head is or says is not for this: h11 judges it. What is taken here must mean there what it means here (RFC 9112). */
#ifndef LENS_USUAL_HEAD_H
#define LENS_USUAL_HEAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "body.h"
#include "event_splitter.h"

typedef struct {
    int64_t length; /* of the body, where it has one */
    int body;       /* a LENS_BODY_ */
    int events;     /* a LENS_EVENTS_ */
} lens_usual_head_t;

/* One line of a head: its name and its value without the spaces around it. */
typedef struct {
    const unsigned char *name, *value;
    size_t name_n, value_n;
} lens_field_t;

static inline int lens_is_token(unsigned char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return 1;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* The line at `at`, which ends before `end`: where the next one begins, or NULL when it is none that is usual. */
static inline const unsigned char *lens_field_next(
    const unsigned char *at, const unsigned char *end, lens_field_t *field) {
    const unsigned char *stop = (const unsigned char *)memchr(at, '\r', (size_t)(end - at)), *p;
    if (!stop || stop + 1 >= end || stop[1] != '\n') return NULL;
    field->name = at;
    for (p = at; p < stop && lens_is_token(*p); p++) {}
    field->name_n = (size_t)(p - at);
    if (!field->name_n || p == stop || *p != ':') return NULL;
    for (p++; p < stop && (*p == ' ' || *p == '\t'); p++) {}
    field->value = p;
    for (; p < stop; p++) {
        if ((*p < 0x20 || *p > 0x7e) && *p != '\t') return NULL;
    }
    while (p > field->value && (p[-1] == ' ' || p[-1] == '\t')) p--;
    field->value_n = (size_t)(p - field->value);
    return stop + 2;
}

/* Whether the first n bytes are these words, whose letters are lower case, in any case. */
static inline int lens_same(const unsigned char *data, size_t n, const char *words) {
    size_t i;
    if (n != strlen(words)) return 0;
    for (i = 0; i < n; i++) {
        unsigned char c = data[i];
        if (c >= 'A' && c <= 'Z') c = (unsigned char)(c + 32);
        if (c != (unsigned char)words[i]) return 0;
    }
    return 1;
}

static inline int lens_media_events(const lens_field_t *field, int wanted) {
    const unsigned char *semicolon = (const unsigned char *)memchr(field->value, ';', field->value_n);
    size_t n = semicolon ? (size_t)(semicolon - field->value) : field->value_n;
    while (n && (field->value[n - 1] == ' ' || field->value[n - 1] == '\t')) n--;
    if (!n) return -1; /* the body's first bytes decide */
    if (lens_same(field->value, n, "text/event-stream")) return LENS_EVENTS_SSE;
    if (lens_same(field->value, n, "application/x-ndjson") || lens_same(field->value, n, "application/ndjson")
        || lens_same(field->value, n, "application/jsonl"))
        return LENS_EVENTS_NDJSON;
    if (lens_same(field->value, n, "application/vnd.amazon.eventstream")) return LENS_EVENTS_AWS;
    if (wanted == LENS_EVENTS_ARRAY && lens_same(field->value, n, "application/json")) return LENS_EVENTS_ARRAY;
    return LENS_EVENTS_DOCUMENT;
}

/* The lines of a head begin here, its blank line is the end; NULL when its first line is not "HTTP/1.1 200 ...". */
static inline const unsigned char *lens_head_fields(const unsigned char *head, size_t n) {
    const unsigned char *stop = (const unsigned char *)memchr(head, '\r', n), *p;
    if (!stop || stop + 1 >= head + n || stop - head < 13 || memcmp(head, "HTTP/1.1 200 ", 13) || stop[1] != '\n') return NULL;
    for (p = head + 13; p < stop; p++) {
        if ((*p < 0x20 || *p > 0x7e) && *p != '\t') return NULL;
    }
    return stop + 2;
}

/* 1 when the whole head, blank line included, is a usual one; `wanted`: the events that its type must say. */
static inline int lens_head_is_usual(const unsigned char *head, size_t n, int wanted, lens_usual_head_t *out) {
    const unsigned char *at = lens_head_fields(head, n), *end = head + n;
    lens_field_t field;
    int framings = 0, types = 0;
    size_t i;
    out->events = -1;
    out->length = 0;
    while (at && at < end && *at != '\r') {
        if (!(at = lens_field_next(at, end, &field))) return 0;
        if (lens_same(field.name, field.name_n, "transfer-encoding")) {
            if (!lens_same(field.value, field.value_n, "chunked") || framings++) return 0;
            out->body = LENS_BODY_CHUNKED;
        } else if (lens_same(field.name, field.name_n, "content-length")) {
            if (!field.value_n || field.value_n > 18 || framings++) return 0;
            for (i = 0; i < field.value_n; i++) {
                if (field.value[i] < '0' || field.value[i] > '9') return 0;
                out->length = out->length * 10 + (field.value[i] - '0');
            }
            out->body = LENS_BODY_LENGTH;
        } else if (lens_same(field.name, field.name_n, "content-type")) {
            if (types++) return 0;
            out->events = lens_media_events(&field, wanted);
        } else if (lens_same(field.name, field.name_n, "connection")) {
            if (!lens_same(field.value, field.value_n, "keep-alive")) return 0;
        } else if (lens_same(field.name, field.name_n, "content-encoding")) {
            return 0;
        }
    }
    return at && at + 2 == end && at[1] == '\n' && framings == 1 && out->events == wanted;
}

#endif
