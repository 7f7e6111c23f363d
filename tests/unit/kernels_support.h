/* kernels_support.h: what the tests of the kernels share: checks that also count in WebAssembly, random numbers,
 * guarded memory, hashes of outputs, weights, epilogues and rows. */
#ifndef KERNELS_SUPPORT_H
#define KERNELS_SUPPORT_H

#include "kernels/levels.h"
#include "reference.h"
#include "kernel_hashes.h"

#include <stdlib.h>
#include <string.h>

#ifdef __wasm__
static int checks_failed, checks_done, first_failed_line;
static const char *first_failed_file;
#define CHECK(condition, ...)                   \
    do {                                        \
        checks_done++;                          \
        if (!(condition) && !checks_failed++) { \
            first_failed_line = __LINE__;       \
            first_failed_file = __FILE__;       \
        }                                       \
    } while (0)
#else
#include "check.h"
#endif

/* ---- random numbers, hashes, memory ---- */

static uint32_t random_state = 1;

/* xorshift32 (Marsaglia, 2003) */
static uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}

static int random_below(int n) { return (int)(random_bits() % (uint32_t)n); }
static float random_float(void) { return (float)((int32_t)random_bits() >> 8) * (1.0f / (1 << 23)); } /* -1 … 1 */

static uint32_t hashes[HASHES];

/* FNV-1a, over the bytes of many outputs in turn. */
static void hash(hashed what, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint32_t h = hashes[what] ? hashes[what] : 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    hashes[what] = h;
}

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) __builtin_trap();
    return p;
}

