/* bytes.h: parts of a file in memory, and the numbers in them (internal to the library). */
#ifndef HC_BYTES_H
#define HC_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct hc_bytes {
    const uint8_t *p;
    size_t n;
} hc_bytes;

/* b[from, from + n), as much of it as there is. */
static inline hc_bytes hc_slice(hc_bytes b, size_t from, size_t n)
{
    if (from > b.n) from = b.n;
    return (hc_bytes){b.p + from, n < b.n - from ? n : b.n - from};
}

static inline hc_bytes hc_skip(hc_bytes b, size_t n) { return hc_slice(b, n, SIZE_MAX); }

static inline int hc_begins(hc_bytes b, const char *text, size_t n) { return b.n >= n && !memcmp(b.p, text, n); }
#define HC_BEGINS(b, text) hc_begins(b, text, sizeof text - 1)

/* Where `text` is found first, or b.n. */
static inline size_t hc_find(hc_bytes b, const char *text, size_t n)
{
    for (size_t i = 0; i + n <= b.n; i++) {
        const uint8_t *hit = memchr(b.p + i, text[0], b.n - i - n + 1);
        if (!hit) break;
        i = (size_t)(hit - b.p);
        if (!memcmp(hit, text, n)) return i;
    }
    return b.n;
}

static inline uint32_t hc_le16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t hc_le32(const uint8_t *p) { return hc_le16(p) | hc_le16(p + 2) << 16; }
static inline uint32_t hc_be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t hc_be32(const uint8_t *p) { return hc_be16(p) << 16 | hc_be16(p + 2); }

#endif
