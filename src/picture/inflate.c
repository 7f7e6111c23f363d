/* inflate.c: decodes into a buffer that keeps the last 32 kB before what is read next. */
#include "picture/inflate.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum {
    HISTORY = 32768,
    LONGEST = 258, /* bytes of one match */
    BUFFER = 4 * HISTORY,
    FULL = BUFFER - LONGEST - 8, /* a match is copied by eights, and may write so much beyond its end */
    FAST_BITS = 10,
    MOST_BITS = 15,
    CODES = 288
};

/* A canonical Huffman code. Short codes are looked up; longer ones are found by comparing with the first code of each
 * length. */
typedef struct code {
    uint16_t fast[1 << FAST_BITS]; /* symbol << 4 | length; 0: longer, or there is no such code */
    uint16_t symbols[CODES];       /* in the order of their codes */
    uint32_t limit[MOST_BITS + 1]; /* the end of each length's codes, as the top bits of 16 */
    int32_t offset[MOST_BITS + 1]; /* from a code to its place in `symbols` */
} code;

typedef enum state { HEADER, STORED, COMPRESSED, ENDED, FAILED } state;

struct hc_inflate {
    hc_inflate_more *more;
    void *user;
    const uint8_t *next, *end; /* the rest of the piece in hand */
    uint64_t bits;             /* those that come next, the first one lowest */
    unsigned count;            /* how many of them are counted; beyond, they are right or 0 */
    unsigned made_up;          /* bytes of 0 that were added after the end */
    state state;
    int last;        /* no block follows this one */
    uint32_t stored; /* bytes left of a stored block */
    const char *problem;
    size_t read, written; /* in the buffer */
    size_t oldest;        /* the first byte there that there was */
    code lengths, distances;
    uint8_t buffer[BUFFER];
};

hc_inflate *hc_inflate_new(hc_inflate_more *more, void *user)
{
    hc_inflate *z = hc_allocate_zeros(1, sizeof *z);
    if (z) {
        z->more = more;
        z->user = user;
    }
    return z;
}

void hc_inflate_free(hc_inflate *z) { free(z); }

const char *hc_inflate_problem(const hc_inflate *z) { return z->problem; }

static int is_beyond_end(const hc_inflate *z) { return z->made_up * 8 > z->count; }

/* What was decoded so far stays readable. */
static void fail(hc_inflate *z)
{
    z->problem = is_beyond_end(z) ? "ends too early" : "is damaged";
    z->state = FAILED;
}

/* Makes sure of 56 bits; after the end they are 0. */
static inline void refill(hc_inflate *z)
{
    if (z->end - z->next >= 8) {
        uint64_t eight;
        memcpy(&eight, z->next, 8); /* little-endian, as every machine that this runs on */
        z->bits |= eight << z->count;
        z->next += (63 - z->count) >> 3;
        z->count |= 56;
        return;
    }
    while (z->count < 56) {
        if (z->next == z->end && !z->more(z->user, &z->next, &z->end)) {
            z->next = z->end = NULL;
            z->made_up++;
        } else if (z->next == z->end) {
            continue;
        } else {
            z->bits |= (uint64_t)*z->next++ << z->count;
        }
        z->count += 8;
    }
}

static inline uint32_t take(hc_inflate *z, unsigned n)
{
    uint32_t value = (uint32_t)(z->bits & ((UINT64_C(1) << n) - 1));
    z->bits >>= n;
    z->count -= n;
    return value;
}

static uint32_t reverse16(uint32_t v)
{
    v = (v & 0xaaaau) >> 1 | (v & 0x5555u) << 1;
    v = (v & 0xccccu) >> 2 | (v & 0x3333u) << 2;
    v = (v & 0xf0f0u) >> 4 | (v & 0x0f0fu) << 4;
    return (v >> 8 | v << 8) & 0xffffu;
}

/* Builds the code of `n` symbols from their lengths. 0 if there are too many codes, or too few for more than one
 * symbol. */
static int build(code *c, const uint8_t *lengths, int n)
{
    int counts[MOST_BITS + 1] = {0}, places[MOST_BITS + 1];
    for (int i = 0; i < n; i++) counts[lengths[i]]++;
    counts[0] = 0;
    memset(c->fast, 0, sizeof c->fast);
    uint32_t first = 0;
    int place = 0;
    for (int length = 1; length <= MOST_BITS; length++) {
        places[length] = place;
        c->offset[length] = place - (int)first;
        first += (uint32_t)counts[length];
        if (first > 1u << length) return 0;
        c->limit[length] = first << (16 - length);
        first <<= 1;
        place += counts[length];
    }
    if (first != 2u << MOST_BITS && place > 1) return 0;
    for (int i = 0; i < n; i++) {
        const int length = lengths[i];
        if (!length) continue;
        const int at = places[length]++;
        c->symbols[at] = (uint16_t)i;
        if (length <= FAST_BITS)
            for (uint32_t bits = reverse16((uint32_t)(at - c->offset[length])) >> (16 - length); bits < 1u << FAST_BITS;
                 bits += 1u << length)
                c->fast[bits] = (uint16_t)(i << 4 | length);
    }
    return 1;
}

