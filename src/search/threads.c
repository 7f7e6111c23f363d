/* threads.c: searches by several threads, each of which keeps the best rows, or the pairs, of what it has scored. */
#include "search/search.h"

#include <math.h>
#include <string.h>

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

typedef struct pairs_job {
    void *blocks;
    int first, step, width, size;
    uint32_t count;
    double above;
    uint32_t *next;
    char *prepared;
    hc_pair *pairs;
    uint32_t room, found[HC_MOST_THREADS];
} pairs_job;

static void find_some_pairs(void *context, int first, int last, int thread)
{
    pairs_job *j = context;
    uint32_t *found = &j->found[thread];
    char *prepared = j->prepared + (size_t)thread * 2 * (size_t)j->width;
    *found +=
        hc_search_pairs(j->blocks, j->first + first, j->first + last, j->step, j->width, j->size, j->count, j->above,
                        j->next, prepared, j->pairs + (size_t)thread * j->room + *found, j->room - *found);
}

uint32_t hc_search_share_pairs(hc_threads *threads, void *blocks, int first, int last, int step, int width, int size,
                               uint32_t count, double above, uint32_t *next, void *prepared, hc_pair *pairs,
                               uint32_t room)
{
    pairs_job j = {blocks, first, step, width, size, count, above, next, prepared, pairs, room, {0}};
    hc_parallel_for(threads, last - first, 1, find_some_pairs, &j);
    uint32_t found = j.found[0];
    for (int thread = 1; thread < hc_threads_count(threads); found += j.found[thread++])
        memmove(pairs + found, pairs + (size_t)thread * room, j.found[thread] * sizeof *pairs);
    return found;
}
