/* lane.h: where a row is among those of its tile. */
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

#endif
