/* sha2.c: SHA-256, SHA-384 and SHA-512 (FIPS 180-4) of bytes that arrive in pieces, for the `integrity` option.
 * Browsers only hash what is in memory whole, and a weight file never is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* The fractional parts of the cube roots of the first 80 primes; SHA-256 uses the upper halves of the first 64. */
static const uint64_t K[80] = {
    0x428a2f98d728ae22u, 0x7137449123ef65cdu, 0xb5c0fbcfec4d3b2fu, 0xe9b5dba58189dbbcu, 0x3956c25bf348b538u,
    0x59f111f1b605d019u, 0x923f82a4af194f9bu, 0xab1c5ed5da6d8118u, 0xd807aa98a3030242u, 0x12835b0145706fbeu,
    0x243185be4ee4b28cu, 0x550c7dc3d5ffb4e2u, 0x72be5d74f27b896fu, 0x80deb1fe3b1696b1u, 0x9bdc06a725c71235u,
    0xc19bf174cf692694u, 0xe49b69c19ef14ad2u, 0xefbe4786384f25e3u, 0x0fc19dc68b8cd5b5u, 0x240ca1cc77ac9c65u,
    0x2de92c6f592b0275u, 0x4a7484aa6ea6e483u, 0x5cb0a9dcbd41fbd4u, 0x76f988da831153b5u, 0x983e5152ee66dfabu,
    0xa831c66d2db43210u, 0xb00327c898fb213fu, 0xbf597fc7beef0ee4u, 0xc6e00bf33da88fc2u, 0xd5a79147930aa725u,
    0x06ca6351e003826fu, 0x142929670a0e6e70u, 0x27b70a8546d22ffcu, 0x2e1b21385c26c926u, 0x4d2c6dfc5ac42aedu,
    0x53380d139d95b3dfu, 0x650a73548baf63deu, 0x766a0abb3c77b2a8u, 0x81c2c92e47edaee6u, 0x92722c851482353bu,
    0xa2bfe8a14cf10364u, 0xa81a664bbc423001u, 0xc24b8b70d0f89791u, 0xc76c51a30654be30u, 0xd192e819d6ef5218u,
    0xd69906245565a910u, 0xf40e35855771202au, 0x106aa07032bbd1b8u, 0x19a4c116b8d2d0c8u, 0x1e376c085141ab53u,
    0x2748774cdf8eeb99u, 0x34b0bcb5e19b48a8u, 0x391c0cb3c5c95a63u, 0x4ed8aa4ae3418acbu, 0x5b9cca4f7763e373u,
    0x682e6ff3d6b2b8a3u, 0x748f82ee5defb2fcu, 0x78a5636f43172f60u, 0x84c87814a1f0ab72u, 0x8cc702081a6439ecu,
    0x90befffa23631e28u, 0xa4506cebde82bde9u, 0xbef9a3f7b2c67915u, 0xc67178f2e372532bu, 0xca273eceea26619cu,
    0xd186b8c721c0c207u, 0xeada7dd6cde0eb1eu, 0xf57d4f7fee6ed178u, 0x06f067aa72176fbau, 0x0a637dc5a2c898a6u,
    0x113f9804bef90daeu, 0x1b710b35131c471bu, 0x28db77f523047d84u, 0x32caab7b40c72493u, 0x3c9ebe0a15c9bebcu,
    0x431d67c49c100d4cu, 0x4cc5d4becb3e42b6u, 0x597f299cfc657e2au, 0x5fcb6fab3ad6faecu, 0x6c44198c4a475817u,
};

