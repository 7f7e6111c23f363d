/* xxh64.c: XXH64 (Yann Collet, github.com/Cyan4973/xxHash, doc/xxhash_spec.md): a hash at the speed of memory, against
 * damage and not against malice. It tells whether a cached tower is still what was stored.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

static uint64_t read64(const uint8_t *bytes)
{
    uint64_t x;
    memcpy(&x, bytes, sizeof x);
    return x;
}

static uint32_t read32(const uint8_t *bytes)
{
    uint32_t x;
    memcpy(&x, bytes, sizeof x);
    return x;
}

static uint64_t mix(uint64_t lane, uint64_t input) { return rotate(lane + input * P2, 31) * P1; }

static uint64_t xxh64(const uint8_t *bytes, size_t n, uint64_t seed)
{
    const uint8_t *end = bytes + n;
    uint64_t hash = seed + P5;
    if (n >= 32) {
        uint64_t lanes[4] = {seed + P1 + P2, seed + P2, seed, seed - P1};
        for (; end - bytes >= 32; bytes += 32)
            for (int i = 0; i < 4; i++) lanes[i] = mix(lanes[i], read64(bytes + 8 * i));
        hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
        for (int i = 0; i < 4; i++) hash = (hash ^ mix(0, lanes[i])) * P1 + P4;
    }
    hash += n;
    for (; end - bytes >= 8; bytes += 8) hash = rotate(hash ^ mix(0, read64(bytes)), 27) * P1 + P4;
    if (end - bytes >= 4) {
        hash = rotate(hash ^ read32(bytes) * P1, 23) * P2 + P3;
        bytes += 4;
    }
    for (; bytes < end; bytes++) hash = rotate(hash ^ *bytes * P5, 11) * P1;
    hash = (hash ^ hash >> 33) * P2;
    hash = (hash ^ hash >> 29) * P3;
    return hash ^ hash >> 32;
}

/* *hash: the seed, and then the hash of n bytes. Blocks are chained by seeding each one with the hash of those before.
 */
EXPORT(hc_wasm_xxh64) void hc_wasm_xxh64(uint64_t *hash, const uint8_t *bytes, size_t n)
{
    *hash = xxh64(bytes, n, *hash);
}
