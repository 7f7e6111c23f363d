/* pack.c: conversion, quantisation and the order of panels. */
#include "load/pack.h"

#include "kernels/kernels.h"
#include "kernels/simd.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64, BLOCK = HC_PANEL * HC_DEPTH };

size_t hc_pack_element_bytes(hc_element element)
{
    switch (element) {
    case HC_F64: return 8;
    case HC_F32: return 4;
    case HC_F16:
    case HC_BF16: return 2;
    case HC_I8:
    case HC_U8: return 1;
    case HC_OTHER: break;
    }
    return 0;
}

static void convert_chunk(hc_element element, const uint8_t *from, float *to, size_t n)
{
    union {
        double doubles[CHUNK];
        uint16_t halves[CHUNK];
        uint32_t words[CHUNK];
        int8_t bytes[CHUNK];
    } in;
    memcpy(&in, from, n * hc_pack_element_bytes(element));
    switch (element) {
    case HC_F64:
        for (size_t i = 0; i < n; i++) to[i] = (float)in.doubles[i];
        break;
    case HC_F16: hc_halves_to_floats(in.halves, to, n); break;
    case HC_BF16: {
        uint32_t words[CHUNK];
        for (size_t i = 0; i < n; i++) words[i] = (uint32_t)in.halves[i] << 16;
        memcpy(to, words, n * sizeof *words);
        break;
    }
    case HC_I8:
        for (size_t i = 0; i < n; i++) to[i] = in.bytes[i];
        break;
    default: memcpy(to, in.words, n * sizeof *in.words);
    }
}

/* Magnitudes of floats are ordered as their bits are. */
uint32_t hc_largest_bits(const float *values, size_t n)
{
    const i32x4 magnitude = i32_splat(0x7FFFFFFF);
    i32x4 most = i32_splat(0);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        i32x4 bits = (i32x4)f32_load(values + i) & magnitude, more = bits > most;
        most = (bits & more) | (most & ~more);
    }
    float rest[4] = {0};
    memcpy(rest, values + i, (n - i) * sizeof *rest);
    int32_t largest = 0;
    i32x4 last = (i32x4)f32_load(rest) & magnitude;
    for (int lane = 0; lane < 4; lane++) {
        largest = most[lane] > largest ? most[lane] : largest;
        largest = last[lane] > largest ? last[lane] : largest;
    }
    return (uint32_t)largest;
}

uint32_t hc_pack_floats(hc_element element, const void *from, float *to, size_t n)
{
    const uint8_t *bytes = from;
    size_t size = hc_pack_element_bytes(element);
    if (element == HC_F32) {
        memcpy(to, bytes, n * size);
    } else {
        for (size_t i = 0; i < n; i += CHUNK)
            convert_chunk(element, bytes + i * size, to + i, n - i < CHUNK ? n - i : CHUNK);
    }
    return hc_largest_bits(to, n);
}

int hc_pack_inspect(const void *bytes, size_t n)
{
    const int8_t *q = bytes;
    i8x16 any = {0}, lowest = any;
    for (size_t i = 0; i < n; i += sizeof any) {
        int8_t rest[16] = {0};
        const int8_t *from = n - i < sizeof rest ? memcpy(rest, q + i, n - i) : q + i;
        i8x16 v = i8_load(from);
        any |= v;
        lowest |= v == INT8_MIN;
    }
    return (i32_any((i32x4)any) ? HC_NONZERO : 0) | (i32_any((i32x4)lowest) ? HC_LOWEST : 0);
}

/* ---- quantisation -------------------------------------------------------------------------------------------------
 */

static float scale_of(const float *values, size_t n)
{
    uint32_t bits = hc_largest_bits(values, n);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    return largest / 127.0f;
}

