/* A chunk of a chat's stream that holds what every server writes, and nothing else.

   Stricter than JSON: no key twice, no escape and no character beyond ASCII but in the text, whole numbers, one choice.
   Whatever else a chunk holds is not for this: the protocol's reader judges it. What is taken here must mean there what
   it means here. */
#ifndef LENS_CHAT_H
#define LENS_CHAT_H

#include "walk.h"

/* What is read of a chunk. */
enum {
    LENS_CHAT_IGNORED,
    LENS_CHAT_MODEL,
    LENS_CHAT_TIER,
    LENS_CHAT_FINGERPRINT,
    LENS_CHAT_FINISH,
    LENS_CHAT_TEXT,
    LENS_CHAT_COUNTS,
    LENS_CHAT_PARTS
};

/* Bytes of a chunk: of a string without its quotes, of counts with their braces; p is NULL where there is none. */
typedef struct {
    const unsigned char *p;
    size_t n;
} lens_chat_part_t;

typedef struct {
    lens_chat_part_t parts[LENS_CHAT_PARTS];
    int escaped; /* the text has escapes */
} lens_chat_chunk_t;

/* What may stand under a key; null may too. */
enum {
    LENS_CHAT_NULL,    /* nothing else */
    LENS_CHAT_NAME,    /* a string */
    LENS_CHAT_KIND,    /* "chat.completion.chunk", and no null */
    LENS_CHAT_EMPTY,   /* "" */
    LENS_CHAT_STRING,  /* a string with any character */
    LENS_CHAT_WHOLE,   /* a whole number of at most 15 digits */
    LENS_CHAT_FIRST,   /* 0 */
    LENS_CHAT_NUMBERS, /* an object of numbers, and of objects of numbers */
    LENS_CHAT_CHOICES, /* an array of one choice or none, and no null */
    LENS_CHAT_DELTA    /* an object, and no null */
};

typedef struct {
    const char *key;
    uint8_t key_n, kind, part;
} lens_chat_field_t;

typedef struct {
    const lens_chat_field_t *fields;
    uint32_t n, wanted; /* bits of the fields that must be there */
} lens_chat_object_t;

#define LENS_CHAT_FIELD(key, kind, part) {key, sizeof key - 1, LENS_CHAT_##kind, LENS_CHAT_##part}

static const lens_chat_field_t lens_chat_chunk_fields[] = {
    LENS_CHAT_FIELD("object", KIND, IGNORED),
    LENS_CHAT_FIELD("choices", CHOICES, IGNORED),
    LENS_CHAT_FIELD("id", NAME, IGNORED),
    LENS_CHAT_FIELD("created", WHOLE, IGNORED),
    LENS_CHAT_FIELD("model", NAME, MODEL),
    LENS_CHAT_FIELD("service_tier", NAME, TIER),
    LENS_CHAT_FIELD("system_fingerprint", NAME, FINGERPRINT),
    LENS_CHAT_FIELD("obfuscation", NAME, IGNORED),
    LENS_CHAT_FIELD("usage", NUMBERS, COUNTS),
    LENS_CHAT_FIELD("prompt_token_ids", NULL, IGNORED), /* vLLM */
};
static const lens_chat_field_t lens_chat_choice_fields[] = {
    LENS_CHAT_FIELD("delta", DELTA, IGNORED),
    LENS_CHAT_FIELD("index", FIRST, IGNORED),
    LENS_CHAT_FIELD("finish_reason", NAME, FINISH),
    LENS_CHAT_FIELD("logprobs", NULL, IGNORED),
    LENS_CHAT_FIELD("stop_reason", WHOLE, IGNORED),  /* vLLM */
    LENS_CHAT_FIELD("matched_stop", WHOLE, IGNORED), /* SGLang */
    LENS_CHAT_FIELD("token_ids", NULL, IGNORED),     /* vLLM */
};
static const lens_chat_field_t lens_chat_delta_fields[] = {
    LENS_CHAT_FIELD("content", STRING, TEXT),
    LENS_CHAT_FIELD("role", NAME, IGNORED),
    LENS_CHAT_FIELD("refusal", NULL, IGNORED),
    LENS_CHAT_FIELD("function_call", NULL, IGNORED),
    LENS_CHAT_FIELD("tool_calls", NULL, IGNORED),
    LENS_CHAT_FIELD("reasoning", EMPTY, IGNORED),
    LENS_CHAT_FIELD("reasoning_content", EMPTY, IGNORED),
};
#define LENS_CHAT_OBJECT(fields, wanted) {fields, sizeof fields / sizeof fields[0], wanted}
static const lens_chat_object_t lens_chat_chunk = LENS_CHAT_OBJECT(lens_chat_chunk_fields, 3);
static const lens_chat_object_t lens_chat_choice = LENS_CHAT_OBJECT(lens_chat_choice_fields, 1);
static const lens_chat_object_t lens_chat_delta = LENS_CHAT_OBJECT(lens_chat_delta_fields, 0);

