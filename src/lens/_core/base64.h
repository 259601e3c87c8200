/* Strict base64 (RFC 4648, 4, padding required) out of a JSON string, whose "\/" some servers write for "/". */
#ifndef LENS_BASE64_H
#define LENS_BASE64_H

#include "text.h"

static inline int lens_sextet(unsigned char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes the content [p, end) of a JSON string into `to`, which has room for 3 bytes each 4 of it.
   Returns the bytes written, -1 where it is not base64. */
static inline ptrdiff_t lens_base64_decode(const unsigned char *p, const unsigned char *end, unsigned char *to) {
    unsigned char *start = to;
    uint32_t bits = 0;
    int have = 0, padding = 0, value;
    int32_t point;
    while (p < end) {
        if (*p == '\\') {
            p += lens_unescape_one(p, end, &point);
        } else {
            point = *p++;
        }
        if (point == '=' && have >= 2 && have + padding < 4) {
            padding++;
            continue;
        }
        value = point < 128 ? lens_sextet((unsigned char)point) : -1;
        if (value < 0 || padding) return -1;
        bits = bits << 6 | (uint32_t)value;
        if (++have < 4) continue;
        *to++ = (unsigned char)(bits >> 16);
        *to++ = (unsigned char)(bits >> 8);
        *to++ = (unsigned char)bits;
        have = 0;
    }
    if (have == 0) return padding ? -1 : to - start;
    if (have + padding != 4) return -1;
    *to++ = (unsigned char)(bits >> (have == 2 ? 4 : 10));
    if (have == 3) *to++ = (unsigned char)(bits >> 2);
    return to - start;
}

#endif
