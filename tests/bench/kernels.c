/* kernels.c: times the kernels. Natively a program that prints a table; for WebAssembly a module that
 * tests/bench/kernels.mjs calls: `prepare` a kernel of one kind and shape, then `repeat` it. */
#include "kernels/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    F32,
    F16,
    F16_EXACT,
    I8,
    I8_QUADS,
    I4,
    I4_QUADS,
    ATTENTION,
    ATTENTION_EXACT,
    GELU,
    CONVOLUTION_F32,
    CONVOLUTION_I8,
    DEPTHWISE,
    DEPTHWISE_7,
    KINDS
};

enum { ROWS_AT_ONCE = 128 }; /* of a convolution */

static int window_of(int kind) { return kind == DEPTHWISE_7 ? 7 : 3; }

static struct {
    int kind, m, n, k, side;
    hc_matrix w;
    hc_rows rows;
    float *a, *bias, *out, *scratch, *range;
} job;

static uint32_t random_state = 1;

static int random_byte(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return (int)(random_state >> 24);
}

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) __builtin_trap();
    memset(p, 0, bytes);
    return p;
}

static float *random_floats(size_t n)
{
    float *x = allocate(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)(random_byte() - 128) / 128;
    return x;
}

static hc_storage storage_of(int kind)
{
    switch (kind) {
    case F16:
    case F16_EXACT: return HC_STORE_F16;
    case I8:
    case I8_QUADS:
    case CONVOLUTION_I8: return HC_STORE_I8;
    case I4:
    case I4_QUADS: return HC_STORE_I4;
    default: return HC_STORE_F32;
    }
}

/* The shape of attention is m tokens of 64 in one head; of GELU, m × n values; of convolutions, m pixels of k channels
 * in n. */
static void start(int kind, int m, int n, int k)
{
    int convolves = kind >= CONVOLUTION_F32;
    if (convolves) {
        k *= window_of(kind) * window_of(kind);
        job.side = (int)sqrt(m);
    }
    size_t count = hc_round_up((size_t)n, HC_PANEL) * hc_round_up((size_t)k, HC_GROUP);
    free(job.w.data);
    free(job.w.scale);
    free(job.w.sum);
    free(job.w.group_scale);
    free(job.w.total);
    free(job.rows.q);
    free(job.rows.x);
    free(job.a);
    free(job.bias);
    free(job.out);
    free(job.scratch);
    free(job.range);
    job.kind = kind;
    job.m = m;
    job.n = n;
    job.k = k;
    job.w = (hc_matrix){.n = n, .k = k, .storage = storage_of(kind)};
    job.w.scale = random_floats((size_t)n + HC_PANEL);
    job.w.sum = allocate(((size_t)n + HC_PANEL) * sizeof(int32_t));
    job.w.group_scale = allocate(hc_group_scales(n, k) * sizeof(uint16_t));
    job.w.total = allocate(((size_t)n + HC_PANEL) * sizeof(float));
    for (size_t i = 0; i < hc_group_scales(n, k); i++) job.w.group_scale[i] = hc_float_to_half(0.01f);
    if (job.w.storage == HC_STORE_F32) {
        job.w.data = random_floats(count);
    } else if (job.w.storage == HC_STORE_F16) {
        uint16_t *data = job.w.data = allocate(count * 2);
        for (size_t i = 0; i < count; i++) data[i] = hc_float_to_half((float)(random_byte() - 128) / 128);
    } else {
        int8_t *data = job.w.data = allocate(count);
        for (size_t i = 0; i < count; i++)
            data[i] = (int8_t)((random_byte() + random_byte() + random_byte() + random_byte() - 510) / 5);
    }
    job.rows = (hc_rows){.exact = kind == F16_EXACT,
                         .apart = kind < CONVOLUTION_F32,
                         .dot = kind == I8_QUADS || kind == I4_QUADS ? HC_DOT_QUADS : HC_DOT_PAIRS};
    job.a = random_floats((size_t)m * (size_t)(k > 192 ? k : 192));
    hc_rows_lay(&job.rows, &job.w, m,
                allocate(hc_rows_bytes((uint64_t)m, (uint64_t)k, hc_is_quantised(job.w.storage), job.rows.apart)));
    job.bias = random_floats((size_t)n + HC_PANEL);
    job.out = random_floats((size_t)m * (size_t)(n > 64 ? n : 64));
    /* Enough for a band of a depthwise convolution, too. */
    size_t scratch = convolves ? (size_t)k + (1 << 15) : (size_t)hc_attention_scratch(m, 64);
    job.scratch = random_floats(scratch);
    job.range = random_floats(2 * (size_t)m);
}