static inline int lens_chat_is(const lens_chat_part_t *span, const char *text, size_t n) {
    return span->n == n && memcmp(span->p, text, n) == 0;
}

/* One past the string of plain ASCII whose quote is at p; NULL where it is none. */
static inline const unsigned char *lens_chat_name(const unsigned char *p, const unsigned char *end,
                                                  lens_chat_part_t *out) {
    const unsigned char *stop, *at;
    unsigned char all = 0;
    if (p == end || *p != '"') return 0;
    stop = lens_plain_end(++p, end);
    if (stop == end || *stop != '"') return 0;
    for (at = p; at < stop; at++) all |= *at;
    out->p = p;
    out->n = (size_t)(stop - p);
    return all < 0x80 ? stop + 1 : 0;
}

/* The value of the next key of an object, p being behind its brace or a value; key->p is NULL, and p behind the
   closing brace, where there is no more. NULL where it is not plain. */
static inline const unsigned char *lens_chat_key(const unsigned char *p, const unsigned char *end, int first,
                                                 lens_chat_part_t *key) {
    key->p = 0;
    p = lens_skip_space(p, end);
    if (p == end) return 0;
    if (*p == '}') return p + 1;
    if (!first) {
        if (*p != ',') return 0;
        p = lens_skip_space(p + 1, end);
    }
    if (!(p = lens_chat_name(p, end, key))) return 0;
    p = lens_skip_space(p, end);
    return p < end && *p == ':' ? lens_skip_space(p + 1, end) : 0;
}

/* One past the object of numbers whose brace is at p, and in it of such objects where `deep`; what a number is worth,
   and whether it is one, is not looked at. */
static inline const unsigned char *lens_chat_numbers(const unsigned char *p, const unsigned char *end, int deep) {
    const unsigned char *start;
    lens_chat_part_t key;
    int first = 1;
    if (p == end || *p != '{') return 0;
    for (p++;; first = 0) {
        if (!(p = lens_chat_key(p, end, first, &key)) || !key.p) return p;
        if (end - p >= 4 && memcmp(p, "null", 4) == 0) {
            p += 4;
        } else if (p < end && *p == '{') {
            if (!deep || !(p = lens_chat_numbers(p, end, 0))) return 0;
        } else {
            for (start = p; p < end && ((*p >= '0' && *p <= '9') || strchr("+-.eE", *p ? *p : ' ')); p++) {}
            if (p == start) return 0;
        }
    }
}

static inline const unsigned char *lens_chat_object(const unsigned char *p, const unsigned char *end,
                                                    const lens_chat_object_t *object, lens_chat_chunk_t *out);

