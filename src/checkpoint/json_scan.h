/* json_scan.h: what checking JSON and looking into it share. */
#ifndef HC_JSON_SCAN_H
#define HC_JSON_SCAN_H

#include "checkpoint/json.h"

#include <string.h>

static inline int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static inline int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Stands for itself, whatever follows. */
static inline int is_plain(char c) { return (unsigned char)c < 0x80 && c != '\\'; }

static inline int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Past the bytes of a string that stand for themselves: ASCII, eight at a time, and neither a quotation mark nor a
 * backslash nor a control character. What is left of the eight is for the caller, byte by byte. */
static inline const char *skip_plain(const char *at, const char *end)
{
    const uint64_t each = 0x0101010101010101, high = 0x80 * each;
    for (; end - at >= 8; at += 8) {
        uint64_t x;
        memcpy(&x, at, sizeof x);
        uint64_t quote = x ^ each * '"', backslash = x ^ each * '\\';
        if ((x | ((x - each * 0x20) & ~x) | ((quote - each) & ~quote) | ((backslash - each) & ~backslash)) & high)
            break;
    }
    return at;
}

/* Four hexadecimal digits; -1 if they are not. */
static inline int read_hex4(const char *at, const char *end)
{
    if (end - at < 4) return -1;
    int code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}

static inline hc_json_type type_of(char first)
{
    switch (first) {
    case '{': return HC_JSON_OBJECT;
    case '[': return HC_JSON_ARRAY;
    case '"': return HC_JSON_STRING;
    case 't':
    case 'f': return HC_JSON_BOOL;
    case 'n': return HC_JSON_NULL;
    default: return HC_JSON_NUMBER;
    }
}

#endif
