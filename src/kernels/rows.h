/* rows.h: the left side of a GEMM, rows of activations in the order in which its tiles read them. */
#ifndef HC_ROWS_H
#define HC_ROWS_H

#include "halfclip.h"
#include "kernels/tensor.h"

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

/* The left side of a GEMM: `count` rows of k values in the order that its tiles read them, so that all of a tile's
 * values for one step of k lie side by side. Rows are cut into as few tiles of at most `most` rows as can be, as even
 * as can be (a tile of one row takes almost as long as one of four). The values of tile t begin at `depth` times the
 * number of its first row:
 *     fp32    [depth][rows of the tile]
 *     7 bits  [depth / 4][rows of the tile][4], for weights in int8 and int4: 0..127 with one scale and zero point a
 *             row, x ≈ scale[row] * (q - zero[row]); filled up with 0 from k to depth, a multiple of HC_GROUP
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

/* Says that `rows` are `count` rows for a GEMM with w, which decides how they lie, and that `values` are theirs:
 * hc_rows_bytes of memory. `exact`, `dot`, `scale` and `zero` are set before; scale and zero have room for `count`, and
 * are of no use in fp32. */
void hc_rows_lay(hc_rows *rows, const hc_matrix *w, int count, void *values);

/* Puts one row of k floats in its place. At 7 bits: scale = (max - min) / 127 over the row and zero, so that 0 is
 * exact; q = round-half-even(x * (1 / scale)) + zero. A row of zeros (or all below 1e-35) gets scale 0 and zeros; a row
 * with a NaN or an infinity gets scale NaN. */
void hc_rows_put(const hc_rows *rows, int row, const float *x);

/* In fp32 only: the row's values from `first` on, n of them. */
void hc_rows_put_part(const hc_rows *rows, int row, int first, const float *x, int n);

#endif