/* At most CHUNK values to as many levels, and zeros behind them up to a multiple of 16; returns their sum. */
static int32_t quantise_chunk(const float *values, size_t n, float scale, int8_t *q)
{
    const f32x4 most = f32_splat(127), least = f32_splat(-127), by = f32_splat(scale);
    i32x4 sum = i32_splat(0);
    for (size_t i = 0; i < n; i += 16) {
        float rest[16] = {0};
        const float *from = values + i;
        if (n - i < 16) from = memcpy(rest, from, (n - i) * sizeof *rest);
        i32x4 v[4];
        for (int j = 0; j < 4; j++) {
            v[j] = i32_round(f32_max(least, f32_min(most, f32_load(from + 4 * j) / by)));
            sum += v[j];
        }
        u8x16 biased = u8_narrow(i16_narrow(v[0] + 128, v[1] + 128), i16_narrow(v[2] + 128, v[3] + 128));
        i8x16 levels = (i8x16)(biased ^ (u8x16)i32_splat((int32_t)0x80808080));
        memcpy(q + i, &levels, sizeof levels);
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* ---- matrices -----------------------------------------------------------------------------------------------------
 */

static size_t blocks_a_panel(const hc_matrix *m) { return ((size_t)m->k + HC_DEPTH - 1) / HC_DEPTH; }

/* Index of value [row, 0] in fp32 and fp16 panels; value [row, j] is HC_PANEL * j further. */
static size_t lane_of(const hc_matrix *m, int row)
{
    return (size_t)(row / HC_PANEL) * (size_t)m->k * HC_PANEL + (size_t)(row % HC_PANEL);
}

/* Index of value [row, 0] in int8 panels. */
static size_t first_of(const hc_matrix *m, int row)
{
    return (size_t)(row / HC_PANEL) * blocks_a_panel(m) * BLOCK + (size_t)(row % HC_PANEL) * HC_DEPTH;
}

static void pack_row_i8(hc_matrix *m, int row, const float *values)
{
    int8_t *to = (int8_t *)m->data + first_of(m, row);
    size_t k = (size_t)m->k;
    m->scale[row] = scale_of(values, k);
    m->sum[row] = 0;
    for (size_t j = 0; j < k; j += CHUNK) {
        int8_t q[CHUNK] = {0};
        size_t n = k - j < CHUNK ? k - j : CHUNK;
        if (m->scale[row] > 0) m->sum[row] += quantise_chunk(values + j, n, m->scale[row], q);
        for (size_t i = 0; i < n; i += HC_DEPTH) memcpy(to + (j + i) / HC_DEPTH * BLOCK, q + i, HC_DEPTH);
    }
}

void hc_pack_row(hc_matrix *m, int row, const float *values)
{
    size_t k = (size_t)m->k, lane = m->storage <= HC_STORE_F16 ? lane_of(m, row) : 0;
    switch (m->storage) {
    case HC_STORE_F32: {
        float *to = (float *)m->data + lane;
        for (size_t j = 0; j < k; j++) to[j * HC_PANEL] = values[j];
        break;
    }
    case HC_STORE_F16: {
        uint16_t *to = (uint16_t *)m->data + lane;
        for (size_t j = 0; j < k; j++) to[j * HC_PANEL] = hc_float_to_half(values[j]);
        break;
    }
    case HC_STORE_I8: pack_row_i8(m, row, values); break;
    case HC_STORE_I4: hc_pack_row_i4(m, row, values, NULL, NULL); break;
    }
}

void hc_pack_column(hc_matrix *m, int column, const float *values)
{
    for (int row = 0; row < m->n; row++) {
        size_t at = lane_of(m, row) + (size_t)column * HC_PANEL;
        if (m->storage == HC_STORE_F32) ((float *)m->data)[at] = values[row];
        else ((uint16_t *)m->data)[at] = hc_float_to_half(values[row]);
    }
}

/* Half number i, whose magnitude may be the largest so far. */
static uint16_t take_half(const void *halves, size_t i, uint32_t *largest)
{
    uint16_t half;
    memcpy(&half, (const uint8_t *)halves + i * sizeof half, sizeof half);
    uint32_t size = half & 0x7FFFu;
    if (size > *largest) *largest = size;
    return half;
}

uint32_t hc_pack_row_halves(hc_matrix *m, int row, const void *halves)
{
    uint16_t *to = (uint16_t *)m->data + lane_of(m, row);
    uint32_t largest = 0;
    for (size_t j = 0; j < (size_t)m->k; j++) to[j * HC_PANEL] = take_half(halves, j, &largest);
    return largest;
}

uint32_t hc_pack_column_halves(hc_matrix *m, int column, const void *halves)
{
    uint16_t *to = (uint16_t *)m->data + (size_t)column * HC_PANEL;
    uint32_t largest = 0;
    for (int row = 0; row < m->n; row++) to[lane_of(m, row)] = take_half(halves, (size_t)row, &largest);
    return largest;
}

/* Whatever a file has in the padding, it must not count. */
static void clear_padding(hc_matrix *m)
{
    size_t blocks = blocks_a_panel(m), panels = ((size_t)m->n + HC_PANEL - 1) / HC_PANEL,
           behind = (size_t)m->k % HC_DEPTH;
    int8_t *data = m->data;
    /* Behind the last value of each channel, and channels behind the last. */
    for (size_t block = blocks - 1; behind && block < panels * blocks; block += blocks)
        for (size_t lane = 0; lane < HC_PANEL; lane++)
            memset(data + block * BLOCK + lane * HC_DEPTH + behind, 0, HC_DEPTH - behind);
    for (size_t block = (panels - 1) * blocks; m->n % HC_PANEL && block < panels * blocks; block++) {
        size_t lane = (size_t)m->n % HC_PANEL * HC_DEPTH;
        memset(data + block * BLOCK + lane, 0, BLOCK - lane);
    }
}

static void sum_channels(hc_matrix *m)
{
    size_t blocks = blocks_a_panel(m), panels = ((size_t)m->n + HC_PANEL - 1) / HC_PANEL;
    const int8_t *at = m->data;
    for (size_t panel = 0; panel < panels; panel++) {
        i32x4 low = i32_splat(0), high = low;
        for (size_t block = 0; block < blocks; block++, at += BLOCK) {
            low += i32_sum_quads(i8_load(at));
            high += i32_sum_quads(i8_load(at + BLOCK / 2));
        }
        i32_store(m->sum + panel * HC_PANEL, low);
        i32_store(m->sum + panel * HC_PANEL + 4, high);
    }
}

void hc_pack_finish(hc_matrix *m)
{
    if (m->storage == HC_STORE_I4) {
        hc_pack_finish_i4(m);
        return;
    }
    clear_padding(m);
    sum_channels(m);
}

void hc_dequantise_row(const hc_matrix *m, int row, float *out)
{
    if (m->storage == HC_STORE_I4) {
        hc_unpack_row_i4(m, row, out);
        return;
    }
    const int8_t *from = (const int8_t *)m->data + first_of(m, row);
    for (size_t j = 0; j < (size_t)m->k; j++) out[j] = (float)from[j / HC_DEPTH * BLOCK + j % HC_DEPTH] * m->scale[row];
}

void hc_unpack_row(const hc_matrix *m, int row, void *out)
{
    size_t lane = lane_of(m, row);
    for (size_t j = 0; j < (size_t)m->k; j++) {
        if (m->storage == HC_STORE_F32) ((float *)out)[j] = ((const float *)m->data)[lane + j * HC_PANEL];
        else ((uint16_t *)out)[j] = ((const uint16_t *)m->data)[lane + j * HC_PANEL];
    }
}

void hc_unpack_column(const hc_matrix *m, int column, void *out)
{
    for (int row = 0; row < m->n; row++) {
        size_t at = lane_of(m, row) + (size_t)column * HC_PANEL;
        if (m->storage == HC_STORE_F32) ((float *)out)[row] = ((const float *)m->data)[at];
        else ((uint16_t *)out)[row] = ((const uint16_t *)m->data)[at];
    }
}

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

void hc_pack_table_row(hc_table *t, int row, const float *values)
{
    size_t width = (size_t)t->width, at = (size_t)row * width;
    switch (t->storage) {
    case HC_STORE_F32: memcpy((float *)t->data + at, values, width * sizeof(float)); break;
    case HC_STORE_F16:
        for (size_t j = 0; j < width; j++) ((uint16_t *)t->data)[at + j] = hc_float_to_half(values[j]);
        break;
    case HC_STORE_I8: {
        float scale = scale_of(values, width);
        t->scale[row] = scale;
        for (size_t j = 0; scale > 0 && j < width; j += CHUNK) {
            int8_t q[CHUNK];
            size_t n = width - j < CHUNK ? width - j : CHUNK;
            quantise_chunk(values + j, n, scale, q);
            memcpy((int8_t *)t->data + at + j, q, n);
        }
        break;
    }
    case HC_STORE_I4: hc_pack_table_row_i4(t, row, values); break;
    }
}
