/* pack_i4.c: quantisation to 4 bits in groups of 32, by least squares, and the order of its values. */
#include "kernels/kernels.h"
#include "load/pack.h"
#include "kernels/simd.h"

enum { LANES = HC_GROUP / 4, LOWEST = -8, HIGHEST = 7, CANDIDATES = 8 };

/* ---- one group ----------------------------------------------------------------------------------------------------
 */

/* x * inverse, rounded half to even, in the range of 4 bits. */
SIMD_INLINE i32x4 levels(f32x4 x, float inverse)
{
    return i32_round(f32_min(f32_splat(HIGHEST), f32_max(f32_splat(LOWEST), x * inverse)));
}

static const float ONES[HC_GROUP] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* The value of the largest magnitude, with its sign. */
static float farthest(const float *x)
{
    float low = 0, high = 0;
    for (int i = 0; i < HC_GROUP; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return -low > high ? low : high;
}

/* Writes 32 levels and returns their scale as a half. Candidates put the farthest value at -8 (so that all 16 levels
 * count) or a little beyond or short of it; each one's levels q have the scale (x·q) / (q·q) that fits them best, and
 * the candidate with the smallest squared error, that is the largest (x·q)² / (q·q), is taken. Products count as much
 * as `counts` says. After the search for scales in ggml's k-quants. */
static uint16_t quantise_group(const float *x, const float *counts, int8_t *q)
{
    float most = farthest(x), best = -1, scale = 0;
    for (int i = 0; most != 0 && i < CANDIDATES; i++) {
        float inverse = (-7.0f - 0.25f * (float)i) / most;
        f32x4 xq = f32_splat(0), qq = f32_splat(0);
        for (int j = 0; j < LANES; j++) {
            f32x4 value = f32_load(x + 4 * j), level = f32_from_i32(levels(value, inverse));
            f32x4 counted = level * f32_load(counts + 4 * j);
            xq += value * counted;
            qq += level * counted;
        }
        float fit = f32_sum(xq), size = f32_sum(qq), gain = fit / size * fit;
        if (gain > best) {
            best = gain;
            scale = fit / size;
        }
    }
    uint16_t half = hc_float_to_half(scale);
    float held = hc_half_to_float(half), inverse = 1.0f / held;
    int none = !(inverse - inverse == 0); /* of a scale too small for a half: all is 0 */
    for (int j = 0; j < LANES; j++) {
        i32x4 level = none ? i32_splat(0) : levels(f32_load(x + 4 * j), inverse);
        for (int i = 0; i < 4; i++) q[4 * j + i] = (int8_t)level[i];
    }
    return none ? 0 : half;
}

/* ---- matrices -----------------------------------------------------------------------------------------------------
 */

/* The 128 bytes of a group of a panel, as one index for all of a matrix. */
static size_t group_index(const hc_matrix *m, int row, size_t group)
{
    return (size_t)(row / HC_PANEL) * hc_groups(m->k) + group;
}

static uint8_t *group_bytes(const hc_matrix *m, size_t index)
{
    return (uint8_t *)m->data + index * HC_PANEL * HC_GROUP_BYTES;
}

/* Where value j of a channel is in them: 16 bytes for each 4 of k, channels 0 to 3 low, 4 to 7 high. */
static size_t byte_of(int row, size_t j)
{
    return j / HC_DEPTH * HC_ALIGN + (size_t)(row % 4) * HC_DEPTH + j % HC_DEPTH;
}
static int shift_of(int row) { return row % HC_PANEL < 4 ? 0 : 4; }

static int signed_nibble(int byte, int shift) { return ((byte >> shift & 15) ^ 8) - 8; }

void hc_pack_levels_i4(hc_matrix *m, int row, size_t group, const int8_t q[HC_GROUP], uint16_t scale)
{
    int shift = shift_of(row);
    size_t index = group_index(m, row, group);
    uint8_t *to = group_bytes(m, index);
    int32_t sum = 0;
    for (size_t j = 0; j < HC_GROUP; j++) {
        uint8_t *byte = to + byte_of(row, j);
        *byte = (uint8_t)((*byte & 0xF0 >> shift) | (q[j] & 15) << shift);
        sum += q[j];
    }
    m->group_scale[index * HC_PANEL + (size_t)(row % HC_PANEL)] = scale;
    if (!group) m->total[row] = 0;
    m->total[row] += hc_half_to_float(scale) * (float)sum;
}

float hc_pack_row_i4(hc_matrix *m, int row, const float *values, const float *counts, const float *means)
{
    float taken = 0;
    for (size_t first = 0, k = (size_t)m->k; first < k; first += HC_GROUP) {
        float x[HC_GROUP] = {0}, counted[HC_GROUP];
        int8_t q[HC_GROUP];
        size_t n = k - first < HC_GROUP ? k - first : HC_GROUP;
        memcpy(counted, ONES, sizeof counted);
        memcpy(x, values + first, n * sizeof *x);
        if (counts) memcpy(counted, counts + first, n * sizeof *counted);
        uint16_t scale = quantise_group(x, counted, q);
        hc_pack_levels_i4(m, row, first / HC_GROUP, q, scale);
        float held = hc_half_to_float(scale);
        for (size_t j = 0; means && j < n; j++) taken += means[first + j] * (x[j] - held * (float)q[j]);
    }
    return taken;
}

void hc_unpack_row_i4(const hc_matrix *m, int row, float *out)
{
    for (size_t j = 0; j < (size_t)m->k; j++) {
        size_t index = group_index(m, row, j / HC_GROUP);
        float scale = hc_half_to_float(m->group_scale[index * HC_PANEL + (size_t)(row % HC_PANEL)]);
        out[j] = (float)signed_nibble(group_bytes(m, index)[byte_of(row, j % HC_GROUP)], shift_of(row)) * scale;
    }
}

/* Whatever a file has in the padding, it must not count. */
static void clear_padding(hc_matrix *m)
{
    size_t groups = hc_groups(m->k);
    int rows = (int)hc_round_up((size_t)m->n, HC_PANEL);
    for (int row = 0; row < rows; row++) {
        size_t from = row < m->n ? (size_t)m->k : 0;
        for (size_t j = from; j < groups * HC_GROUP; j++)
            group_bytes(m, group_index(m, row, j / HC_GROUP))[byte_of(row, j % HC_GROUP)] &=
                (uint8_t)(0xF0 >> shift_of(row));
        for (size_t group = 0; row >= m->n && group < groups; group++)
            m->group_scale[group_index(m, row, group) * HC_PANEL + (size_t)(row % HC_PANEL)] = 0;
    }
}

void hc_pack_finish_i4(hc_matrix *m)
{
    const i8x16 eights = (i8x16)i32_splat(0x08080808);
    size_t groups = hc_groups(m->k), panels = hc_round_up((size_t)m->n, HC_PANEL) / HC_PANEL;
    clear_padding(m);
    memset(m->total, 0, panels * HC_PANEL * sizeof *m->total);
    for (size_t index = 0; index < panels * groups; index++) {
        float *total = m->total + index / groups * HC_PANEL;
        i8x16 low = (i8x16)i32_splat(0), high = low; /* sums of eight values: at least -64 */
        for (int step = 0; step < HC_GROUP / HC_DEPTH; step++) {
            i8x16 pairs = i8_load((const int8_t *)group_bytes(m, index) + step * HC_ALIGN) ^ (eights | eights << 4);
            low += (pairs & 15) - eights;
            high += (i8x16)((u8x16)pairs >> 4) - eights;
        }
        for (int lane = 0; lane < HC_PANEL; lane++) {
            int32_t sum = 0;
            for (int j = 0; j < HC_DEPTH; j++) sum += (lane < 4 ? low : high)[lane % 4 * HC_DEPTH + j];
            total[lane] += hc_half_to_float(m->group_scale[index * HC_PANEL + (size_t)lane]) * (float)sum;
        }
    }
}

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

void hc_pack_table_row_i4(hc_table *t, int row, const float *values)
{
    size_t groups = hc_groups(t->width), width = (size_t)t->width;
    for (size_t group = 0, index = (size_t)row * groups; group < groups; group++, index++) {
        float x[HC_GROUP] = {0};
        int8_t q[HC_GROUP];
        size_t first = group * HC_GROUP;
        memcpy(x, values + first, (width - first < HC_GROUP ? width - first : HC_GROUP) * sizeof *x);
        t->group_scale[index] = quantise_group(x, ONES, q);
        uint8_t *to = (uint8_t *)t->data + index * HC_GROUP_BYTES;
        for (int i = 0; i < HC_GROUP_BYTES; i++) to[i] = (uint8_t)((q[i] & 15) | (q[i + HC_GROUP_BYTES] & 15) << 4);
    }
}
