/* threads.c: a search by several threads, each of which keeps the best rows of what it has scored. */
#include "search/search.h"

#include <math.h>

typedef struct job {
    char *blocks;
    int step, width, size;
    const void *query;
    double scale;
    hc_hit *best;
    uint32_t limit, found[HC_MOST_THREADS];
} job;

static void find_some(void *context, int first, int last, int thread)
{
    job *j = context;
    hc_hit *best = j->best + (size_t)thread * j->limit;
    for (int n; first < last; first += n) {
        n = last - first < j->step ? last - first : j->step;
        char *blocks = j->blocks + (size_t)first * hc_block_bytes(j->width, j->size);
        hc_search_score(blocks, (size_t)n, j->width, j->size, j->query, j->scale);
        j->found[thread] = hc_search_best(blocks, (size_t)n, j->width, j->size, (uint32_t)first * HC_BLOCK, INFINITY, 0,
                                          best, j->found[thread], j->limit);
    }
}

uint32_t hc_search_find(hc_threads *threads, void *blocks, int count, int step, int width, int size, const void *query,
                        double scale, hc_hit *best, uint32_t limit)
{
    job j = {blocks, step, width, size, query, scale, best, limit, {0}};
    hc_parallel_for(threads, count, step, find_some, &j);
    uint32_t found = j.found[0];
    for (int thread = 1; thread < hc_threads_count(threads); thread++)
        for (uint32_t i = 0; i < j.found[thread]; i++)
            found = hc_search_add(best, found, limit, best[(size_t)thread * limit + i]);
    return found;
}
