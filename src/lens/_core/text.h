/* JSON strings and characters: where a string ends, how many characters it has, what it spells.

   Characters are Unicode code points of the decoded string; bytes that are not UTF-8 count as the
   U+FFFD that replace them (one for each maximal subpart, as the WHATWG decoder does). */
#ifndef LENS_TEXT_H
#define LENS_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

#define LENS_EACH_BYTE(b) (0x0101010101010101ULL * (b))

/* High bits where a byte of x is a quote, a backslash or a control; the lowest one set is exact. */
static inline uint64_t lens_string_stops(uint64_t x) {
    uint64_t quote = x ^ LENS_EACH_BYTE('"'), back = x ^ LENS_EACH_BYTE('\\');
    uint64_t quotes = (quote - LENS_EACH_BYTE(1)) & ~quote, backs = (back - LENS_EACH_BYTE(1)) & ~back;
    uint64_t controls = (x - LENS_EACH_BYTE(0x20)) & ~x;
    return (quotes | backs | controls) & LENS_EACH_BYTE(0x80);
}

/* The first quote, backslash or control byte at or after p; end when there is none. */
static inline const unsigned char *lens_plain_end(const unsigned char *p, const unsigned char *end) {
#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t x, stops;
        memcpy(&x, p, 8);
        stops = lens_string_stops(x);
        if (stops) return p + (__builtin_ctzll(stops) >> 3);
        p += 8;
    }
#endif
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') p++;
    return p;
}

/* Value of four hex digits, -1 where they are not. */
static inline int32_t lens_hex4(const unsigned char *p) {
    int32_t v = 0;
    int i;
    for (i = 0; i < 4; i++) {
        unsigned char c = p[i], lower = c | 32;
        if (c >= '0' && c <= '9') v = v << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f') v = v << 4 | (lower - 'a' + 10);
        else return -1;
    }
    return v;
}

/* The closing quote of a JSON string whose content begins at p, NULL where it is not one.
   *escaped becomes 1 when there is an escape. */
static inline const unsigned char *lens_string_end(const unsigned char *p, const unsigned char *end, int *escaped) {
    *escaped = 0;
    for (;;) {
        p = lens_plain_end(p, end);
        if (p == end || *p < 0x20) return 0;
        if (*p == '"') return p;
        *escaped = 1;
        if (end - p < 2) return 0;
        if (p[1] == 'u') {
            if (end - p < 6 || lens_hex4(p + 2) < 0) return 0;
            p += 6;
        } else if (p[1] && strchr("\"\\/bfnrt", p[1])) {
            p += 2;
        } else {
            return 0;
        }
    }
}

/* Bytes of the character at p; of a broken one, those that one U+FFFD stands for (Unicode 3.9, table 3-7). */
static inline size_t lens_char_bytes(const unsigned char *p, const unsigned char *end) {
    unsigned char lead = *p, low = 0x80, high = 0xBF;
    size_t n, need = lead < 0xC2 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : lead < 0xF5 ? 3 : 0;
    if (lead == 0xE0) low = 0xA0;
    else if (lead == 0xED) high = 0x9F;
    else if (lead == 0xF0) low = 0x90;
    else if (lead == 0xF4) high = 0x8F;
    for (n = 1; n <= need && p + n < end; n++) {
        if (p[n] < low || p[n] > high) break;
        low = 0x80;
        high = 0xBF;
    }
    return n;
}

static inline uint64_t lens_count_chars(const unsigned char *p, const unsigned char *end) {
    uint64_t chars = 0;
    while (p < end) {
        uint64_t x;
        if (end - p >= 8 && (memcpy(&x, p, 8), !(x & LENS_EACH_BYTE(0x80)))) {
            p += 8;
            chars += 8;
            continue;
        }
        p += *p < 0x80 ? 1 : lens_char_bytes(p, end);
        chars++;
    }
    return chars;
}

static inline int lens_is_high(int32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
static inline int lens_is_low(int32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

/* The escape at p (lens_string_end has checked it): its code point in *point, and the bytes it takes. */
static inline size_t lens_unescape_one(const unsigned char *p, const unsigned char *end, int32_t *point) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at;
    LENS_ASSERT(end - p >= 2);
    if (p[1] != 'u') {
        at = strchr(from, p[1]);
        *point = at ? to[at - from] : p[1];
        return 2;
    }
    LENS_ASSERT(end - p >= 6);
    *point = lens_hex4(p + 2);
    if (lens_is_high(*point) && end - p >= 12 && p[6] == '\\' && p[7] == 'u' && lens_is_low(lens_hex4(p + 8))) {
        *point = 0x10000 + ((*point - 0xD800) << 10) + (lens_hex4(p + 8) - 0xDC00);
        return 12;
    }
    return 6;
}

/* The same for a string with escapes; a surrogate pair is one character. */
static inline uint64_t lens_count_escaped(const unsigned char *p, const unsigned char *end) {
    uint64_t chars = 0;
    int32_t point;
    while (p < end) {
        const unsigned char *stop = (const unsigned char *)memchr(p, '\\', (size_t)(end - p));
        if (!stop) return chars + lens_count_chars(p, end);
        chars += lens_count_chars(p, stop) + 1;
        p = stop + lens_unescape_one(stop, end, &point);
    }
    return chars;
}

/* UTF-8 of a code point; a lone surrogate becomes three bytes that equal no text. Returns their number. */
static inline size_t lens_put_char(unsigned char *to, int32_t point) {
    uint32_t c = (uint32_t)point;
    if (c < 0x80) return to[0] = (unsigned char)c, 1;
    if (c < 0x800) return to[0] = (unsigned char)(0xC0 | c >> 6), to[1] = (unsigned char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        to[0] = (unsigned char)(0xE0 | c >> 12);
        to[1] = (unsigned char)(0x80 | (c >> 6 & 63));
        to[2] = (unsigned char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (unsigned char)(0xF0 | c >> 18);
    to[1] = (unsigned char)(0x80 | (c >> 12 & 63));
    to[2] = (unsigned char)(0x80 | (c >> 6 & 63));
    to[3] = (unsigned char)(0x80 | (c & 63));
    return 4;
}

/* Does the JSON string content [p, end) spell these n bytes of UTF-8? */
static inline int lens_string_equals(const unsigned char *p, const unsigned char *end, int escaped,
                                     const unsigned char *text, size_t n) {
    size_t i = 0, k, taken;
    int32_t point;
    unsigned char utf8[4];
    if (!escaped) return (size_t)(end - p) == n && memcmp(p, text, n) == 0;
    while (p < end) {
        if (*p != '\\') {
            if (i >= n || text[i] != *p) return 0;
            i++, p++;
            continue;
        }
        taken = lens_unescape_one(p, end, &point);
        k = lens_put_char(utf8, point);
        if (n - i < k || memcmp(text + i, utf8, k)) return 0;
        i += k;
        p += taken;
    }
    return i == n;
}

#endif
