/* lane.h: what those that put rows in their order (rows.c, windows.c) share. */
#ifndef HC_LANE_H
#define HC_LANE_H

#include "kernels/rows.h"

/* A row's place in its tile. */
typedef struct hc_lane {
    size_t begin;     /* of the tile's values */
    int number, rows; /* in the tile          */
} hc_lane;

static inline hc_lane hc_lane_of(const hc_rows *rows, int row)
{
    int tiles = hc_tile_count(rows->count, rows->most), tile = hc_tile_of(rows->count, tiles, row),
        first = hc_tile_first(rows->count, tiles, tile);
    return (hc_lane){rows->depth * (size_t)first, row - first, hc_tile_first(rows->count, tiles, tile + 1) - first};
}

/* How a row becomes levels at 7 bits: round-half-even(x * inverse) + zero, but at least 0 and at most 127. */
typedef struct hc_levels {
    float inverse; /* 0: all levels are 0 */
    int32_t zero;
} hc_levels;

/* The range of k values and 0. Returns whether all of them are finite. */
int hc_range_of(const float *x, int k, float *smallest, float *largest);

/* Sets a row's scale and zero point from its range. */
hc_levels hc_rows_set_range(const hc_rows *rows, int row, float smallest, float largest, int finite);

#endif
