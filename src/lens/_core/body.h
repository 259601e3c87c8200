/* HTTP/1.1 body framing (RFC 9112, 6 and 7): which bytes of a read are payload, and where the body ends.

   A resumable state machine. It points into the read and copies nothing but trailers. A bare LF is
   taken for CR LF (RFC 9112, 2.2); anything else that is against the grammar is an error. */
#ifndef LENS_BODY_H
#define LENS_BODY_H

#include "buf.h"
#include "errors.h"

enum { LENS_BODY_NONE, LENS_BODY_LENGTH, LENS_BODY_CHUNKED, LENS_BODY_CLOSE };

/* Of one chunk-size line with its extension, and of all trailers: a peer that sends more is broken or hostile. */
enum { LENS_BODY_LINE_MOST = 65536 };

enum {
    LENS_CHUNK_SIZE,      /* inside the digits */
    LENS_CHUNK_EXTENSION, /* after them, up to LF */
    LENS_CHUNK_SIZE_LF,   /* CR seen after the digits */
    LENS_CHUNK_DATA,
    LENS_CHUNK_END,    /* CR or LF after the data */
    LENS_CHUNK_END_LF, /* LF after that CR */
    LENS_TRAILER_START,
    LENS_TRAILER_LINE,
    LENS_TRAILER_END_LF, /* LF of the blank line */
};

typedef struct {
    uint8_t kind;   /* LENS_BODY_... */
    uint8_t state;  /* LENS_CHUNK_... or LENS_TRAILER_... */
    uint8_t error;  /* LENS_ERROR_... */
    uint8_t ended;  /* the body is whole */
    uint8_t digits; /* one hex digit at least was seen */
    uint32_t line;  /* bytes of the size line so far */
    int64_t left;   /* payload bytes of the chunk, or of the whole body, that have not come */
    lens_buf_t trailers;
} lens_body_t;

static inline void lens_body_start(lens_body_t *b, int kind, int64_t length) {
    lens_buf_free(&b->trailers);
    memset(b, 0, sizeof *b);
    b->kind = (uint8_t)kind;
    b->left = kind == LENS_BODY_LENGTH ? length : 0;
    b->ended = kind == LENS_BODY_NONE || (kind == LENS_BODY_LENGTH && length == 0);
}

static inline int lens_hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The size line is over. */
static inline void lens_chunk_sized(lens_body_t *b) {
    b->state = b->left ? LENS_CHUNK_DATA : LENS_TRAILER_START;
    b->line = 0;
}

/* One byte of a size line. */
static inline void lens_chunk_size_byte(lens_body_t *b, unsigned char c) {
    if (++b->line > LENS_BODY_LINE_MOST) {
        b->error = LENS_ERROR_EXTENSION_LONG;
    } else if (b->state == LENS_CHUNK_SIZE_LF) {
        if (c == '\n') lens_chunk_sized(b);
        else b->error = LENS_ERROR_CHUNK_SIZE;
    } else if (b->state == LENS_CHUNK_EXTENSION) {
        if (c == '\n') lens_chunk_sized(b);
    } else {
        int digit = lens_hex_digit(c);
        if (digit >= 0) {
            if (b->left > (INT64_MAX >> 4)) b->error = LENS_ERROR_CHUNK_SIZE;
            else b->left = b->left << 4 | digit;
            b->digits = 1;
        } else if (!b->digits) {
            b->error = LENS_ERROR_CHUNK_SIZE;
        } else if (c == '\r') {
            b->state = LENS_CHUNK_SIZE_LF;
        } else if (c == '\n') {
            lens_chunk_sized(b);
        } else if (c == ';' || c == ' ' || c == '\t') {
            b->state = LENS_CHUNK_EXTENSION; /* padding after the size counts as one: some servers write it */
        } else {
            b->error = LENS_ERROR_CHUNK_SIZE;
        }
    }
}

/* One byte after a chunk's data, or of the trailers. */
static inline void lens_chunk_tail_byte(lens_body_t *b, unsigned char c) {
    switch (b->state) {
    case LENS_CHUNK_END:
        if (c == '\r') {
            b->state = LENS_CHUNK_END_LF;
            return;
        }
        /* fall through */
    case LENS_CHUNK_END_LF:
        if (c != '\n') b->error = LENS_ERROR_CHUNK_END;
        b->state = LENS_CHUNK_SIZE;
        b->digits = 0;
        return;
    case LENS_TRAILER_START:
        if (c == '\n') {
            b->ended = 1;
            return;
        }
        if (c == '\r') {
            b->state = LENS_TRAILER_END_LF;
            return;
        }
        b->state = LENS_TRAILER_LINE;
        /* fall through */
    case LENS_TRAILER_LINE:
        if (b->trailers.n >= LENS_BODY_LINE_MOST) b->error = LENS_ERROR_TRAILERS_LONG;
        else if (lens_buf_add(&b->trailers, &c, 1) < 0) b->error = LENS_ERROR_MEMORY;
        if (c == '\n') b->state = LENS_TRAILER_START;
        return;
    default: /* LENS_TRAILER_END_LF */
        if (c == '\n') b->ended = 1;
        else b->error = LENS_ERROR_TRAILERS;
    }
}

/* Takes bytes up to the end of the next piece of payload; returns how many. *piece_n is 0 where there is none.
   Call it until all are taken, or `ended` or `error` is set. */
static inline size_t lens_body_take(lens_body_t *b, const unsigned char *data, size_t n, const unsigned char **piece,
                                    size_t *piece_n) {
    size_t i = 0;
    *piece = data;
    *piece_n = 0;
    LENS_ASSERT(!b->ended && !b->error);
    if (b->kind == LENS_BODY_CHUNKED && b->state != LENS_CHUNK_DATA) {
        while (i < n && b->state != LENS_CHUNK_DATA && !b->ended && !b->error) {
            if (b->state < LENS_CHUNK_DATA) lens_chunk_size_byte(b, data[i++]);
            else lens_chunk_tail_byte(b, data[i++]);
        }
        if (i == n || b->ended || b->error) return i;
    }
    *piece = data + i;
    *piece_n = n - i;
    if (b->kind == LENS_BODY_CLOSE) return n;
    LENS_ASSERT(b->left > 0);
    if ((uint64_t)b->left < *piece_n) *piece_n = (size_t)b->left;
    b->left -= (int64_t)*piece_n;
    LENS_ASSERT(i + *piece_n <= n);
    if (b->left == 0) {
        if (b->kind == LENS_BODY_CHUNKED) b->state = LENS_CHUNK_END;
        else b->ended = 1;
    }
    return i + *piece_n;
}

/* The peer closed. */
static inline void lens_body_close(lens_body_t *b) {
    if (b->ended || b->error) return;
    if (b->kind == LENS_BODY_CLOSE) b->ended = 1;
    else b->error = LENS_ERROR_INCOMPLETE_BODY;
}

#endif
