/* sha256.h: SHA-256 (FIPS 180-4) of a short text or of bytes, as hexadecimal digits. */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first 32 bits of the fractional part of the square (root 2) or cube (root 3) root of n, which is below 8. */
static inline uint32_t root_bits(int n, int root)
{
    uint64_t low = 0, high = (uint64_t)8 << 32; /* with 32 fractional bits */
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        unsigned __int128 power = (unsigned __int128)middle * middle * (root == 3 ? middle : 1);
        if (power >> (32 * root) < (unsigned)n) low = middle;
        else high = middle;
    }
    return (uint32_t)low;
}

static inline void sha256_bytes(const void *bytes, size_t length, char hex[65])
{
    uint32_t k[64], h[8];
    for (int n = 2, count = 0; count < 64; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++) prime &= n % d != 0;
        if (!prime) continue;
        k[count] = root_bits(n, 3);
        if (count < 8) h[count] = root_bits(n, 2);
        count++;
    }
    size_t padded = (length + 9 + 63) / 64 * 64;
    uint8_t *message = calloc(1, padded);
    memcpy(message, bytes, length);
    message[length] = 0x80;
    for (int i = 0; i < 8; i++) message[padded - 1 - (size_t)i] = (uint8_t)((uint64_t)length * 8 >> (8 * i));
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
    for (size_t at = 0; at < padded; at += 64) {
        uint32_t w[64], v[8];
        for (size_t i = 0; i < 16; i++) {
            const uint8_t *p = message + at + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        }
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7] + (ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3) +
                   (ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t first = v[7] + (ROTATE(v[4], 6) ^ ROTATE(v[4], 11) ^ ROTATE(v[4], 25)) +
                             ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
            uint32_t second = (ROTATE(v[0], 2) ^ ROTATE(v[0], 13) ^ ROTATE(v[0], 22)) +
                              ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += first;
            v[0] = first + second;
        }
        for (int i = 0; i < 8; i++) h[i] += v[i];
    }
#undef ROTATE
    free(message);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", h[i]);
}

static inline void sha256(const char *text, char hex[65]) { sha256_bytes(text, strlen(text), hex); }

#endif
