/* hash.c: XXH32 (Collet), which tells whether a row of a file is as it was written. */
#include "search/search.h"

static const uint32_t P1 = 0x9e3779b1, P2 = 0x85ebca77, P3 = 0xc2b2ae3d, P4 = 0x27d4eb2f, P5 = 0x165667b1;

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static uint32_t load(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t round_of(uint32_t sum, const unsigned char *p) { return rotate(sum + load(p) * P2, 13) * P1; }

uint32_t hc_search_hash(const void *bytes, size_t count, uint32_t seed)
{
    const unsigned char *p = bytes, *end = p + count;
    uint32_t hash = seed + P5;
    if (count >= 16) {
        uint32_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        for (; end - p >= 16; p += 16) {
            a = round_of(a, p);
            b = round_of(b, p + 4);
            c = round_of(c, p + 8);
            d = round_of(d, p + 12);
        }
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    }
    hash += (uint32_t)count;
    for (; end - p >= 4; p += 4) hash = rotate(hash + load(p) * P3, 17) * P4;
    for (; p < end; p++) hash = rotate(hash + *p * P5, 11) * P1;
    hash = (hash ^ hash >> 15) * P2;
    hash = (hash ^ hash >> 13) * P3;
    return hash ^ hash >> 16;
}

int hc_search_is_whole(const void *row, size_t dim, int size, uint32_t seed, uint32_t hash)
{
    const unsigned char *bytes = row;
    if (hc_search_hash(bytes, sizeof(float) + dim * (size_t)size, seed) != hash) return 0;
    if (size != 1) return 1;
    unsigned lowest = 0;
    for (size_t i = 0; i < dim; i++) lowest |= bytes[sizeof(float) + i] == 0x80;
    return !lowest;
}
