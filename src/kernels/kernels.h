/* kernels.h: the arithmetic of a transformer, one function an operation. Every kernel is written in the 128-bit
 * operations of simd.h.
 *
 * Determinism: kernels compute the same bits on every machine, in every build and on any number of threads: sums are
 * taken in an order that depends on the shape alone, a row's result does not depend on how many rows are computed at
 * once, nor on who computes it, and multiplication and addition are contracted only where the product is exact, so that
 * rounding it before or not is the same. What is not `exact` (GEMM of fp32 rows, attention) contracts more, where the
 * machine can, and differs in last bits between machines that can and others.
 */
#ifndef HC_KERNELS_H
#define HC_KERNELS_H

#include "kernels/parallel.h"
#include "kernels/rows.h"
#include "kernels/tensor.h"

typedef enum hc_activation { HC_IDENTITY, HC_GELU, HC_GELU_TANH, HC_QUICK_GELU, HC_RELU, HC_SILU } hc_activation;

/* What a GEMM or a convolution does to a sum before storing it: out = residual + gamma * activation(scale * sum +
 * bias), or with `activate_last`, as in a ResNet, out = gamma * activation(residual + scale * sum + bias). */
typedef struct hc_epilogue {
    const float *scale; /* BatchNorm's [n padded], or NULL */
    const float *bias;  /* [n padded], or NULL */
    hc_activation activation;
    int activate_last;
    const float *gamma;    /* LayerScale [n padded], or NULL */
    const float *residual; /* rows `out_stride` apart, may be `out` itself, or NULL */
} hc_epilogue;

/* out [a->count, w->n] = epilogue(a · wᵀ). out_stride is in floats; only w->n columns of out are written. Weights in
 * int8: the integer part is exact, whatever a->dot says; in int4 each group's sum is exact, and groups are scaled and
 * added in the order of k. */
void hc_gemm(hc_threads *threads, const hc_matrix *w, const hc_rows *a, const hc_epilogue *epilogue, float *out,
             size_t out_stride);

/* A row of a table as floats [width]. */
void hc_table_row(const hc_table *table, int row, float *out);

/* LayerNorm over n with the biased variance, as torch: (x - mean) / sqrt(var + eps) * weight + bias. out may be x. */
void hc_layer_norm(const float *x, int n, const float *weight, const float *bias, float eps, float *out);

/* RMSNorm: x / sqrt(mean of x² + eps) * weight; or `centred`, with n of at least 2, timm's SimpleNorm: x / sqrt(var +
 * eps) * weight, the variance that of n - 1 degrees of freedom. out may be x. */
void hc_rms_norm(const float *x, int n, const float *weight, float eps, int centred, float *out);

/* One head of softmax(scale · q kᵀ + bias + mask) v. Strides are in floats. */
typedef struct hc_attention {
    const float *q, *k, *v;
    size_t q_stride, kv_stride;
    /* Query i, and its result, are row q_order[i] of q and out, key and value j row kv_order[j]; NULL: i and j. */
    const int *q_order, *kv_order;
    int q_rows, kv_rows, head_dim;
    float scale;
    int causal; /* query i sees keys 0 … q_first + i; the masked part is not computed */
    int q_first;
    int exact; /* rounds keys and values to 11 bits, queries and weights to 13: products are exact */
    /* bias[j * bias_stride + i] is added to the score of query i and key j; what is beyond q_rows, up to a multiple of
     * HC_PANEL, is loaded and not used; or NULL. */
    const float *bias;
    ptrdiff_t bias_stride;
    const uint8_t *hidden; /* [kv_rows], not 0: no query sees this key; or NULL. A query that sees none gets 0 */
    float *out;            /* [q_rows, head_dim]; may be q where that is one row                  */
    size_t out_stride;
    float *scratch; /* hc_attention_scratch floats, for head_dim and as many kv_rows or more */
} hc_attention;

uint64_t hc_attention_scratch(int kv_rows, int head_dim);
void hc_attention_head(const hc_attention *args);

/* Rotary positions of one row, in place: of each of `heads`, of 2 * half numbers, pairs (a, b) become
 * (a cos - b sin, b cos + a sin). `first` has for the first half of a head's numbers cos cos … of its pairs, then
 * -sin sin …, half numbers each; `second` for the other half. */
void hc_rotate(float *x, int heads, int half, const float *first, const float *second);

/* The same of pairs that lie half a head apart, numbers i and i + half: `first` has for the first half of the pairs
 * their cosines, then their sines, half / 2 numbers each; `second` for the other half. */
void hc_rotate_halves(float *x, int heads, int half, const float *first, const float *second);

/* x / max(‖x‖₂, 1e-12), as torch.nn.functional.normalize. In place. */
void hc_normalise(float *x, int n);

float hc_half_to_float(uint16_t half);
uint16_t hc_float_to_half(float value); /* round to nearest even; overflow to infinity  */
void hc_halves_to_floats(const uint16_t *from, float *to, size_t n);

/* Elementwise, for tests and rare uses: y[i] = activation(x[i]). Errors against the exact function are stated in
 * math.c. */
void hc_activate(hc_activation activation, float *x, size_t n);
float hc_expf(float x);

/* out[i] = activation(x[i] * sigmoid(gate[i])); out may be x. */
void hc_excite_row(hc_activation activation, const float *x, const float *gate, int n, float *out);

#endif
