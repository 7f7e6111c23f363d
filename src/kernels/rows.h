/* rows.h: the left side of a GEMM, rows of activations in the order in which its tiles read them. */
#ifndef HC_ROWS_H
#define HC_ROWS_H

#include "halfclip.h"
#include "kernels/tensor.h"

/* One activation at 7 bits, 0..127: a byte where the machine multiplies bytes, else 16 bits, so that no kernel has to
 * widen it, and which hold an outlier whole. */
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

/* Values of a row for one step of k that lie beyond what 7 bits reach: 128 times these digits, 0..127, have to be added
 * to its levels, or taken from them. */
typedef struct hc_outlier {
    hc_q7 digits[HC_DEPTH];
    uint32_t step;
} hc_outlier;

/* The left side of a GEMM: `count` rows of k values in the order that its tiles read them, so that all of a tile's
 * values for one step of k lie side by side. Rows are cut into as few tiles of at most `most` rows as can be, as even
 * as can be (a tile of one row takes almost as long as one of four). The values of tile t begin at `depth` times the
 * number of its first row:
 *     fp32    [depth][rows of the tile]
 *     7 bits  [depth / 4][rows of the tile][4], for weights in int8 and int4: 0..127 with one scale and zero point a
 *             row, x ≈ scale[row] * (q - zero[row]); filled up with 0 from k to depth, a multiple of HC_GROUP
 *
 * Trained transformers have a few activations that are tens of times larger than the rest, which a scale for all of
 * them would leave with a few levels (Dettmers et al., "LLM.int8()", 2022). With `apart` the scale is that of the rest.
 * What lies beyond it is where it is, if it is `whole`; else it has a second digit: of a row's `outliers`, above[row]
 * from the first on are added, and below[row] from the last on taken away, an even number of each. At most every 32nd
 * step of k has some, but for a few more where they gather. */
typedef struct hc_rows {
    int count, k, most;
    size_t depth;
    int exact; /* fp32: rounded to 13 bits, so that products with halves, of 11 bits, are exact: then it does not matter
                  whether the machine rounds them before it adds them */
    int apart; /* 7 bits: whether outliers are set apart */
    int whole; /* 7 bits, of 16 bits each: an outlier is one level beyond 0..127 */
    hc_dot dot;             /* 7 bits */
    float *x;               /* fp32, else NULL   */
    hc_q7 *q;               /* 7 bits, else NULL */
    float *scale;           /* [count] */
    int32_t *zero;          /* [count] */
    int most_blocks;        /* of a row's that may have outliers; 0: none are set apart */
    int most_outliers;      /* in a row's lists; 0: there are none                      */
    hc_outlier *outliers;   /* [count][most_outliers]            */
    int32_t *above, *below; /* [count]: how many are added, and how many taken away */
} hc_rows;

static inline int hc_tile_count(int rows, int most) { return (rows + most - 1) / most; }
static inline int hc_tile_first(int rows, int tiles, int tile) { return (int)((int64_t)rows * tile / tiles); }
static inline int hc_tile_of(int rows, int tiles, int row) { return (int)((((int64_t)row + 1) * tiles - 1) / rows); }

/* Bytes of `count` rows, with what belongs to them. */
uint64_t hc_rows_bytes(uint64_t count, uint64_t k, int quantised, int apart);

/* Says that `rows` are `count` rows for a GEMM with w, which decides how they lie, and that they lie in `memory`:
 * hc_rows_bytes, aligned to HC_ALIGN. `exact`, `apart` and `dot` are set before. */
void hc_rows_lay(hc_rows *rows, const hc_matrix *w, int count, void *memory);

/* Puts one row of k floats in its place. At 7 bits: q = round-half-even(x * (1 / scale)) + zero, where scale =
 * (largest - smallest) / 127 over 0 and the row's values but its outliers, and zero is such that 0 is exact. A row of
 * zeros (or all below 1e-35) gets scale 0 and zeros; a row with a NaN or an infinity gets scale NaN.
 *
 * Outliers are what is larger than a bound, the smallest such that of the row's blocks of 16 values at most one in
 * eight has a larger one, and that no value is more than 120 times as large. */
void hc_rows_put(const hc_rows *rows, int row, const float *x);

/* In fp32 only: the row's values from `first` on, n of them. */
void hc_rows_put_part(const hc_rows *rows, int row, int first, const float *x, int n);

#endif
