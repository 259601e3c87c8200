/* HTTP/1.1 body framing (RFC 9112, 6 and 7): which bytes of a read are payload, and where the body ends.

   A resumable state machine. It points into the read and copies nothing but trailers. A bare LF is
   taken for CR LF (RFC 9112, 2.2); anything else that is against the grammar is an error. */
#ifndef LENS_BODY_H
#define LENS_BODY_H

#include "buf.h"
#include "errors.h"

enum { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE };

/* Of one chunk-size line with its extension, and of all trailers: a peer that sends more is broken or hostile. */
enum { BODY_LINE_MOST = 65536 };

enum {
    CHUNK_SIZE,      /* inside the digits */
    CHUNK_EXTENSION, /* after them, up to LF */
    CHUNK_SIZE_LF,   /* CR seen after the digits */
    CHUNK_DATA,
    CHUNK_END,    /* CR or LF after the data */
    CHUNK_END_LF, /* LF after that CR */
    TRAILER_START,
    TRAILER_LINE,
    TRAILER_END_LF, /* LF of the blank line */
};

typedef struct {
    uint8_t kind;   /* BODY_... */
    uint8_t state;  /* CHUNK_... or TRAILER_... */
    uint8_t error;  /* ERROR_... */
    uint8_t ended;  /* the body is whole */
    uint8_t digits; /* one hex digit at least was seen */
    uint32_t line;  /* bytes of the size line so far */
    int64_t left;   /* payload bytes of the chunk, or of the whole body, that have not come */
    buf_t trailers;
} body_t;

static inline void body_start(body_t *b, int kind, int64_t length) {
    buf_free(&b->trailers);
    memset(b, 0, sizeof *b);
    b->kind = (uint8_t)kind;
    b->left = kind == BODY_LENGTH ? length : 0;
    b->ended = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
}

static inline int hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The size line is over. */
static inline void chunk_sized(body_t *b) {
    b->state = b->left ? CHUNK_DATA : TRAILER_START;
    b->line = 0;
}

/* One byte of a size line. */
static inline void chunk_size_byte(body_t *b, unsigned char c) {
    if (++b->line > BODY_LINE_MOST) {
        b->error = ERROR_EXTENSION_LONG;
    } else if (b->state == CHUNK_SIZE_LF) {
        if (c == '\n') chunk_sized(b);
        else b->error = ERROR_CHUNK_SIZE;
    } else if (b->state == CHUNK_EXTENSION) {
        if (c == '\n') chunk_sized(b);
    } else {
        int digit = hex_digit(c);
        if (digit >= 0) {
            if (b->left > (INT64_MAX >> 4)) b->error = ERROR_CHUNK_SIZE;
            else b->left = b->left << 4 | digit;
            b->digits = 1;
        } else if (!b->digits) {
            b->error = ERROR_CHUNK_SIZE;
        } else if (c == '\r') {
            b->state = CHUNK_SIZE_LF;
        } else if (c == '\n') {
            chunk_sized(b);
        } else if (c == ';' || c == ' ' || c == '\t') {
            b->state = CHUNK_EXTENSION; /* padding after the size counts as one: some servers write it */
        } else {
            b->error = ERROR_CHUNK_SIZE;
        }
    }
}

/* One byte after a chunk's data, or of the trailers. */
static inline void chunk_tail_byte(body_t *b, unsigned char c) {
    switch (b->state) {
    case CHUNK_END:
        if (c == '\r') {
            b->state = CHUNK_END_LF;
            return;
        }
        /* fall through */
    case CHUNK_END_LF:
        if (c != '\n') b->error = ERROR_CHUNK_END;
        b->state = CHUNK_SIZE;
        b->digits = 0;
        return;
    case TRAILER_START:
        if (c == '\n') {
            b->ended = 1;
            return;
        }
        if (c == '\r') {
            b->state = TRAILER_END_LF;
            return;
        }
        b->state = TRAILER_LINE;
        /* fall through */
    case TRAILER_LINE:
        if (b->trailers.n >= BODY_LINE_MOST) b->error = ERROR_TRAILERS_LONG;
        else if (buf_add(&b->trailers, &c, 1) < 0) b->error = ERROR_MEMORY;
        if (c == '\n') b->state = TRAILER_START;
        return;
    default: /* TRAILER_END_LF */
        if (c == '\n') b->ended = 1;
        else b->error = ERROR_TRAILERS;
    }
}

/* Takes bytes up to the end of the next piece of payload; returns how many. *piece_n is 0 where there is none.
   Call it until all are taken, or `ended` or `error` is set. */
static inline size_t body_take(body_t *b, const unsigned char *data, size_t n, const unsigned char **piece,
                               size_t *piece_n) {
    size_t i = 0;
    *piece = data;
    *piece_n = 0;
    LENS_ASSERT(!b->ended && !b->error);
    if (b->kind == BODY_CHUNKED && b->state != CHUNK_DATA) {
        while (i < n && b->state != CHUNK_DATA && !b->ended && !b->error) {
            if (b->state < CHUNK_DATA) chunk_size_byte(b, data[i++]);
            else chunk_tail_byte(b, data[i++]);
        }
        if (i == n || b->ended || b->error) return i;
    }
    *piece = data + i;
    *piece_n = n - i;
    if (b->kind == BODY_CLOSE) return n;
    LENS_ASSERT(b->left > 0);
    if ((uint64_t)b->left < *piece_n) *piece_n = (size_t)b->left;
    b->left -= (int64_t)*piece_n;
    LENS_ASSERT(i + *piece_n <= n);
    if (b->left == 0) {
        if (b->kind == BODY_CHUNKED) b->state = CHUNK_END;
        else b->ended = 1;
    }
    return i + *piece_n;
}

/* The peer closed. */
static inline void body_close(body_t *b) {
    if (b->ended || b->error) return;
    if (b->kind == BODY_CLOSE) b->ended = 1;
    else b->error = ERROR_INCOMPLETE_BODY;
}

#endif