static void convolve(const hc_epilogue *e)
{
    int size = window_of(job.kind), channels = job.k / (size * size), quantised = hc_is_quantised(job.w.storage);
    hc_grid grid = {job.a, job.side, job.side, channels, quantised ? job.range : NULL};
    hc_window window = {size, size, 1, size / 2, job.side};
    if (job.kind >= DEPTHWISE) {
        hc_matrix w = {.n = channels, .k = size * size, .storage = HC_STORE_F32, .data = job.w.data};
        int band = hc_depthwise_band(&window);
        for (int panel = 0; panel < channels / HC_PANEL; panel++)
            for (int y = 0; y < job.side; y += band)
                hc_depthwise(&grid, &window, &w, 0, e, panel, y, y + band < job.side ? y + band : job.side, job.scratch,
                             job.out);
        return;
    }
    if (quantised) hc_grid_range(&grid, 0, job.m, job.range);
    for (int at = 0, n; at < job.m; at += n) {
        n = job.m - at < ROWS_AT_ONCE ? job.m - at : ROWS_AT_ONCE;
        hc_rows_lay(&job.rows, &job.w, n, quantised ? (void *)job.rows.q : (void *)job.rows.x);
        hc_rows_put_windows(&job.rows, 0, n, &grid, &window, at, job.scratch);
        hc_gemm(NULL, &job.w, &job.rows, e, job.out + (size_t)at * (size_t)job.n, (size_t)job.n);
    }
}

/* The GEMM's time includes putting its rows in their order, as in a tower. */
static void run(void)
{
    hc_epilogue e = {.bias = job.bias};
    if (job.kind == ATTENTION || job.kind == ATTENTION_EXACT) {
        hc_attention t = {
            .q = job.a,
            .k = job.a + 64,
            .v = job.a + 128,
            .q_stride = 192,
            .kv_stride = 192,
            .q_rows = job.m,
            .kv_rows = job.m,
            .head_dim = 64,
            .scale = 0.125f,
            .exact = job.kind == ATTENTION_EXACT,
            .out = job.out,
            .out_stride = 64,
            .scratch = job.scratch,
        };
        hc_attention_head(&t);
    } else if (job.kind >= CONVOLUTION_F32) {
        convolve(&e);
    } else if (job.kind == GELU) {
        hc_activate(HC_GELU, job.out, (size_t)job.m * (size_t)job.n);
    } else {
        for (int r = 0; r < job.m; r++) hc_rows_put(&job.rows, r, job.a + (size_t)r * (size_t)job.k);
        hc_gemm(NULL, &job.w, &job.rows, &e, job.out, (size_t)job.n);
    }
}

#ifdef __wasm__
__attribute__((export_name("prepare"))) void prepare(int kind, int m, int n, int k) { start(kind, m, n, k); }

__attribute__((export_name("repeat"))) void repeat(int times)
{
    while (times-- > 0) run();
}
#else
#include <stdio.h>
#include <time.h>

/* Of processor time, so that what else runs on the machine matters less. */
static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static const char *const NAMES[KINDS] = {
    "f32",        "f16",         "f16 exact",       "int8 pairs",      "int8 quads",
    "int4 pairs", "int4 quads",  "attention",       "attention exact", "GELU",
    "3 x 3, f32", "3 x 3, int8", "depthwise 3 x 3", "depthwise 7 x 7"};

/* Operations: two a multiply-add; one a value for GELU. */
static double operations(int kind, int m, int n, int k)
{
    switch (kind) {
    case ATTENTION:
    case ATTENTION_EXACT: return 4.0 * m * m * 64;
    case GELU: return (double)m * n;
    case CONVOLUTION_F32:
    case CONVOLUTION_I8: return 18.0 * m * n * k;
    case DEPTHWISE:
    case DEPTHWISE_7: return 2.0 * window_of(kind) * window_of(kind) * m * k;
    default: return 2.0 * m * n * k;
    }
}

static void print_table(int first, int last, const int (*shapes)[3], int count)
{
    printf("10^9 operations a second, best of runs    ");
    for (int s = 0; s < count; s++) printf("%5d x %4d x %4d", shapes[s][0], shapes[s][1], shapes[s][2]);
    for (int kind = first; kind < last; kind++) {
        printf("\n%-42s", NAMES[kind]);
        for (int s = 0; s < count; s++) {
            int m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            double best = 1e9, all = 0;
            start(kind, m, n, k);
            for (int times = 1; all < 0.15;) {
                double before = seconds();
                for (int i = 0; i < times; i++) run();
                double took = seconds() - before;
                best = took > 0.001 && took / times < best ? took / times : best;
                all += took;
                times *= took < 0.002 ? 2 : 1;
            }
            printf("%18.1f", operations(kind, m, n, k) / best * 1e-9);
            fflush(stdout);
        }
    }
    printf("\n");
}

int main(void)
{
    static const int gemms[][3] = {{50, 3072, 768}, {50, 768, 3072}, {197, 3072, 768}, {8, 3072, 768}, {1, 3072, 768}},
                     grids[][3] = {{3136, 64, 64}, {784, 128, 128}, {196, 256, 256}, {49, 512, 512}};
    print_table(0, CONVOLUTION_F32, gemms, 5);
    print_table(CONVOLUTION_F32, KINDS, grids, 4);
    return 0;
}
#endif
