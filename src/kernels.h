/* kernels.h: the arithmetic of a transformer, one function an operation. Every kernel is written in the 128-bit operations of simd.h.
 *
 * Determinism: all but hc_gemm_f32 with `fused` compute the same bits on every machine and in every build: multiplication and addition are never
 * contracted, sums are taken in an order that depends on the shape alone, and a row's result does not depend on how many rows are computed at once.
 */
#ifndef HC_KERNELS_H
#define HC_KERNELS_H

#include "tensor.h"

typedef enum hc_activation { HC_IDENTITY, HC_GELU, HC_GELU_TANH, HC_QUICK_GELU } hc_activation;

/* What a GEMM does to a value before storing it: out = residual + gamma * activation(sum + bias). */
typedef struct hc_epilogue {
    const float *bias;          /* [n padded], or NULL                                        */
    hc_activation activation;
    const float *gamma;         /* LayerScale [n padded], or NULL                             */
    const float *residual;      /* rows `out_stride` apart, may be `out` itself, or NULL      */
} hc_epilogue;

/* out [m, n] = a [m, k] · wᵀ for w in fp32 or fp16. Strides are in floats. Only n columns of out are written.
 * `fused`: may contract multiply and add where the machine can (faster; last bits differ between machines). */
void hc_gemm_f32(const hc_matrix *w, const float *a, size_t a_stride, int m, const hc_epilogue *epilogue, float *out,
                 size_t out_stride, int fused);

/* The same for w in int8 and quantised activations. The integer part is exact, whatever a->dot says. */
void hc_gemm_i8(const hc_matrix *w, const hc_rows *a, int m, const hc_epilogue *epilogue, float *out, size_t out_stride);

/* The same for w in int4: each group's sum is exact, and groups are scaled and added in the order of k. */
void hc_gemm_i4(const hc_matrix *w, const hc_rows *a, int m, const hc_epilogue *epilogue, float *out, size_t out_stride);

/* Rows to 7 bits: scale = (max - min) / 127 over the row and zero, so that 0 is exact; q = round-half-even(x * (1 / scale)) + zero. A row of zeros (or all below
 * 1e-35) gets scale 0 and zeros; a row with a NaN or an infinity gets scale NaN. */
void hc_quantise_rows(const float *x, size_t stride, int rows, int k, const hc_rows *out);

/* LayerNorm over n with the biased variance, as torch: (x - mean) / sqrt(var + eps) * weight + bias. out may be x. */
void hc_layer_norm(const float *x, size_t stride, int rows, int n, const float *weight, const float *bias, float eps,
                   float *out, size_t out_stride);

/* LayerNorm and hc_quantise_rows in one pass; `row` is scratch of n floats, padded. */
void hc_layer_norm_quantise(const float *x, size_t stride, int rows, int n, const float *weight, const float *bias, float eps,
                            float *row, const hc_rows *out);

/* One head of softmax(scale · q kᵀ + mask) v. Strides are in floats. */
typedef struct hc_attention {
    const float *q, *k, *v;
    size_t q_stride, kv_stride;
    int q_rows, kv_rows, head_dim;
    float scale;
    int causal;                /* query i sees keys 0 … q_first + i; the masked part is not computed */
    int q_first;
    const uint8_t *hidden;     /* [kv_rows], not 0: no query sees this key; or NULL. A query that sees none gets 0 */
    float *out;                /* [q_rows, head_dim]                                                  */
    size_t out_stride;
    float *scratch;            /* hc_attention_scratch floats, for head_dim and as many kv_rows or more */
} hc_attention;

size_t hc_attention_scratch(int kv_rows, int head_dim);
void hc_attention_head(const hc_attention *args);

/* x / max(‖x‖₂, 1e-12), as torch.nn.functional.normalize. In place. */
void hc_normalise(float *x, int n);

float hc_half_to_float(uint16_t half);
uint16_t hc_float_to_half(float value);                       /* round to nearest even; overflow to infinity  */
void hc_halves_to_floats(const uint16_t *from, float *to, size_t n);

/* Elementwise, for tests and rare uses: y[i] = activation(x[i]). Errors against the exact function are stated in math.c. */
void hc_activate(hc_activation activation, float *x, size_t n);
float hc_expf(float x);

#endif
