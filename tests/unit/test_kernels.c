/* test_kernels.c: every kernel against reference.h over many shapes, and the same bits in every build: the outputs of
 * fixed inputs, hashed, are those of kernel_hashes.h. Built for WebAssembly too, where tests/node/kernels.test.mjs
 * calls `run` and `hash`. */
#include "reference.h"
#include "kernel_hashes.h"

#include <stdlib.h>
#include <string.h>

#ifdef __wasm__
static int checks_failed, checks_done, first_failed_line;
#define CHECK(condition, ...)                                               \
    do {                                                                    \
        checks_done++;                                                      \
        if (!(condition) && !checks_failed++) first_failed_line = __LINE__; \
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

/* ---- GEMM ---- */

/* m rows for a GEMM with w, whose values are still to be put. */
static hc_rows make_rows(int m, const hc_matrix *w, int exact, hc_dot dot)
{
    int quantised = hc_is_quantised(w->storage);
    hc_rows rows = {.exact = exact,
                    .dot = dot,
                    .scale = allocate((size_t)m * sizeof(float)),
                    .zero = allocate((size_t)m * sizeof(int32_t))};
    hc_rows_lay(&rows, w, m, allocate(hc_rows_bytes((uint64_t)m, (uint64_t)w->k, quantised)));
    return rows;
}

static void free_rows(hc_rows *rows)
{
    free(rows->x);
    free(rows->q);
    free(rows->scale);
    free(rows->zero);
}

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

static void check_gemm_f32(int m, int n, int k, hc_storage storage, int which)
{
    size_t a_stride = (size_t)k + (which & 1), out_stride = (size_t)(n + GAP);
    test_matrix w = make_weights(n, k, storage, RANDOM);
    hc_epilogue e = make_epilogue(n, which);
    float *a = random_rows(m, k, a_stride, 1), *residual = random_floats((size_t)m * out_stride, 1);
    for (int exact = 0; exact <= (storage == HC_STORE_F16); exact++) {
        float *out = guarded(m, n);
        hc_rows rows = make_rows(m, &w.packed, exact, HC_DOT_PAIRS);
        e.residual = which & RESIDUAL ? residual : NULL;
        if (which & IN_PLACE) { /* in place */
            for (int r = 0; r < m; r++)
                memcpy(out + (size_t)r * out_stride, residual + (size_t)r * out_stride, (size_t)n * sizeof *out);
            e.residual = out;
        }
        put_all(&rows, a, a_stride);
        hc_gemm(NULL, &w.packed, &rows, &e, out, out_stride);
        CHECK(guards_stand(out, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (exact) hash_rows(which < SCALE ? HASH_GEMM_F16 : HASH_EPILOGUE, out, m, n);
        double worst = 0;
        for (int r = 0; r < m; r++)
            for (int c = 0; c < n; c++) {
                double sum = 0, size = 0;
                for (int i = 0; i < k; i++) {
                    float x = a[(size_t)r * a_stride + (size_t)i];
                    double product =
                        (exact ? thirteen_bits(x) : (double)x) * w.plain[(size_t)c * (size_t)k + (size_t)i];
                    sum += product;
                    size += fabs(product);
                }
                double expected = reference_epilogue(
                    &e, sum, c, e.residual ? (double)residual[(size_t)r * out_stride + (size_t)c] : 0);
                double error = fabs((double)out[(size_t)r * out_stride + (size_t)c] - expected) / (size + 4);
                worst = error > worst ? error : worst;
            }
        CHECK(worst < 5e-7, "m %d n %d k %d storage %d epilogue %d exact %d: %g", m, n, k, (int)storage, which, exact,
              worst);
        free_rows(&rows);
        free(out);
    }
    free(residual);
    free(a);
    free_epilogue(&e);
    free_weights(&w);
}

/* Bit for bit: the integers and what follows them are exact by definition. */
static void check_gemm_i8(int m, int n, int k, range what, int which)
{
    size_t out_stride = (size_t)(n + GAP);
    test_matrix w = make_weights(n, k, HC_STORE_I8, what);
    float *residual = random_floats((size_t)m * out_stride, 1), *scale = random_floats((size_t)m, 1);
    int *levels = allocate((size_t)(m * k) * sizeof *levels);
    for (int i = 0; i < m * k; i++) levels[i] = what ? 127 : random_below(128);
    hc_epilogue e = make_epilogue(n, which), plain = {0};
    for (int dot = 0; dot < 2; dot++) {
        float *out = guarded(m, n), *full = guarded(m, n);
        hc_rows rows = make_rows(m, &w.packed, 1, (hc_dot)dot);
        for (int r = 0; r < m; r++) {
            rows.scale[r] = scale[r];
            rows.zero[r] = what ? r % 2 * 127 : levels[r * k];
            for (size_t i = 0; i < rows.depth; i++)
                *level(&rows, r, i) = (hc_q7)(i < (size_t)k ? levels[(size_t)(r * k) + i] : 0);
        }
        e.residual = which & RESIDUAL ? residual : NULL;
        hc_gemm(NULL, &w.packed, &rows, &plain, out, out_stride);
        hc_gemm(NULL, &w.packed, &rows, &e, full, out_stride);
        CHECK(guards_stand(out, m, n) && guards_stand(full, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (!dot) hash_rows(which < SCALE ? HASH_GEMM_I8 : HASH_EPILOGUE, full, m, n);
        int wrong = 0;
        double worst = 0;
        for (int r = 0; r < m; r++)
            for (int c = 0; c < n; c++) {
                int32_t exact = 0;
                for (int i = 0; i < k; i++)
                    exact += (levels[r * k + i] - rows.zero[r]) * (int32_t)w.plain[(size_t)c * (size_t)k + (size_t)i];
                float expected = w.packed.scale[c] * rows.scale[r] * (float)exact;
                size_t at = (size_t)r * out_stride + (size_t)c;
                wrong += out[at] != expected;
                double error = fabs((double)full[at] - reference_epilogue(&e, (double)expected, c,
                                                                          e.residual ? (double)residual[at] : 0)) /
                               (fabs((double)expected) + 4);
                worst = error > worst ? error : worst;
            }
        CHECK(wrong == 0, "m %d n %d k %d dot %d: %d wrong integers", m, n, k, dot, wrong);
        CHECK(worst < 5e-7, "m %d n %d k %d dot %d epilogue %d: %g", m, n, k, dot, which, worst);
        free_rows(&rows);
        free(out);
        free(full);
    }
    free(levels);
    free(scale);
    free(residual);
    free_epilogue(&e);
    free_weights(&w);
}

/* A row's result must not depend on the rows that are computed with it, nor on how they are multiplied. */
static void check_rows_alone(const hc_matrix *w, int rows, const float *a)
{
    size_t k = (size_t)w->k, stride = (size_t)(w->n + GAP);
    float *all = guarded(rows, w->n), *one = guarded(1, w->n);
    hc_epilogue plain = {0};
    hc_rows together = make_rows(rows, w, 1, HC_DOT_QUADS), alone = make_rows(1, w, 1, HC_DOT_PAIRS);
    put_all(&together, a, k);
    hc_gemm(NULL, w, &together, &plain, all, stride);
    for (int r = 0; r < rows; r += 1 + rows / 8) {
        put_all(&alone, a + (size_t)r * k, k);
        hc_gemm(NULL, w, &alone, &plain, one, stride);
        CHECK(!memcmp(one, all + (size_t)r * stride, (size_t)w->n * sizeof *one), "storage %d, row %d of %d, n %d k %d",
              (int)w->storage, r, rows, w->n, w->k);
    }
    free_rows(&together);
    free_rows(&alone);
    free(all);
    free(one);
}

static void check_all_alone(int rows, int n, int k)
{
    float *a = random_floats((size_t)rows * (size_t)k, 1);
    for (int storage = HC_STORE_F32; storage <= HC_STORE_I8; storage++) {
        test_matrix w = make_weights(n, k, (hc_storage)storage, RANDOM);
        check_rows_alone(&w.packed, rows, a);
        free_weights(&w);
    }
    free(a);
}

/* Weights of int4 with what pads them, which is not 0: activations are. */
static hc_matrix make_weights_i4(int n, int k, range what, int8_t *q, float *scale)
{
    size_t groups = hc_groups(k), count = hc_group_scales(n, k);
    hc_matrix w = {.n = n,
                   .k = k,
                   .storage = HC_STORE_I4,
                   .data = allocate(count * HC_GROUP_BYTES),
                   .group_scale = allocate(count * 2)};
    w.total = random_vector(n);
    for (size_t i = 0; i < count; i++) w.group_scale[i] = hc_float_to_half(random_float());
    for (size_t i = 0; i < count * HC_GROUP_BYTES; i++) {
        int extreme = random_bits() & 1 ? 0x88 : 0x77;
        ((uint8_t *)w.data)[i] = (uint8_t)(what == RANDOM ? random_below(256) : what == ANY_127 ? extreme : 0x88);
    }
    for (int c = 0; c < n; c++)
        for (int i = 0; i < k; i++) {
            size_t index = (size_t)(c / HC_PANEL) * groups + (size_t)(i / HC_GROUP), at = (size_t)(i % HC_GROUP);
            int byte = ((uint8_t *)w.data)[index * 128 + at / 4 * 16 + (size_t)(c % 4) * 4 + at % 4],
                nibble = c % 8 < 4 ? byte & 15 : byte >> 4;
            q[c * k + i] = (int8_t)(nibble < 8 ? nibble : nibble - 16);
            scale[(size_t)c * groups + (size_t)(i / HC_GROUP)] =
                hc_half_to_float(w.group_scale[index * HC_PANEL + (size_t)(c % HC_PANEL)]);
        }
    return w;
}

/* Bit for bit, like check_gemm_i8: a group's sum is exact, and the order of the rest is fixed. */
static void check_gemm_i4(int m, int n, int k, range what, int which)
{
    size_t out_stride = (size_t)(n + GAP), groups = hc_groups(k);
    int8_t *q = allocate((size_t)(n * k));
    float *scale = allocate((size_t)n * groups * sizeof *scale);
    hc_matrix w = make_weights_i4(n, k, what, q, scale);
    float *residual = random_floats((size_t)m * out_stride, 1), *a_scale = random_floats((size_t)m, 1),
          *a = random_floats((size_t)(m * k), 1);
    int *levels = allocate((size_t)(m * k) * sizeof *levels);
    for (int i = 0; i < m * k; i++) levels[i] = what ? 127 : random_below(128);
    hc_epilogue e = make_epilogue(n, which), plain = {0};
    for (int dot = 0; dot < 2; dot++) {
        float *out = guarded(m, n), *full = guarded(m, n);
        hc_rows rows = make_rows(m, &w, 1, (hc_dot)dot);
        for (int r = 0; r < m; r++) {
            rows.scale[r] = a_scale[r];
            rows.zero[r] = what ? r % 2 * 127 : levels[r * k];
            for (size_t i = 0; i < rows.depth; i++)
                *level(&rows, r, i) = (hc_q7)(i < (size_t)k ? levels[(size_t)(r * k) + i] : 0);
        }
        e.residual = which & RESIDUAL ? residual : NULL;
        hc_gemm(NULL, &w, &rows, &plain, out, out_stride);
        hc_gemm(NULL, &w, &rows, &e, full, out_stride);
        CHECK(guards_stand(out, m, n) && guards_stand(full, m, n), "m %d n %d k %d: written beyond the row", m, n, k);
        if (!dot) hash_rows(which < SCALE ? HASH_GEMM_I4 : HASH_EPILOGUE, full, m, n);
        int wrong = 0;
        double worst = 0;
        for (int r = 0; r < m; r++)
            for (int c = 0; c < n; c++) {
                float sum = 0;
                for (size_t g = 0; g < groups; g++) {
                    int32_t exact = 0;
                    for (size_t i = g * HC_GROUP; i < (g + 1) * HC_GROUP && i < (size_t)k; i++)
                        exact += levels[(size_t)(r * k) + i] * q[(size_t)(c * k) + i];
                    float scaled = (float)exact * scale[(size_t)c * groups + g];
                    sum += scaled;
                }
                float zero = w.total[c] * (float)rows.zero[r], expected = (sum - zero) * rows.scale[r];
                size_t at = (size_t)r * out_stride + (size_t)c;
                wrong += out[at] != expected;
                double error = fabs((double)full[at] - reference_epilogue(&e, (double)expected, c,
                                                                          e.residual ? (double)residual[at] : 0)) /
                               (fabs((double)expected) + 4);
                worst = error > worst ? error : worst;
            }
        CHECK(wrong == 0, "int4 m %d n %d k %d dot %d: %d wrong values", m, n, k, dot, wrong);
        CHECK(worst < 5e-7, "int4 m %d n %d k %d dot %d epilogue %d: %g", m, n, k, dot, which, worst);
        free_rows(&rows);
        free(out);
        free(full);
    }
    check_rows_alone(&w, m, a);
    free(a);
    free(levels);
    free(a_scale);
    free(residual);
    free_epilogue(&e);
    free(w.data);
    free(w.group_scale);
    free(w.total);
    free(scale);
    free(q);
}

static void check_gemms_i4(void)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 40; n += 1 + n % 3) check_gemm_i4(m, n, 1 + random_below(140), RANDOM, random_below(64));
    for (int k = 1; k <= 70; k++) {
        check_gemm_i4(5, 9, k, (range)(k % 3), k);
        check_gemm_i4(1, 33, k, (range)(k % 3), k);
    }
    static const int large[][3] = {{50, 24, 768}, {197, 9, 515}, {257, 8, 37}, {97, 17, 1030},
                                   {1, 40, 2050}, {2, 24, 1027}, {13, 8, 4100}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_gemm_i4(large[i][0], large[i][1], large[i][2], (range)(i % 3), (int)i * 5);
}

static void check_gemms(void)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 40; n++) {
            int k = 1 + random_below(70), which = random_below(64);
            check_gemm_f32(m, n, k, HC_STORE_F32, which);
            check_gemm_f32(m, n, k, HC_STORE_F16, which);
            check_gemm_i8(m, n, k, RANDOM, which);
        }
    for (int k = 1; k <= 70; k++) {
        check_gemm_f32(3, 9, k, HC_STORE_F32, k);
        check_gemm_f32(1, 33, k, HC_STORE_F16, k);
        check_gemm_i8(5, 9, k, (range)(k % 3), k);
        check_gemm_i8(1, 33, k, (range)(k % 3), k);
    }
    static const int large[][3] = {{50, 24, 768}, {197, 9, 515}, {257, 8, 37}, {97, 17, 1030},
                                   {1, 40, 2050}, {2, 24, 1027}, {13, 8, 4100}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        int m = large[i][0], n = large[i][1], k = large[i][2];
        check_gemm_f32(m, n, k, HC_STORE_F32, (int)i * 9);
        check_gemm_f32(m, n, k, HC_STORE_F16, (int)i * 7);
        check_gemm_i8(m, n, k, (range)(i % 3), (int)i * 5);
    }
    check_gemm_i8(5, 8, 16384, ALL_127, 0);
    check_gemm_i8(1, 32, 16384, ANY_127, 0);
    for (int k = 1; k <= 70; k++) check_gemm_i8(12 + k % 5, 9, k, (range)(SMALL + k % 3), k);
    check_all_alone(11, 37, 100);
    check_all_alone(7, 8, 1100);
    check_all_alone(300, 9, 33);
}

/* What a ResNet does to sums; and all of it together, with columns left over. */
static void check_epilogues(void)
{
    for (int n = 1; n <= 9; n++)
        for (int which = 0; which < 128; which++) {
            int parts = (which & 63) | SCALE | (which & 64 ? LAST : 0) | (random_bits() & 1 ? RELU : 0),
                m = 1 + random_below(9), k = 1 + random_below(40);
            check_gemm_f32(m, n, k, random_bits() & 1 ? HC_STORE_F32 : HC_STORE_F16, parts);
            check_gemm_i8(m, n, k, RANDOM, parts);
            check_gemm_i4(m, n, k, RANDOM, parts);
        }
    check_gemm_f32(150, 19, 20, HC_STORE_F16, SCALE | BIAS | RELU | LAST | RESIDUAL);
    check_gemm_i8(150, 19, 20, RANDOM, SCALE | BIAS | RELU | LAST | RESIDUAL);
}

/* ---- rows: LayerNorm, quantisation, normalisation ---- */

static void check_layer_norm(int rows, int n, float scale, float shift)
{
    size_t stride = (size_t)n + GAP;
    float *x = random_floats((size_t)rows * stride, scale), *weight = random_vector(n), *bias = random_vector(n),
          *out = guarded(rows, n);
    double *expected = allocate((size_t)n * sizeof *expected), worst = 0;
    int same = 1;
    for (int r = 0; r < rows; r++) {
        float *row = x + (size_t)r * stride, *to = out + (size_t)r * stride;
        for (int i = 0; i < n; i++) row[i] += shift;
        hc_layer_norm(row, n, weight, bias, 1e-5f, to);
        reference_layer_norm(row, n, weight, bias, (double)1e-5f, expected);
        for (int i = 0; i < n; i++) {
            double error = fabs((double)to[i] - expected[i]) / (1 + fabs((double)(shift / scale)));
            worst = error > worst ? error : worst;
        }
        hc_layer_norm(row, n, weight, bias, 1e-5f, row);
        same &= !memcmp(row, to, (size_t)n * sizeof *row);
    }
    CHECK(guards_stand(out, rows, n), "n %d: written beyond the row", n);
    CHECK(same, "n %d: in place", n);
    CHECK(worst < 2e-6, "layer norm of %d, scale %g, shift %g: %g", n, (double)scale, (double)shift, worst);
    hash_rows(HASH_LAYER_NORM, out, rows, n);
    free(expected);
    free(out);
    free(bias);
    free(weight);
    free(x);
}

/* Weights of which only the shape matters. */
static hc_matrix shape_of(int k, hc_storage storage) { return (hc_matrix){.n = 8, .k = k, .storage = storage}; }

static void check_quantise(int rows, int k, float scale, float shift, hc_storage storage)
{
    size_t stride = (size_t)k + 1;
    float *x = random_rows(rows, k, stride, scale);
    hc_matrix w = shape_of(k, storage);
    hc_rows q = make_rows(rows, &w, 1, rows % 2 ? HC_DOT_QUADS : HC_DOT_PAIRS);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < k; i++) x[(size_t)r * stride + (size_t)i] += shift;
    put_all(&q, x, stride);
    hash(HASH_QUANTISE, q.scale, (size_t)rows * sizeof(float));
    hash(HASH_QUANTISE, q.zero, (size_t)rows * sizeof(int32_t));
    for (int r = 0; r < rows; r++) {
        double step = (double)q.scale[r], worst = 0;
        int in_range = q.zero[r] >= 0 && q.zero[r] <= 127, padded = 1;
        for (size_t i = 0; i < q.depth; i++) {
            int found = *level(&q, r, i);
            unsigned char byte = (unsigned char)found;
            hash(HASH_QUANTISE, &byte, 1);
            in_range &= found >= 0 && found <= 127;
            if (i >= (size_t)k) {
                padded &= found == 0;
            } else {
                double error = fabs(step * (found - q.zero[r]) - (double)x[(size_t)r * stride + i]);
                worst = error > worst ? error : worst;
            }
        }
        CHECK(in_range && padded, "k %d: levels out of range or padding not 0", k);
        /* half a step, and half a step more at one end, where the zero point was rounded */
        CHECK(worst <= step * 1.0001, "k %d scale %g shift %g: error of %g steps", k, (double)scale, (double)shift,
              worst / step);
    }
    free_rows(&q);
    free(x);
}

static void check_quantise_special(void)
{
    float x[5][20] = {{0}};
    hc_matrix w = shape_of(20, HC_STORE_I8);
    hc_rows q = make_rows(5, &w, 1, HC_DOT_PAIRS);
    x[1][19] = NAN;
    x[2][3] = INFINITY;
    x[3][17] = -INFINITY;
    x[4][1] = 3e38f;
    x[4][2] = -3e38f;
    put_all(&q, x[0], 20);
    int zeros = 1, in_range = 1;
    for (size_t i = 0; i < 20; i++) zeros &= *level(&q, 0, i) == 0;
    for (size_t i = 0; i < 100; i++)
        in_range &= *level(&q, (int)i / 20, i % 20) >= 0 && *level(&q, (int)i / 20, i % 20) <= 127;
    CHECK(zeros && q.scale[0] == 0 && q.zero[0] == 0, "a row of zeros");
    CHECK(in_range && isnan(q.scale[1]) && isnan(q.scale[2]) && isnan(q.scale[3]), "rows with NaN and infinity");
    CHECK(q.scale[4] > 4.7e36f && q.scale[4] < 4.8e36f && *level(&q, 4, 1) == 127 && *level(&q, 4, 2) == 0,
          "the largest range");
    free_rows(&q);

    w = shape_of(4, HC_STORE_I8);
    q = make_rows(1, &w, 1, HC_DOT_PAIRS);
    float ties[4] = {0, 127, 2.5f, 3.5f};
    put_all(&q, ties, 4);
    CHECK(q.scale[0] == 1 && q.zero[0] == 0 && *level(&q, 0, 1) == 127 && *level(&q, 0, 2) == 2 &&
              *level(&q, 0, 3) == 4,
          "ties go to even");
    float below[4] = {-127, 0, -1, -1};
    put_all(&q, below, 4);
    CHECK(q.zero[0] == 127 && *level(&q, 0, 0) == 0 && *level(&q, 0, 1) == 127 && *level(&q, 0, 2) == 126,
          "all below zero");
    float both[4] = {-63.5f, 63.5f, 0, 0}; /* 64 on both sides of 0 would be one level too many */
    put_all(&q, both, 4);
    CHECK(q.scale[0] == 1 && q.zero[0] == 64 && *level(&q, 0, 0) == 0 && *level(&q, 0, 1) == 127, "the highest level");
    free_rows(&q);
}

/* fp32 rows: the same values in another order, all of a row or in parts. */
static void check_put(int count, int k, int exact)
{
    float *x = random_floats((size_t)(count * k), 1);
    hc_matrix w = shape_of(k, HC_STORE_F32);
    hc_rows whole = make_rows(count, &w, exact, HC_DOT_PAIRS), parts = make_rows(count, &w, exact, HC_DOT_PAIRS);
    if (k > 2) {
        x[0] = 0x1p-61f;
        x[1] = -0x1p-59f;
        x[2] = 1 + 0x1p-13f; /* halfway between two numbers of 13 bits */
    }
    put_all(&whole, x, (size_t)k);
    int wrong = 0, tiles = hc_tile_count(count, whole.most), seen = 0;
    for (int r = 0; r < count; r++)
        for (int at = 0, n; at < k; at += n) {
            n = 1 + random_below(k - at);
            hc_rows_put_part(&parts, r, at, x + r * k + at, n);
        }
    for (int t = 0; t < tiles; t++) {
        int first = hc_tile_first(count, tiles, t), rows = hc_tile_first(count, tiles, t + 1) - first;
        CHECK(rows > 0 && rows <= whole.most && first == seen, "tile %d of %d rows", t, count);
        seen += rows;
        for (int r = first; r < first + rows; r++) {
            wrong += hc_tile_of(count, tiles, r) != t;
            for (int i = 0; i < k; i++) {
                size_t at = (size_t)(first * k + i * rows + r - first);
                wrong += (double)whole.x[at] != (exact ? thirteen_bits(x[r * k + i]) : (double)x[r * k + i]) ||
                         parts.x[at] != whole.x[at];
            }
        }
    }
    CHECK(!wrong && seen == count, "%d rows of %d, exact %d: %d wrong", count, k, exact, wrong);
    free_rows(&whole);
    free_rows(&parts);
    free(x);
}

static void check_normalise(int n, float scale)
{
    float *x = random_floats((size_t)n, scale);
    double sum = 0, worst = 0;
    float *before = allocate((size_t)n * sizeof *before);
    memcpy(before, x, (size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    hc_normalise(x, n);
    hash(HASH_NORMALISE, x, (size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) {
        double norm = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12, error = fabs((double)x[i] - (double)before[i] / norm);
        worst = error > worst ? error : worst;
    }
    CHECK(worst < 1e-6, "normalise %d: %g", n, worst);
    free(before);
    free(x);
}

/* ---- attention ---- */

static void check_attention(int q_rows, int kv_rows, int dim, int causal, int hide, float size)
{
    size_t q_stride = (size_t)dim + 1, kv_stride = (size_t)dim + 2, out_stride = (size_t)(dim + GAP);
    float *q = random_rows(q_rows, dim, q_stride, size);
    float *k = random_rows(kv_rows, dim, kv_stride, size), *v = random_rows(kv_rows, dim, kv_stride, 1);
    float *scratch = allocate(hc_attention_scratch(kv_rows, dim) * sizeof *scratch);
    uint8_t *hidden = allocate((size_t)kv_rows);
    double *weights = allocate((size_t)kv_rows * sizeof *weights), *expected = allocate((size_t)dim * sizeof *expected);
    for (int j = 0; j < kv_rows; j++) hidden[j] = hide == 2 || random_below(3) == 0;
    for (int exact = 0; exact < 2; exact++) {
        float *out = guarded(q_rows, dim);
        hc_attention t = {
            .q = q,
            .k = k,
            .v = v,
            .q_stride = q_stride,
            .kv_stride = kv_stride,
            .q_rows = q_rows,
            .kv_rows = kv_rows,
            .head_dim = dim,
            .scale = 1 / sqrtf((float)dim),
            .causal = causal,
            .q_first = causal ? kv_rows - q_rows : 0,
            .exact = exact,
            .hidden = hide ? hidden : NULL,
            .out = out,
            .out_stride = out_stride,
            .scratch = scratch,
        };
        for (size_t i = 0; i < hc_attention_scratch(kv_rows, dim); i++)
            scratch[i] = NAN; /* what scratch holds must not matter */
        hc_attention_head(&t);
        CHECK(guards_stand(out, q_rows, dim), "q %d kv %d dim %d: written beyond the row", q_rows, kv_rows, dim);
        if (exact) hash_rows(HASH_ATTENTION, out, q_rows, dim);
        double worst = 0;
        for (int r = 0; r < q_rows; r++) {
            reference_attention(&t, r, weights, expected);
            for (int d = 0; d < dim; d++) {
                double error = fabs((double)out[(size_t)r * out_stride + (size_t)d] - expected[d]);
                worst = error > worst || error != error ? error : worst;
            }
        }
        /* 11 and 13 bits: a key's is the larger part of the error, 2^-12 of itself */
        double bound = (exact ? 0x1p-11 : 2e-6) * (1 + (double)(size * size));
        CHECK(worst < bound, "q %d kv %d dim %d causal %d hidden %d exact %d: %g", q_rows, kv_rows, dim, causal, hide,
              exact, worst);
        free(out);
    }
    free(expected);
    free(weights);
    free(hidden);
    free(scratch);
    free(v);
    free(k);
    free(q);
}

static void check_attentions(void)
{
    for (int dim = 1; dim <= 40; dim++) {
        int q_rows = 1 + random_below(20), kv_rows = 20 + random_below(20);
        check_attention(q_rows, kv_rows, dim, dim % 2, dim / 2 % 2, 1);
    }
    for (int kv = 1; kv <= 20; kv++) {
        check_attention(kv, kv, 64, 1, 0, 2);
        check_attention(1, kv, 5, 0, 1, 1);
    }
    static const int dims[] = {64, 80, 88, 104, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) check_attention(19, 77, dims[i], (int)i % 2, 0, 1);
    check_attention(50, 50, 64, 0, 0, 8);  /* peaked */
    check_attention(77, 77, 64, 1, 0, 30); /* scores hundreds apart */
    check_attention(9, 12, 8, 0, 2, 1);    /* every key is hidden */
}

/* ---- functions of one value ---- */

/* The largest |error| / max(1, |x|), over values spread evenly from -limit to limit. */
static double worst_activation(hc_activation activation, float limit)
{
    enum { N = 20000 };
    float *x = allocate((N + 1) * sizeof *x), *y = allocate((N + 1) * sizeof *y);
    double worst = 0;
    for (int i = 0; i <= N; i++) x[i] = y[i] = limit * ((float)(2 * i - N) / (float)N);
    hc_activate(activation, y, N + 1);
    hash(HASH_ACTIVATE, y, (N + 1) * sizeof *y);
    for (int i = 0; i <= N; i++) {
        double size = fabs((double)x[i]),
               error = fabs((double)y[i] - reference_activate(activation, (double)x[i])) / (size > 1 ? size : 1);
        worst = error > worst || error != error ? error : worst;
    }
    free(x);
    free(y);
    return worst;
}

static void check_functions(void)
{
    static const hc_activation all[] = {HC_IDENTITY, HC_GELU, HC_GELU_TANH, HC_QUICK_GELU};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double near = worst_activation(all[i], 4), far = worst_activation(all[i], 1000);
        CHECK(near <= 5.5e-7 && far <= 5.5e-7, "activation %d: %g near 0, %g further away", (int)all[i], near, far);
    }
    float relu[] = {-1, -0.0f, 0.5f, NAN};
    hc_activate(HC_RELU, relu, 4);
    CHECK(relu[0] == 0 && relu[1] == 0 && relu[2] == 0.5f && isnan(relu[3]), "ReLU");
    double worst = 0;
    for (int i = 0; i <= 20000; i++) {
        float x = -87.0f + 175.0f * ((float)i / 20000), y = hc_expf(x);
        hash(HASH_EXP, &y, sizeof y);
        double error = fabs((double)y / reference_exp((double)x) - 1);
        worst = error > worst || error != error ? error : worst;
    }
    CHECK(worst < 1.2e-7, "exp: %g", worst);
    CHECK(hc_expf(0) == 1 && hc_expf(-INFINITY) == hc_expf(-87) && hc_expf(89) == hc_expf(88) && isnan(hc_expf(NAN)),
          "exp of special values");

    double near[2] = {0, 0};
    for (int i = -6000; i <= 6000; i++) {
        float gelu = (float)i / 1000;
        double x = (double)gelu, expected = reference_activate(HC_GELU, x);
        hc_activate(HC_GELU, &gelu, 1);
        near[i > 0] = fabs((double)gelu - expected) > near[i > 0] ? fabs((double)gelu - expected) : near[i > 0];
    }
    CHECK(near[0] < 5.5e-7 && near[1] < 5.5e-7, "GELU: %g below 0, %g above", near[0], near[1]);
}

static void check_halves(void)
{
    uint16_t *halves = allocate(65536 * sizeof *halves);
    float *floats = allocate(65536 * sizeof *floats);
    int wrong = 0, wrong_back = 0, wrong_tie = 0;
    for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    hc_halves_to_floats(halves + 1, floats + 1, 65535);
    floats[0] = hc_half_to_float(0);
    for (int i = 0; i < 65536; i++) {
        double expected = reference_half((uint16_t)i);
        int nan = isnan(expected);
        float one = hc_half_to_float((uint16_t)i), exact = (float)expected;
        wrong += nan ? !isnan(floats[i]) : memcmp(floats + i, &exact, sizeof exact) != 0;
        wrong += memcmp(&one, floats + i, sizeof one) != 0;
        uint16_t back = hc_float_to_half(floats[i]);
        wrong_back += nan ? !isnan(hc_half_to_float(back)) : back != i;
        /* halfway to the next half, and a little to both sides */
        if ((i & 0x7fff) < 0x7c00) {
            double next = (i & 0x7fff) == 0x7bff ? (i & 0x8000 ? -65536 : 65536) : reference_half((uint16_t)(i + 1));
            float middle = (float)((expected + next) / 2);
            wrong_tie += hc_float_to_half(middle) != i + (i & 1);
            wrong_tie += hc_float_to_half(middle * (1 - 1e-6f)) != i;
            wrong_tie += hc_float_to_half(middle * (1 + 1e-6f)) != i + 1;
        }
    }
    CHECK(wrong == 0, "%d of 65536 halves", wrong);
    CHECK(wrong_back == 0, "%d of 65536 halves there and back", wrong_back);
    CHECK(wrong_tie == 0, "%d roundings", wrong_tie);
    CHECK(hc_float_to_half(1e30f) == 0x7c00 && hc_float_to_half(-INFINITY) == 0xfc00 && hc_float_to_half(1e-30f) == 0 &&
              hc_float_to_half(-0.0f) == 0x8000,
          "overflow, underflow and signed zero");
    free(halves);
    free(floats);
}

/* ---- all of it ---- */

static void check_norms(void)
{
    for (int n = 1; n <= 40; n++) {
        check_layer_norm(2, n, 1, 0);
        check_quantise(2 + n % 9, n, 3, (float)(n % 5 - 2), n % 2 ? HC_STORE_I8 : HC_STORE_I4);
        check_put(1 + n % 14, n, n % 2);
        check_normalise(n, n == 7 ? 0 : n == 8 ? 1e-10f : 5);
    }
    check_layer_norm(3, 768, 1, 0);
    check_layer_norm(3, 768, 1, 100);
    check_layer_norm(3, 1029, 1e-3f, 0);
    check_quantise(3, 768, 1e-3f, 0, HC_STORE_I8);
    check_put(50, 30, 1);
    check_put(197, 3, 0);
    check_quantise(3, 1029, 1e20f, 0, HC_STORE_I4);
    check_quantise_special();
    check_normalise(512, 1);
}

static void check_all(void)
{
    static void (*const groups[])(void) = {check_halves,    check_functions, check_gemms,     check_gemms_i4,
                                           check_epilogues, check_norms,     check_attentions};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        random_state = 1; /* so that a new check changes the hashes of its own group only */
        groups[i]();
    }
    for (int i = 0; i < HASHES; i++)
        CHECK(hashes[i] == KERNEL_HASHES[i].hash, "%s: other bits than elsewhere: found 0x%08x", KERNEL_HASHES[i].name,
              (unsigned)hashes[i]);
}

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name))) name

int EXPORT(run)(void);
int EXPORT(done)(void);
int EXPORT(failed_line)(void);
unsigned EXPORT(hash_of)(int what);

int run(void)
{
    check_all();
    return checks_failed;
}
int done(void) { return checks_done; }
int failed_line(void) { return first_failed_line; }
unsigned hash_of(int what) { return hashes[what]; }
#else
int main(void)
{
    check_all();
    return check_result("kernels");
}
#endif
