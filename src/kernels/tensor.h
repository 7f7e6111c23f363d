/* tensor.h: how weights and activations lie in memory.
 *
 * Matrices are stored in the order the kernels read them: panels of HC_PANEL output channels, zero padded.
 *     fp32, fp16   [ceil(n/8)][k][8]            one value a channel for each k
 *     int8         [ceil(n/8)][ceil(k/4)][8][4] four consecutive k a channel, so that one 16-byte load feeds a dot
 * product int4         [ceil(n/8)][ceil(k/32)][8][16] groups of 32 k: eight times the 32 values of an int8 block in 16
 * bytes. Byte i holds values i and i + 16 of the block, from -8 to 7, in its low and its high four bits Vectors are
 * fp32, zero padded to a multiple of HC_PANEL, so that a kernel may load whole panels of them. Everything is aligned to
 * HC_ALIGN bytes.
 */
#ifndef HC_TENSOR_H
#define HC_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "halfclip.h"
#include "base/size.h"

enum { HC_PANEL = 8, HC_DEPTH = 4, HC_ALIGN = 16, HC_GROUP = 32 };

/* int4: bytes of a group's 32 values of one channel or row. */
enum { HC_GROUP_BYTES = HC_GROUP / 2 };

typedef enum hc_storage { HC_STORE_F32, HC_STORE_F16, HC_STORE_I8, HC_STORE_I4 } hc_storage;

static inline int hc_is_quantised(hc_storage storage) { return storage >= HC_STORE_I8; }

/* A weight matrix [n, k] (n output channels) in kernel order: out = a · wᵀ. */
typedef struct hc_matrix {
    int n, k;
    hc_storage storage;
    void *data;
    float *scale;          /* int8: w = q * scale[channel]; padded to HC_PANEL with zeros; else NULL            */
    int32_t *sum;          /* int8: sum of q over k for each channel, to undo the activations' zero point; else NULL */
    uint16_t *group_scale; /* int4: w = q * scale, halves [ceil(n/8)][ceil(k/32)][8]; else NULL           */
    float *total;          /* int4: sum of w over k for each channel, for the same purpose; else NULL             */
} hc_matrix;

/* A table [rows, width] that is looked up by row (the token table), in row order; at int4 [rows][ceil(width/32)][16],
 * where byte i of 16 holds values i and i + 16 of a group. */
typedef struct hc_table {
    int rows, width;
    hc_storage storage;
    void *data;
    float *scale;          /* int8: [rows]; else NULL */
    uint16_t *group_scale; /* int4: halves [rows][ceil(width/32)]; else NULL */
} hc_table;

/* One activation at 7 bits, 0..127: a byte where the machine multiplies bytes, else 16 bits, so that no kernel has to
 * widen it. */
#if defined(__wasm_relaxed_simd__) || defined(__SSSE3__)
#define HC_Q7_IS_BYTE 1
typedef uint8_t hc_q7;
#else
typedef int16_t hc_q7;
#endif

/* What a new encoder uses (see hc_encoder_set_dot). */
#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
#define HC_DOT_DEFAULT HC_DOT_QUADS
#else
#define HC_DOT_DEFAULT HC_DOT_PAIRS
#endif

static inline size_t hc_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* The left side of a GEMM: `count` rows of k values in the order that its tiles read them, so that all of a tile's
 * values for one step of k lie side by side. Rows are cut into as few tiles of at most `most` rows as can be, as even
 * as can be (a tile of one row takes almost as long as one of four). The values of tile t begin at `depth` times the
 * number of its first row: fp32    [depth][rows of the tile] 7 bits  [depth / 4][rows of the tile][4], for weights in
 * int8 and int4: 0..127 with one scale and zero point a row, x ≈ scale[row] * (q - zero[row]); filled up with 0 from k
 * to depth, a multiple of HC_GROUP
 */
typedef struct hc_rows {
    int count, k, most;
    size_t depth;
    int exact; /* fp32: rounded to 13 bits, so that products with halves, of 11 bits, are exact: then it does not matter
                  whether the machine rounds them before it adds them */
    hc_dot dot;    /* 7 bits */
    float *x;      /* fp32, else NULL   */
    hc_q7 *q;      /* 7 bits, else NULL */
    float *scale;  /* [count] */
    int32_t *zero; /* [count] */
} hc_rows;

static inline int hc_tile_count(int rows, int most) { return (rows + most - 1) / most; }
static inline int hc_tile_first(int rows, int tiles, int tile) { return (int)((int64_t)rows * tile / tiles); }
static inline int hc_tile_of(int rows, int tiles, int row) { return (int)((((int64_t)row + 1) * tiles - 1) / rows); }

/* Bytes of the values of `count` rows. */
static inline uint64_t hc_rows_bytes(uint64_t count, uint64_t k, int quantised)
{
    return hc_size_product(count, quantised ? hc_size_product(hc_size_round_up(k, HC_GROUP), sizeof(hc_q7))
                                            : hc_size_product(k, sizeof(float)));
}

/* n output channels of a matrix from `first` on, a multiple of HC_PANEL: another view of the same memory. */
hc_matrix hc_matrix_part(const hc_matrix *matrix, int first, int n);

/* Bytes of a matrix's or table's `data` at a storage. */
uint64_t hc_matrix_bytes(int n, int k, hc_storage storage);
uint64_t hc_table_bytes(int rows, int width, hc_storage storage);

/* Groups of one channel of k values, and of a matrix's panels together: how many group_scale are. */
static inline size_t hc_groups(int k) { return ((size_t)k + HC_GROUP - 1) / HC_GROUP; }
static inline size_t hc_group_scales(int n, int k) { return hc_round_up((size_t)n, HC_PANEL) * hc_groups(k); }

#endif
