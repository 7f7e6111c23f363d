/* sparse.h: files of any size that are mostly zeros, in memory. As bytes they are pieces: how many zeros come first (8
 * bytes, little-endian), how many bytes follow (4 bytes), those bytes. weights-tools/golden_torch.py writes them. */
#ifndef SPARSE_H
#define SPARSE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SPARSE_PIECES = 64 };

typedef struct sparse_piece {
    uint64_t offset;
    const uint8_t *bytes;
    size_t length;
} sparse_piece;

typedef struct sparse_file {
    sparse_piece pieces[SPARSE_PIECES]; /* point into what was parsed */
    int count;
    uint64_t size;
} sparse_file;

static inline sparse_file sparse_whole(const void *bytes, size_t length)
{
    return (sparse_file){.pieces = {{0, bytes, length}}, .count = 1, .size = length};
}

/* Whatever the bytes, a file: pieces that are cut short are shorter. */
static inline sparse_file sparse_parse(const uint8_t *bytes, size_t length)
{
    sparse_file file = {.count = 0};
    for (size_t at = 0; length - at >= 12 && file.count < SPARSE_PIECES;) {
        uint64_t zeros = 0, n = 0;
        for (int i = 8; i--;) zeros = zeros << 8 | bytes[at + (size_t)i];
        for (int i = 4; i--;) n = n << 8 | bytes[at + 8 + (size_t)i];
        at += 12;
        if (n > length - at) n = length - at;
        file.size += zeros % ((uint64_t)1 << 56);
        file.pieces[file.count++] = (sparse_piece){file.size, bytes + at, (size_t)n};
        file.size += n;
        at += (size_t)n;
    }
    return file;
}

/* Bytes [offset, offset + n) of the file, in a block of just that size, to be freed. */
static inline uint8_t *sparse_read(const sparse_file *file, uint64_t offset, size_t n)
{
    uint8_t *out = calloc(n + !n, 1);
    for (int i = 0; out && i < file->count; i++) {
        const sparse_piece *piece = &file->pieces[i];
        uint64_t begin = piece->offset > offset ? piece->offset : offset;
        uint64_t end = piece->offset + piece->length < offset + n ? piece->offset + piece->length : offset + n;
        if (begin < end) memcpy(out + (begin - offset), piece->bytes + (begin - piece->offset), (size_t)(end - begin));
    }
    return out;
}

#endif
