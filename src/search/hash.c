/* hash.c: XXH32 (Collet), which tells whether a row of a file is as it was written. */
#include "search/search.h"

#include <string.h>

static const uint32_t P1 = 0x9e3779b1, P2 = 0x85ebca77, P3 = 0xc2b2ae3d, P4 = 0x27d4eb2f, P5 = 0x165667b1;

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static uint32_t load(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t add_lane(uint32_t sum, uint32_t lane) { return rotate(sum + lane * P2, 13) * P1; }
static uint32_t add_word(uint32_t hash, uint32_t word) { return rotate(hash + word * P3, 17) * P4; }

uint32_t hc_search_hash(float scale, const void *row, size_t bytes, uint32_t seed)
{
    uint32_t first, hash = seed + P5;
    memcpy(&first, &scale, sizeof first);
    const unsigned char *p = row, *end = p + bytes;
    if (bytes >= 12) {
        uint32_t a = add_lane(seed + P1 + P2, first), b = add_lane(seed + P2, load(p)), c = add_lane(seed, load(p + 4)),
                 d = add_lane(seed - P1, load(p + 8));
        for (p += 12; end - p >= 16; p += 16) {
            a = add_lane(a, load(p));
            b = add_lane(b, load(p + 4));
            c = add_lane(c, load(p + 8));
            d = add_lane(d, load(p + 12));
        }
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    }
    hash += (uint32_t)(sizeof first + bytes);
    if (bytes < 12) hash = add_word(hash, first);
    for (; end - p >= 4; p += 4) hash = add_word(hash, load(p));
    for (; p < end; p++) hash = rotate(hash + *p * P5, 11) * P1;
    hash = (hash ^ hash >> 15) * P2;
    hash = (hash ^ hash >> 13) * P3;
    return hash ^ hash >> 16;
}

int hc_search_take(void *to, const void *row, size_t dim, int size, float scale, uint32_t seed, uint32_t hash)
{
    size_t bytes = dim * (size_t)size;
    const unsigned char *p = row;
    if (hc_search_hash(scale, row, bytes, seed) != hash) return 0;
    unsigned lowest = 0;
    for (size_t i = 0; size == 1 && i < bytes; i++) lowest |= p[i] == 0x80;
    if (lowest) return 0;
    memcpy(to, row, bytes);
    return 1;
}
