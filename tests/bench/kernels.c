/* kernels.c: times the kernels. Natively a program that prints a table; for WebAssembly a module that
 * tests/bench/kernels.mjs calls: `prepare` a GEMM of one kind and shape, then `repeat` it. */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

enum { F32, F16, F16_EXACT, I8, I8_QUADS, I4, I4_QUADS, ATTENTION, ATTENTION_EXACT, GELU, KINDS };

static struct {
    int kind, m, n, k;
    hc_matrix w;
    hc_rows rows;
    float *a, *bias, *out, *scratch;
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

/* 0 if there is no such kind of job. The shape of attention is m tokens of 64 in one head; of GELU, m × n values. */
static int start(int kind, int m, int n, int k)
{
    if (kind >= KINDS) return 0;
    size_t count = hc_round_up((size_t)n, HC_PANEL) * hc_round_up((size_t)k, HC_GROUP);
    free(job.w.data);
    free(job.w.scale);
    free(job.w.sum);
    free(job.w.group_scale);
    free(job.w.total);
    free(job.rows.q);
    free(job.rows.x);
    free(job.rows.scale);
    free(job.rows.zero);
    free(job.a);
    free(job.bias);
    free(job.out);
    free(job.scratch);
    job.kind = kind;
    job.m = m;
    job.n = n;
    job.k = k;
    job.w = (hc_matrix){.n = n,
                        .k = k,
                        .storage = kind == F32         ? HC_STORE_F32
                                   : kind <= F16_EXACT ? HC_STORE_F16
                                   : kind <= I8_QUADS  ? HC_STORE_I8
                                                       : HC_STORE_I4};
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
                         .dot = kind == I8_QUADS || kind == I4_QUADS ? HC_DOT_QUADS : HC_DOT_PAIRS};
    job.rows.scale = allocate((size_t)m * sizeof(float));
    job.rows.zero = allocate((size_t)m * sizeof(int32_t));
    job.a = random_floats((size_t)m * (size_t)(k > 192 ? k : 192));
    hc_rows_lay(&job.rows, &job.w, m,
                allocate(hc_rows_bytes((uint64_t)m, (uint64_t)k, hc_is_quantised(job.w.storage))));
    job.bias = random_floats((size_t)n + HC_PANEL);
    job.out = random_floats((size_t)m * (size_t)(n > 64 ? n : 64));
    job.scratch = random_floats(hc_attention_scratch(m, 64));
    return 1;
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
    } else if (job.kind == GELU) {
        hc_activate(HC_GELU, job.out, (size_t)job.m * (size_t)job.n);
    } else {
        for (int r = 0; r < job.m; r++) hc_rows_put(&job.rows, r, job.a + (size_t)r * (size_t)job.k);
        hc_gemm(NULL, &job.w, &job.rows, &e, job.out, (size_t)job.n);
    }
}

#ifdef __wasm__
__attribute__((export_name("prepare"))) int prepare(int kind, int m, int n, int k) { return start(kind, m, n, k); }

__attribute__((export_name("repeat"))) void repeat(int times)
{
    while (times-- > 0) run();
}
#else
#include <stdio.h>
#include <time.h>

/* Of processor time, so that what else runs on the machine matters less. */
static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Operations: two a multiply-add; one a value for GELU. */
static double operations(int kind, int m, int n, int k)
{
    return kind == ATTENTION || kind == ATTENTION_EXACT ? 4.0 * m * m * 64
           : kind == GELU                               ? (double)m * n
                                                        : 2.0 * m * n * k;
}

int main(void)
{
    static const char *const names[KINDS] = {"f32",        "f16",        "f16 exact", "int8 pairs",      "int8 quads",
                                             "int4 pairs", "int4 quads", "attention", "attention exact", "GELU"};
    static const int shapes[][3] = {{50, 3072, 768}, {50, 768, 3072}, {197, 3072, 768}, {8, 3072, 768}, {1, 3072, 768}};
    printf("10^9 operations a second, best of runs    ");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        printf("%5d x %4d x %4d", shapes[s][0], shapes[s][1], shapes[s][2]);
    for (int kind = 0; kind < KINDS; kind++) {
        printf("\n%-42s", names[kind]);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
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
    return 0;
}
#endif