/* One past the value at p of this field; NULL where it is not usual. */
static inline const unsigned char *lens_chat_value(const unsigned char *p, const unsigned char *end,
                                                   const lens_chat_field_t *field, lens_chat_chunk_t *out) {
    static const char kind[] = "chat.completion.chunk";
    lens_chat_part_t span;
    span.p = p;
    if (p == end) return 0;
    if (end - p >= 4 && memcmp(p, "null", 4) == 0)
        return field->kind == LENS_CHAT_KIND || field->kind >= LENS_CHAT_CHOICES ? 0 : p + 4;
    switch (field->kind) {
    case LENS_CHAT_NAME:
        p = lens_chat_name(p, end, &span);
        break;
    case LENS_CHAT_KIND:
        p = lens_chat_name(p, end, &span);
        return p && lens_chat_is(&span, kind, sizeof kind - 1) ? p : 0;
    case LENS_CHAT_EMPTY:
        return end - p >= 2 && p[0] == '"' && p[1] == '"' ? p + 2 : 0;
    case LENS_CHAT_STRING:
        if (*p != '"' || !(p = lens_string_end(span.p = p + 1, end, &out->escaped))) return 0;
        span.n = (size_t)(p++ - span.p);
        break;
    case LENS_CHAT_WHOLE:
        p = lens_skip_digits(p, end);
        return p > span.p && p - span.p <= 15 && (*span.p != '0' || p - span.p == 1) ? p : 0;
    case LENS_CHAT_FIRST:
        return *p == '0' ? p + 1 : 0;
    case LENS_CHAT_NUMBERS:
        if ((p = lens_chat_numbers(p, end, 1))) span.n = (size_t)(p - span.p);
        break;
    case LENS_CHAT_CHOICES:
        if (*p != '[' || (p = lens_skip_space(p + 1, end)) == end) return 0;
        if (*p == ']') return p + 1;
        if (!(p = lens_chat_object(p, end, &lens_chat_choice, out))) return 0;
        p = lens_skip_space(p, end);
        return p < end && *p == ']' ? p + 1 : 0;
    case LENS_CHAT_DELTA:
        return lens_chat_object(p, end, &lens_chat_delta, out);
    default:
        return 0;
    }
    if (p) out->parts[field->part] = span;
    return p;
}

/* One past the object at p; NULL where it is not usual. */
static inline const unsigned char *lens_chat_object(const unsigned char *p, const unsigned char *end,
                                                    const lens_chat_object_t *object, lens_chat_chunk_t *out) {
    lens_chat_part_t key;
    uint32_t seen = 0, i;
    if (p == end || *p != '{') return 0;
    for (p++;;) {
        if (!(p = lens_chat_key(p, end, !seen, &key))) return 0;
        if (!key.p) return (seen & object->wanted) == object->wanted ? p : 0;
        for (i = 0; i < object->n && !lens_chat_is(&key, object->fields[i].key, object->fields[i].key_n); i++) {}
        if (i == object->n || seen >> i & 1) return 0;
        seen |= (uint32_t)1 << i;
        if (!(p = lens_chat_value(p, end, &object->fields[i], out))) return 0;
    }
}

/* 1 when the n bytes at p are a usual chunk, whose parts are in *out then. */
static inline int lens_chat_read(const unsigned char *p, size_t n, lens_chat_chunk_t *out) {
    const unsigned char *end = p + n;
    memset(out, 0, sizeof *out);
    p = lens_skip_space(p, end);
    return (p = lens_chat_object(p, end, &lens_chat_chunk, out)) && lens_skip_space(p, end) == end;
}

/* Write the text that a JSON string spells to `to`, which has room for as many bytes as the string: how many these are,
   or -1 where it has half of a character (a lone surrogate). */
static inline ptrdiff_t lens_chat_unescape(const lens_chat_part_t *span, unsigned char *to) {
    const unsigned char *p = span->p, *end = span->p + span->n;
    unsigned char *start = to, utf8[4];
    int32_t point;
    size_t n;
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        p += lens_unescape_one(p, end, &point);
        if (lens_is_high(point) || lens_is_low(point)) return -1;
        n = lens_put_char(utf8, point);
        memcpy(to, utf8, n);
        to += n;
    }
    return to - start;
}

#endif
