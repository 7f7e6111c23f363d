/* epilogue.c: what a GEMM does to its sums before they are stored, all in one pass: scale and zero point, BatchNorm's
 * scale, bias, activation, LayerScale, residual. */
#include "kernels/gemm.h"
#include "kernels/vmath.h"

typedef struct part {
    const hc_epilogue *e;
    const hc_matrix *w;
    const float *a_scale; /* of the rows */
    const int32_t *a_zero;
    float *sums;
    int rows, width, column, columns; /* columns: a multiple of four */
    float *out;                       /* at the first column, as `residual` is */
    const float *residual;
    size_t stride;
} part;

/* What four sums stand for. int8: with w = scale_w q_w and a = scale_a (q_a - zero), the sum over k is scale_w scale_a
 * (sum of q_a q_w - zero * sum of q_w), and all but the scales is exact. int4: scale_a (sum of q_a w - zero * sum of
 * w). */
SIMD_INLINE f32x4 value(hc_storage storage, const part *p, int r, const float *sum, f32x4 scale, f32x4 total,
                        i32x4 exact_total)
{
    switch (storage) {
    case HC_STORE_I8:
        return scale * p->a_scale[r] *
               f32_from_i32(i32_load((const int32_t *)(const void *)sum) - p->a_zero[r] * exact_total);
    case HC_STORE_I4: return (f32_load(sum) - total * (float)p->a_zero[r]) * p->a_scale[r];
    default: return f32_load(sum);
    }
}

/* Two loops over sums that lie in the first-level cache, so that there is a copy of the first for each kind of weights
 * and one of the second for each activation, and no switch in either. */
SIMD_INLINE void scale_sums(hc_storage storage, const part *from)
{
    const part own = *from, *p = &own; /* in registers, as no store can change it */
    const hc_epilogue *e = p->e;
    for (int c = 0; c < p->columns; c += 4) {
        int column = p->column + c;
        f32x4 factor = e->scale ? f32_load(e->scale + column) : f32_splat(1);
        f32x4 bias = e->bias ? f32_load(e->bias + column) : f32_splat(0);
        f32x4 scale = storage == HC_STORE_I8 ? f32_load(p->w->scale + column) : f32_splat(0);
        f32x4 total = storage == HC_STORE_I4 ? f32_load(p->w->total + column) : f32_splat(0);
        i32x4 exact_total = storage == HC_STORE_I8 ? i32_load(p->w->sum + column) : i32_splat(0);
        for (int r = 0; r < p->rows; r++) {
            float *sum = p->sums + r * p->width + c;
            f32_store(sum, value(storage, p, r, sum, scale, total, exact_total) * factor + bias);
        }
    }
}

SIMD_INLINE void finish(hc_activation activation, const part *from)
{
    const part own = *from, *p = &own;
    const hc_epilogue *e = p->e;
    const float *before = e->activate_last ? p->residual : NULL, *after = e->activate_last ? NULL : p->residual;
    for (int c = 0; c < p->columns; c += 4) {
        f32x4 gamma = e->gamma ? f32_load(e->gamma + p->column + c) : f32_splat(1);
        for (int r = 0; r < p->rows; r++) {
            size_t at = (size_t)r * p->stride + (size_t)c;
            f32x4 y = f32_load(p->sums + r * p->width + c);
            if (before) y = f32_load(before + at) + y;
            y = f32_activate(activation, y) * gamma;
            f32_store(p->out + at, after ? f32_load(after + at) + y : y);
        }
    }
}

static void apply_part(const part *p)
{
    switch (p->w->storage) {
    case HC_STORE_I8: scale_sums(HC_STORE_I8, p); break;
    case HC_STORE_I4: scale_sums(HC_STORE_I4, p); break;
    default: scale_sums(HC_STORE_F32, p);
    }
    switch (p->e->activation) {
    case HC_IDENTITY: finish(HC_IDENTITY, p); break;
    case HC_GELU: finish(HC_GELU, p); break;
    case HC_GELU_TANH: finish(HC_GELU_TANH, p); break;
    case HC_QUICK_GELU: finish(HC_QUICK_GELU, p); break;
    case HC_RELU: finish(HC_RELU, p); break;
    case HC_SILU: finish(HC_SILU, p); break;
    }
}

/* The last columns, where they are fewer than four, elsewhere: no vector must reach beyond a row's end. */
static void apply_last(part p, int columns)
{
    float last[HC_BLOCK_ROWS][4] = {{0}}, *out = p.out;
    size_t stride = p.stride, bytes = (size_t)columns * sizeof *out;
    for (int r = 0; p.residual && r < p.rows; r++) memcpy(last[r], p.residual + (size_t)r * stride, bytes);
    p.out = last[0];
    p.residual = p.residual ? last[0] : NULL;
    p.stride = 4;
    apply_part(&p);
    for (int r = 0; r < p.rows; r++) memcpy(out + (size_t)r * stride, last[r], bytes);
}

void hc_epilogue_apply(const hc_epilogue *epilogue, const hc_matrix *w, const hc_rows *a, float *sums, int first_row,
                       int rows, int width, int column, int columns, float *out, size_t out_stride)
{
    part p = {.e = epilogue,
              .w = w,
              .a_scale = a->q ? a->scale + first_row : NULL,
              .a_zero = a->q ? a->zero + first_row : NULL,
              .sums = sums,
              .rows = rows,
              .width = width,
              .column = column,
              .columns = columns / 4 * 4,
              .out = out + column,
              .residual = epilogue->residual ? epilogue->residual + column : NULL,
              .stride = out_stride};
    apply_part(&p);
    int done = p.columns;
    if (done == columns) return;
    p.sums += done;
    p.column += done;
    p.columns = 4;
    p.out += done;
    if (p.residual) p.residual += done;
    apply_last(p, columns - done);
}