/* Square roots of the first eight primes: SHA-512, and in their upper halves SHA-256. */
static const uint64_t START[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

/* Of the ninth to sixteenth: SHA-384. */
static const uint64_t START_384[8] = {
    0xcbbb9d5dc1059ed8u, 0x629a292a367cd507u, 0x9159015a3070dd17u, 0x152fecd8f70e5939u,
    0x67332667ffc00b31u, 0x8eb44a8768581511u, 0xdb0c2e0d64f98fa7u, 0x47b5481dbefa4fa4u,
};

typedef struct sha2 {
    int bits;          /* 256, 384 or 512                          */
    uint64_t state[8]; /* SHA-256 keeps its words in the low halves */
    uint64_t length;   /* bytes so far                             */
    uint8_t block[128];
} sha2;

static uint32_t rotate32(uint32_t x, int n) { return x >> n | x << (32 - n); }
static uint64_t rotate64(uint64_t x, int n) { return x >> n | x << (64 - n); }

/* The compression function, the same text at both word sizes: `rounds` of them, and the rotations that the standard
 * names. */
#define COMPRESS(name, word, rotate, rounds, k, s0a, s0b, s0c, s1a, s1b, s1c, e0a, e0b, e0c, e1a, e1b, e1c)           \
    static void name(uint64_t state[8], const uint8_t *bytes)                                                         \
    {                                                                                                                 \
        word w[rounds], v[8];                                                                                         \
        for (size_t i = 0; i < 16; i++) {                                                                             \
            w[i] = 0;                                                                                                 \
            for (size_t j = 0; j < sizeof(word); j++) w[i] = (word)(w[i] << 8 | bytes[i * sizeof(word) + j]);         \
        }                                                                                                             \
        for (int i = 16; i < rounds; i++) {                                                                           \
            word a = w[i - 15], b = w[i - 2];                                                                         \
            w[i] = w[i - 16] + (rotate(a, e0a) ^ rotate(a, e0b) ^ a >> e0c) + w[i - 7] +                              \
                   (rotate(b, e1a) ^ rotate(b, e1b) ^ b >> e1c);                                                      \
        }                                                                                                             \
        for (int i = 0; i < 8; i++) v[i] = (word)state[i];                                                            \
        for (int i = 0; i < rounds; i++) {                                                                            \
            word e = v[4], a = v[0];                                                                                  \
            word t1 =                                                                                                 \
                v[7] + (rotate(e, s1a) ^ rotate(e, s1b) ^ rotate(e, s1c)) + ((e & v[5]) ^ (~e & v[6])) + (k) + w[i];  \
            word t2 = (rotate(a, s0a) ^ rotate(a, s0b) ^ rotate(a, s0c)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2])); \
            memmove(v + 1, v, 7 * sizeof(word));                                                                      \
            v[4] += t1;                                                                                               \
            v[0] = t1 + t2;                                                                                           \
        }                                                                                                             \
        for (int i = 0; i < 8; i++) state[i] = (word)(state[i] + v[i]);                                               \
    }

COMPRESS(compress_256, uint32_t, rotate32, 64, (uint32_t)(K[i] >> 32), 2, 13, 22, 6, 11, 25, 7, 18, 3, 17, 19, 10)
COMPRESS(compress_512, uint64_t, rotate64, 80, K[i], 28, 34, 39, 14, 18, 41, 1, 8, 7, 19, 61, 6)

static size_t block_bytes(const sha2 *hash) { return hash->bits == 256 ? 64 : 128; }

static void compress(sha2 *hash, const uint8_t *block)
{
    if (hash->bits == 256) compress_256(hash->state, block);
    else compress_512(hash->state, block);
}

/* Starts a hash of 256, 384 or 512 bits. NULL when memory is exhausted. */
EXPORT(hc_wasm_sha2_new) sha2 *hc_wasm_sha2_new(int bits)
{
    sha2 *hash = calloc(1, sizeof(sha2));
    if (!hash) return NULL;
    hash->bits = bits;
    for (int i = 0; i < 8; i++) hash->state[i] = bits == 384 ? START_384[i] : bits == 512 ? START[i] : START[i] >> 32;
    return hash;
}

EXPORT(hc_wasm_sha2_update) void hc_wasm_sha2_update(sha2 *hash, const uint8_t *bytes, size_t n)
{
    size_t size = block_bytes(hash), have = hash->length % size;
    hash->length += n;
    while (n) {
        if (!have && n >= size) {
            compress(hash, bytes);
            bytes += size;
            n -= size;
            continue;
        }
        size_t part = n < size - have ? n : size - have;
        memcpy(hash->block + have, bytes, part);
        bytes += part;
        n -= part;
        have += part;
        if (have == size) {
            compress(hash, hash->block);
            have = 0;
        }
    }
}

/* Writes bits / 8 bytes and frees the hash. */
EXPORT(hc_wasm_sha2_finish) void hc_wasm_sha2_finish(sha2 *hash, uint8_t *out)
{
    size_t size = block_bytes(hash), word = size / 16;
    uint64_t bit_length = hash->length * 8;
    uint8_t padding[144] = {0x80};
    size_t n = size - (hash->length + size / 8) % size; /* at least one byte of padding before the length */
    for (int i = 0; i < 8; i++) padding[n + size / 8 - 8 + (size_t)i] = (uint8_t)(bit_length >> (56 - 8 * i));
    hc_wasm_sha2_update(hash, padding, n + size / 8);
    for (size_t i = 0; i < (size_t)hash->bits / 8; i++)
        out[i] = (uint8_t)(hash->state[i / word] >> 8 * (word - 1 - i % word));
    free(hash);
}
