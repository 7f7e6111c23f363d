/* best.c: the best rows of scored blocks, in a heap of no more than are wanted (Williams, 1964). */
#include "search/search.h"

#include <math.h>

static int is_better(hc_hit a, hc_hit b) { return a.score > b.score || (a.score == b.score && a.row < b.row); }

/* Puts `hit` at place i or below it, so that no parent is better than its children. */
static void sift_down(hc_hit *heap, uint32_t count, uint32_t i, hc_hit hit)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)i + 1;
        if (child >= count) break;
        if (child + 1 < count && is_better(heap[child], heap[child + 1])) child++;
        if (!is_better(hit, heap[child])) break;
        heap[i] = heap[child];
        i = (uint32_t)child;
    }
    heap[i] = hit;
}

static void sift_up(hc_hit *heap, uint32_t i, hc_hit hit)
{
    for (; i && is_better(heap[(i - 1) / 2], hit); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = hit;
}

uint32_t hc_search_add(hc_hit *best, uint32_t found, uint32_t limit, hc_hit hit)
{
    if (found < limit) sift_up(best, found++, hit);
    else if (is_better(hit, best[0])) sift_down(best, found, 0, hit);
    return found;
}

/* The scores of block p. */
static const float *scores_of(const void *blocks, size_t p, size_t bytes)
{
    return (const float *)((const char *)blocks + p * bytes);
}

uint32_t hc_search_best(const void *blocks, size_t count, int width, int size, uint32_t first, float after_score,
                        uint32_t after_row, hc_hit *best, uint32_t found, uint32_t limit)
{
    size_t bytes = hc_block_bytes(width, size);
    float least = found < limit ? -INFINITY : best[0].score;
    for (size_t p = 0; p < count; p++) {
        const float *scores = scores_of(blocks, p, bytes);
        for (uint32_t r = 0; r < HC_BLOCK; r++) {
            /* Rows come in their order, so that none is better than one of the same score. NaN is never above. */
            if (!(scores[r] > least)) continue;
            hc_hit hit = {scores[r], first + (uint32_t)p * HC_BLOCK + r};
            if (!is_better((hc_hit){after_score, after_row}, hit)) continue;
            found = hc_search_add(best, found, limit, hit);
            if (found == limit) least = best[0].score;
        }
    }
    return found;
}

void hc_search_sort(hc_hit *best, uint32_t found)
{
    while (found > 1) {
        hc_hit last = best[--found];
        best[found] = best[0];
        sift_down(best, found, 0, last);
    }
}
