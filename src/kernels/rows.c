/* rows.c: where rows of floats lie in the order of hc_rows, and how they are put there at fp32. */
#include "kernels/lane.h"
#include "kernels/levels.h"

/* The most rows of a tile: as many as leave enough of the 16 registers of x86-64 for a panel's values, a row's, and
 * products. A product that is added in the same instruction needs no register. */
static int most_rows(const hc_rows *rows, int quantised)
{
    int in_one = 0;
#ifdef HC_HAS_FMA
    in_one |= !quantised;
#endif
#ifdef HC_Q7_IS_BYTE
    in_one |= quantised && rows->dot == HC_DOT_QUADS;
#endif
    (void)rows, (void)quantised;
    return in_one ? 6 : 4;
}

static char *part(char *memory, uint64_t *at, uint64_t bytes)
{
    char *here = memory ? memory + (size_t)*at : NULL;
    *at = hc_size_sum(*at, bytes);
    return here;
}

/* Gives everything its place in `memory`; with NULL only counts. */
static uint64_t place(hc_rows *rows, uint64_t count, uint64_t k, int quantised, char *memory)
{
    uint64_t values = quantised ? hc_size_product(hc_size_round_up(k, HC_GROUP), sizeof(hc_q7))
                                : hc_size_product(k, sizeof(float)),
             at = hc_size_round_up(hc_size_product(count, values), HC_ALIGN);
    rows->x = quantised ? NULL : (float *)(void *)memory;
    rows->q = quantised ? (hc_q7 *)(void *)memory : NULL;
    int blocks = rows->most_blocks = quantised && rows->apart ? hc_outlier_blocks(k) : 0;
    rows->most_outliers = blocks && !rows->whole ? HC_BLOCK_OUTLIERS * blocks + HC_LAST_OUTLIERS : 0;
    if (!quantised) return at;
    uint64_t number = hc_size_product(count, sizeof(float));
    rows->scale = (float *)(void *)part(memory, &at, number);
    rows->zero = (int32_t *)(void *)part(memory, &at, number);
    if (!rows->most_outliers) return hc_size_round_up(at, HC_ALIGN);
    uint64_t outliers = hc_size_product(count, (uint64_t)rows->most_outliers * sizeof *rows->outliers);
    rows->above = (int32_t *)(void *)part(memory, &at, number);
    rows->below = (int32_t *)(void *)part(memory, &at, number);
    rows->outliers = (hc_outlier *)(void *)part(memory, &at, outliers);
    return hc_size_round_up(at, HC_ALIGN);
}

uint64_t hc_rows_bytes(uint64_t count, uint64_t k, int quantised, int apart)
{
    hc_rows rows = {.apart = apart};
    return place(&rows, count, k, quantised, NULL);
}

void hc_rows_lay(hc_rows *rows, const hc_matrix *w, int count, void *memory)
{
    int quantised = hc_is_quantised(w->storage);
    rows->count = count;
    rows->k = w->k;
    rows->most = most_rows(rows, quantised);
#ifndef HC_Q7_IS_BYTE
    /* int4 adds outliers behind the groups of a stretch, as rounded floats: everywhere in that order. */
    rows->whole = w->storage == HC_STORE_I8;
#endif
    rows->depth = quantised ? hc_round_up((size_t)w->k, HC_GROUP) : (size_t)w->k;
    place(rows, (uint64_t)count, (uint64_t)w->k, quantised, memory);
}

void hc_rows_put_part(const hc_rows *rows, int row, int first, const float *x, int n)
{
    hc_lane l = hc_lane_of(rows, row);
    size_t step = (size_t)l.rows;
    float *to = rows->x + l.begin + (size_t)first * step + (size_t)l.number;
    int i = 0;
    for (; i + 4 <= n; i += 4, to += 4 * step) {
        f32x4 v = f32_load(x + i);
        if (rows->exact) v = f32_round_to(13, v);
        for (int j = 0; j < 4; j++) to[(size_t)j * step] = v[j];
    }
    for (; i < n; i++, to += step) *to = rows->exact ? f32_round_to(13, f32_splat(x[i]))[0] : x[i];
}

void hc_rows_put(const hc_rows *rows, int row, const float *x)
{
    if (rows->q) hc_rows_put_levels(rows, row, x);
    else hc_rows_put_part(rows, row, 0, x, rows->k);
}
