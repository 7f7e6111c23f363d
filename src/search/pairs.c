/* pairs.c: rows that are near to each other. Each is a query, for those before it; blocks are compared with all that
 * come after them before the next ones are, while they are in a cache. */
#include "search/search.h"

/* Adds the rows of `count` blocks, from number `first` on, that come before `row` and score enough with it. */
static uint32_t add_pairs(const char *blocks, size_t count, size_t bytes, uint32_t first, uint32_t row, double above,
                          hc_pair *pairs)
{
    uint32_t found = 0;
    for (size_t p = 0; p < count; p++) {
        const float *scores = (const float *)(blocks + p * bytes);
        for (uint32_t r = 0; r < HC_BLOCK; r++) {
            uint32_t other = first + (uint32_t)p * HC_BLOCK + r;
            if ((double)scores[r] >= above && other < row) pairs[found++] = (hc_pair){scores[r], other, row};
        }
    }
    return found;
}

uint32_t hc_search_pairs(void *blocks, int first, int last, int step, int width, int size, uint32_t count, double above,
                         uint32_t *next, void *prepared, hc_pair *pairs, uint32_t room)
{
    size_t bytes = hc_block_bytes(width, size);
    uint32_t found = 0, rows = (uint32_t)step * HC_BLOCK; /* of a part */
    for (int i = first; i < last; i++) {
        char *part = (char *)blocks + (size_t)i * (size_t)step * bytes;
        uint32_t begin = (uint32_t)i * rows, row = next[i] > begin ? next[i] : begin + 1;
        for (; row < count && found + rows <= room; row++) {
            size_t block = (row - begin) / HC_BLOCK, r = row % HC_BLOCK;
            const float *scales = (const float *)(part + block * bytes) + HC_BLOCK;
            if (scales[r] != scales[r]) continue;
            const void *query = (const char *)(scales + HC_BLOCK) + r * (size_t)width * (size_t)size;
            if (size == 1) {
                hc_search_prepare(query, width, prepared);
                query = prepared;
            }
            /* Only what comes before the row: pairs of the rest were looked at, or will be. */
            size_t some = (row - begin + HC_BLOCK - 1) / HC_BLOCK;
            if (some > (size_t)step) some = (size_t)step;
            hc_search_score(part, some, width, size, query, (double)scales[r]);
            found += add_pairs(part, some, bytes, begin, row, above, pairs + found);
        }
        next[i] = row;
    }
    return found;
}