static float *random_floats(size_t n, float scale)
{
    float *x = allocate(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = random_float() * scale;
    return x;
}

/* Rows `stride` apart; memory ends with the last row's last value. */
static float *random_rows(int rows, int n, size_t stride, float scale)
{
    return random_floats((size_t)rows * stride - (stride - (size_t)n), scale);
}

/* Vectors are padded to whole panels. */
static float *random_vector(int n)
{
    float *x = random_floats(hc_round_up((size_t)n, HC_PANEL), 1);
    for (size_t i = (size_t)n; i < hc_round_up((size_t)n, HC_PANEL); i++) x[i] = 0;
    return x;
}

static const float GUARD = 12345.5f;
enum { GAP = 3 }; /* guarded floats after each row */

static float *guarded(int rows, int n)
{
    size_t count = (size_t)rows * (size_t)(n + GAP);
    float *x = allocate(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = GUARD;
    return x;
}

static int guards_stand(const float *x, int rows, int n)
{
    for (int r = 0; r < rows; r++)
        for (int i = n; i < n + GAP; i++)
            if (x[(size_t)r * (size_t)(n + GAP) + (size_t)i] != GUARD) return 0;
    return 1;
}

static void hash_rows(hashed what, const float *x, int rows, int n)
{
    for (int r = 0; r < rows; r++) hash(what, x + (size_t)r * (size_t)(n + GAP), (size_t)n * sizeof *x);
}

/* ---- weights ---- */

typedef struct test_matrix {
    hc_matrix packed;
    double *plain; /* [n, k] what was packed */
} test_matrix;

/* What int8 weights are like, and with other than RANDOM, activations are all 127. SMALL, EDGE and BEYOND are for
 * kernels that add four products in 16 bits, as far as four weights of sizes that sum to 258 allow. */
typedef enum range { RANDOM, ANY_127, ALL_127, SMALL, EDGE, BEYOND } range;

static int random_weight(range what, int i)
{
    switch (what) {
    case RANDOM: return random_below(255) - 127;
    case ANY_127: return random_bits() & 1 ? 127 : -127;
    case ALL_127: return 127;
    case SMALL: return random_below(129) - 64;
    case EDGE: return 64 + (i & 1);
    case BEYOND: break;
    }
    return i % 8 == 0 || i % 8 == 2 ? 64 : 65; /* 259 in two neighbours and the two that are four further */
}

static test_matrix make_weights(int n, int k, hc_storage storage, range what)
{
    size_t panels = hc_round_up((size_t)n, HC_PANEL) / HC_PANEL,
           depth = storage == HC_STORE_I8 ? hc_round_up((size_t)k, HC_DEPTH) : (size_t)k;
    size_t size = storage == HC_STORE_I8 ? 1 : storage == HC_STORE_F16 ? 2 : 4, count = panels * depth * HC_PANEL;
    test_matrix w = {.packed = {.n = n, .k = k, .storage = storage, .data = allocate(count * size)},
                     .plain = allocate((size_t)n * (size_t)k * sizeof(double))};
    memset(w.packed.data, 0, count * size);
    if (storage == HC_STORE_I8) {
        w.packed.scale = random_vector(n);
        w.packed.sum = allocate(panels * HC_PANEL * sizeof(int32_t));
        memset(w.packed.sum, 0, panels * HC_PANEL * sizeof(int32_t));
    }
    for (int c = 0; c < n; c++)
        for (int i = 0; i < k; i++) {
            size_t panel = (size_t)(c / HC_PANEL), lane = (size_t)(c % HC_PANEL), at = (size_t)i;
            float value = random_float();
            if (storage == HC_STORE_I8) {
                int q = random_weight(what, i);
                ((int8_t *)w.packed
                     .data)[((panel * depth / HC_DEPTH + at / HC_DEPTH) * HC_PANEL + lane) * HC_DEPTH + at % HC_DEPTH] =
                    (int8_t)q;
                w.packed.sum[c] += q;
                value = (float)q;
            } else if (storage == HC_STORE_F16) {
                uint16_t half = hc_float_to_half(value);
                ((uint16_t *)w.packed.data)[(panel * depth + at) * HC_PANEL + lane] = half;
                value = (float)reference_half(half);
            } else {
                ((float *)w.packed.data)[(panel * depth + at) * HC_PANEL + lane] = value;
            }
            w.plain[(size_t)c * (size_t)k + at] = (double)value;
        }
    return w;
}

static void free_weights(test_matrix *w)
{
    free(w->packed.data);
    free(w->packed.scale);
    free(w->packed.sum);
    free(w->plain);
}

/* What an epilogue has, by the bits of `which`; the activation is one of four or ReLU. */
enum { BIAS = 1, GAMMA = 8, RESIDUAL = 16, IN_PLACE = 32, SCALE = 128, LAST = 256, RELU = 512 };

static hc_epilogue make_epilogue(int n, int which)
{
    hc_epilogue e = {.activation = which & RELU ? HC_RELU : (hc_activation)(which >> 1 & 3)};
    e.activate_last = which & LAST;
    e.bias = which & BIAS ? random_vector(n) : NULL;
    e.gamma = which & GAMMA ? random_vector(n) : NULL;
    e.scale = which & SCALE ? random_vector(n) : NULL;
    return e;
}

static void free_epilogue(hc_epilogue *e)
{
    free((void *)(uintptr_t)e->scale);
    free((void *)(uintptr_t)e->bias);
    free((void *)(uintptr_t)e->gamma);
}

/* ---- rows ---- */

static size_t rows_bytes(int m, const hc_matrix *w, int apart)
{
    return (size_t)hc_rows_bytes((uint64_t)m, (uint64_t)w->k, hc_is_quantised(w->storage), apart);
}

/* m rows for a GEMM with w, whose values are still to be put. */
static hc_rows make_rows(int m, const hc_matrix *w, int exact, int apart, hc_dot dot)
{
    hc_rows rows = {.exact = exact, .apart = apart, .dot = dot};
    hc_rows_lay(&rows, w, m, allocate(rows_bytes(m, w, apart)));
    return rows;
}

static void free_rows(hc_rows *rows) { free(rows->x ? (void *)rows->x : (void *)rows->q); }

static void put_all(const hc_rows *rows, const float *a, size_t stride)
{
    for (int r = 0; r < rows->count; r++) hc_rows_put(rows, r, a + (size_t)r * stride);
}

/* Where value i of a row at 7 bits is, as rows.h says it. */
static hc_q7 *level(const hc_rows *rows, int row, size_t i)
{
    int tiles = (rows->count + rows->most - 1) / rows->most, first = 0, last = 0;
    for (int t = 0; last <= row; t++) {
        first = last;
        last = (int)((long long)rows->count * (t + 1) / tiles);
    }
    return rows->q + rows->depth * (size_t)first +
           (i / HC_DEPTH * (size_t)(last - first) + (size_t)(row - first)) * HC_DEPTH + i % HC_DEPTH;
}

/* Weights of which only the shape matters. */
static hc_matrix shape_of(int k, hc_storage storage) { return (hc_matrix){.n = 8, .k = k, .storage = storage}; }

/* 13 bits of a float, rounded half away from zero. */
static double thirteen_bits(float x)
{
    union {
        float x;
        uint32_t bits;
    } u = {.x = x};
    u.bits = (u.bits + (1 << 10)) & ~0x7ffu;
    return fabs((double)x) < 0x1p-60 ? 0 : (double)u.x;
}

static int outlier_count(const hc_rows *rows, int row)
{
    return rows->most_outliers ? rows->above[row] + rows->below[row] : 0;
}

/* A row's outlier n and the factor of its digits: those that are taken away come first. */
static const hc_outlier *outlier(const hc_rows *rows, int row, int n, int *factor)
{
    int above = n - rows->below[row];
    *factor = above < 0 ? -128 : 128;
    return rows->outliers + row * rows->most_outliers + (above < 0 ? rows->most_outliers + above : above);
}

/* Row `row` of rows at 7 bits in whole levels, the zero point taken away: out [k]. */
static void whole_levels(const hc_rows *rows, int row, int *out)
{
    for (int i = 0; i < rows->k; i++) out[i] = *level(rows, row, (size_t)i) - rows->zero[row];
    for (int n = 0; n < outlier_count(rows, row); n++) {
        int factor;
        const hc_outlier *o = outlier(rows, row, n, &factor);
        for (int i = 0; i < HC_DEPTH; i++) {
            int at = (int)o->step * HC_DEPTH + i;
            if (at < rows->k) out[at] += factor * o->digits[i];
        }
    }
}

/* Random outliers of a row, in lists or, where levels hold them whole, there. */
static void make_outliers(const hc_rows *rows, int row)
{
    int steps = (rows->k + HC_DEPTH - 1) / HC_DEPTH, most = HC_BLOCK_OUTLIERS * rows->most_blocks, above = 0, below = 0;
    for (int step = 0; step < steps; step++)
        for (int negative = 0; negative < 2; negative++) {
            if (random_below(16) || above + below == most) continue;
            int at = negative ? below++ : above++;
            hc_outlier o = {.step = (uint32_t)step};
            for (int i = 0; i < HC_DEPTH; i++)
                o.digits[i] = (hc_q7)(step * HC_DEPTH + i < rows->k ? random_below(128) : 0);
            if (rows->most_outliers)
                rows->outliers[(row + negative) * rows->most_outliers + (negative ? -1 - at : at)] = o;
            for (int i = 0; i < HC_DEPTH && rows->whole; i++)
                *level(rows, row, (size_t)(step * HC_DEPTH + i)) +=
                    (hc_q7)(negative ? -128 * o.digits[i] : 128 * o.digits[i]);
        }
    if (!rows->most_outliers) return;
    rows->above[row] = above;
    rows->below[row] = below;
    hc_rows_end_outliers(rows, row);
}

/* Random levels, scales, zero points and outliers; with another range than RANDOM, all levels are 127. */
static void make_levels(const hc_rows *rows, range what)
{
    for (int r = 0; r < rows->count; r++) {
        rows->scale[r] = random_float();
        rows->zero[r] = what ? r % 2 * 127 : random_below(128);
        for (size_t i = 0; i < rows->depth; i++)
            *level(rows, r, i) = (hc_q7)(i >= (size_t)rows->k ? 0 : what ? 127 : random_below(128));
        if (rows->most_blocks) make_outliers(rows, r);
    }
}

#endif