/* The next symbol; -1: there is no such code. Needs 15 bits. */
static inline int symbol(hc_inflate *z, const code *c)
{
    const uint32_t found = c->fast[z->bits & ((1 << FAST_BITS) - 1)];
    if (found) {
        take(z, found & 15);
        return (int)(found >> 4);
    }
    const uint32_t bits = reverse16((uint32_t)z->bits & 0xffff);
    for (int length = FAST_BITS + 1; length <= MOST_BITS; length++)
        if (bits < c->limit[length]) {
            take(z, (unsigned)length);
            return c->symbols[(int32_t)(bits >> (16 - length)) + c->offset[length]];
        }
    return -1;
}

static int read_codes(hc_inflate *z)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[CODES + 32 + 138] = {0};
    const int literals = (int)take(z, 5) + 257, distances = (int)take(z, 5) + 1, count = (int)take(z, 4) + 4;
    for (int i = 0; i < count; i++) {
        refill(z);
        lengths[order[i]] = (uint8_t)take(z, 3);
    }
    if (literals > 286 || distances > 30 || !build(&z->distances, lengths, 19)) return 0;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < literals + distances;) {
        refill(z);
        const int s = symbol(z, &z->distances);
        if (s < 0 || (s == 16 && i == 0)) return 0;
        if (s < 16) {
            lengths[i++] = (uint8_t)s;
            continue;
        }
        const uint8_t value = s == 16 ? lengths[i - 1] : 0;
        for (uint32_t n = s == 16 ? 3 + take(z, 2) : s == 17 ? 3 + take(z, 3) : 11 + take(z, 7); n; n--)
            lengths[i++] = value;
    }
    return lengths[256] && build(&z->lengths, lengths, literals) && build(&z->distances, lengths + literals, distances);
}

/* A block's header, and before the first one zlib's own. */
static int read_header(hc_inflate *z)
{
    refill(z);
    if (!z->written) {
        const uint32_t method = take(z, 8), flags = take(z, 8);
        if ((method & 15) != 8 || method >> 4 > 7 || (method << 8 | flags) % 31 || flags & 32) return 0;
        z->read = z->written = z->oldest = HISTORY;
    }
    if (z->last) {
        z->state = ENDED;
        return 1;
    }
    z->last = (int)take(z, 1);
    z->state = COMPRESSED;
    switch (take(z, 2)) {
    case 0:
        take(z, z->count & 7);
        refill(z);
        z->stored = take(z, 16);
        z->state = STORED;
        return z->stored == (take(z, 16) ^ 0xffff);
    case 1: {
        uint8_t lengths[CODES];
        for (int i = 0; i < CODES; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        build(&z->lengths, lengths, CODES);
        memset(lengths, 5, 32);
        return build(&z->distances, lengths, 32);
    }
    case 2: return read_codes(z);
    default: return 0;
    }
}

static void copy_match(uint8_t *to, size_t distance, size_t n)
{
    const uint8_t *from = to - distance;
    if (distance >= 8) {
        for (size_t i = 0; i < n; i += 8) memcpy(to + i, from + i, 8);
        return;
    }
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

/* Decodes up to the end of the block or until the buffer is full. */
static int decode(hc_inflate *z)
{
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                             2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                               33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                               1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    while (z->written < FULL) {
        const size_t before = z->written;
        refill(z);
        int s = symbol(z, &z->lengths);
        if (s >= 0 && s < 256) {
            z->buffer[z->written++] = (uint8_t)s;
            if (z->made_up) {
                if (!is_beyond_end(z)) continue;
                z->written = before;
                return 0;
            }
            s = symbol(z, &z->lengths); /* 41 bits are left, which is enough for a second one */
            if (s >= 0 && s < 256) {
                z->buffer[z->written++] = (uint8_t)s;
                continue;
            }
            refill(z);
        }
        if (s == 256) {
            z->state = HEADER;
            return !is_beyond_end(z);
        }
        if (s < 0 || s > 285) return 0;
        const size_t n = length_base[s - 257] + take(z, length_extra[s - 257]);
        const int d = symbol(z, &z->distances);
        if (d < 0 || d > 29) return 0;
        const size_t distance = distance_base[d] + take(z, d < 2 ? 0 : (unsigned)(d / 2 - 1));
        if (distance > z->written - z->oldest || is_beyond_end(z)) return 0;
        copy_match(z->buffer + z->written, distance, n);
        z->written += n;
    }
    return 1;
}

static int decode_stored(hc_inflate *z)
{
    for (; z->stored && z->written < FULL; z->stored--) {
        refill(z);
        const uint8_t byte = (uint8_t)take(z, 8);
        if (is_beyond_end(z)) return 0;
        z->buffer[z->written++] = byte;
    }
    if (!z->stored) z->state = HEADER;
    return 1;
}

size_t hc_inflate_read(hc_inflate *z, void *bytes, size_t n)
{
    uint8_t *out = bytes;
    size_t done = 0;
    while (done < n) {
        if (z->read < z->written) {
            const size_t some = z->written - z->read < n - done ? z->written - z->read : n - done;
            memcpy(out + done, z->buffer + z->read, some);
            z->read += some;
            done += some;
            continue;
        }
        if (z->state == ENDED || z->state == FAILED) break;
        if (z->written > 2 * HISTORY) {
            memmove(z->buffer, z->buffer + z->written - HISTORY, HISTORY);
            z->read = z->written = HISTORY;
            z->oldest = 0;
        }
        if (!(z->state == HEADER ? read_header(z) : z->state == STORED ? decode_stored(z) : decode(z))) fail(z);
    }
    if (done < n && !z->problem) z->problem = "ends too early";
    return done;
}
