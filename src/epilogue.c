/* epilogue.c: what a GEMM does to its sums before they are stored: bias, activation, LayerScale, residual. */
#include "tile.h"
#include "vmath.h"

/* One constant activation a call, so that its code is inlined without a switch in the loop. */
SIMD_INLINE void apply(const hc_epilogue *e, hc_activation activation, const float *sums, int width, int rows, int column, int columns, float *out,
                       size_t out_stride)
{
    for (int c = 0; c < columns; c += 4) {
        int valid = columns - c < 4 ? columns - c : 4;
        f32x4 bias = e->bias ? f32_load(e->bias + column + c) : f32_splat(0);
        f32x4 gamma = e->gamma ? f32_load(e->gamma + column + c) : f32_splat(1);
        for (int r = 0; r < rows; r++) {
            size_t at = (size_t)r * out_stride + (size_t)(column + c);
            f32x4 y = f32_activate(activation, f32_load(sums + r * width + c) + bias) * gamma;
            if (valid == 4) {
                f32_store(out + at, e->residual ? f32_load(e->residual + at) + y : y);
            } else {
                for (int i = 0; i < valid; i++)
                    out[at + (size_t)i] = e->residual ? e->residual[at + (size_t)i] + y[i] : y[i];
            }
        }
    }
}

void hc_epilogue_apply(const hc_epilogue *e, const float *sums, int width, int rows, int column, int columns, float *out, size_t out_stride)
{
    switch (e->activation) {
    case HC_IDENTITY:
        apply(e, HC_IDENTITY, sums, width, rows, column, columns, out, out_stride);
        break;
    case HC_GELU:
        apply(e, HC_GELU, sums, width, rows, column, columns, out, out_stride);
        break;
    case HC_GELU_TANH:
        apply(e, HC_GELU_TANH, sums, width, rows, column, columns, out, out_stride);
        break;
    case HC_QUICK_GELU:
        apply(e, HC_QUICK_GELU, sums, width, rows, column, columns, out, out_stride);
        break;
    }
}
