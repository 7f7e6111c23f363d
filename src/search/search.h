/* search.h: scores of a query with many vectors, and the best of them; pairs of near ones; checksums of vectors.
 *
 * Vectors lie in blocks of HC_BLOCK rows, one after the other in memory:
 *     float scores[HC_BLOCK]     what hc_search_score found last
 *     float scales[HC_BLOCK]     a row's numbers times this are the vector; NaN: there is no such row (any more)
 *     rows [HC_BLOCK][width]     int8_t, from -127 to 127, or float; zeros from the vector's length up to width
 * width is a multiple of HC_WIDTH, at most HC_MOST_WIDTH. Rows are numbered through all blocks. */
#ifndef HC_SEARCH_H
#define HC_SEARCH_H

#include "kernels/parallel.h"

#include <stddef.h>
#include <stdint.h>

enum { HC_BLOCK = 16, HC_WIDTH = 16, HC_MOST_WIDTH = 1 << 16, HC_MOST_THREADS = 64 };

/* A row that was found. */
typedef struct hc_hit {
    float score;
    uint32_t row;
} hc_hit;

/* Two rows that are near to each other, of which `other` comes before `row`. */
typedef struct hc_pair {
    float score;
    uint32_t other, row;
} hc_pair;

/* The bytes of a block whose numbers take `size` bytes each: 1 for int8, 4 for fp32. */
static inline size_t hc_block_bytes(int width, int size)
{
    return HC_BLOCK * (2 * sizeof(float) + (size_t)width * (size_t)size);
}

/* Writes an int8 query [width], from -127 to 127, as hc_search_score reads it: 2 * width bytes. */
void hc_search_prepare(const int8_t *query, int width, void *prepared);

/* Scores the rows of `count` blocks: the product with the query, times the row's scale, times `scale`, rounded once to
 * a float; NaN where there is no row. size 1: `query` is a prepared one, and the product an exact integer; size 4: it
 * is float [width], and sums are taken in an order that depends on the width alone. */
void hc_search_score(void *blocks, size_t count, int width, int size, const void *query, double scale);

/* Adds to the `found` best rows in `best` those of `count` blocks, the first of whose rows has the number `first`, that
 * are better: with a higher score, or of equal ones with the lower number. Only rows that come after (after_score,
 * after_row) in that order count; all, if after_score is infinite. `best` has room for `limit` >= 1 rows and is a heap
 * whose root is the worst. Returns how many are in it. */
uint32_t hc_search_best(const void *blocks, size_t count, int width, int size, uint32_t first, float after_score,
                        uint32_t after_row, hc_hit *best, uint32_t found, uint32_t limit);

/* Adds one row to such a heap, if it is better than the worst or there is room. Returns how many are in it. */
uint32_t hc_search_add(hc_hit *best, uint32_t found, uint32_t limit, hc_hit hit);

/* hc_search_score, and hc_search_best of all, by at most HC_MOST_THREADS threads, `step` blocks at a time; `best` has
 * room for `limit` rows for each of them. */
uint32_t hc_search_find(hc_threads *threads, void *blocks, int count, int step, int width, int size, const void *query,
                        double scale, hc_hit *best, uint32_t limit);

/* Sorts such a heap, best first. */
void hc_search_sort(hc_hit *best, uint32_t found);

/* Lists the pairs of `count` rows whose score is at least `above`, of which the earlier row is in one of the parts from
 * `first` to before `last`: part i has `step` blocks, from i * step on, and next[i] is the later row from which on it
 * is still to be compared, 0 at first. Stops early where there might be more than `room` pairs, which is HC_BLOCK *
 * step or more; another call goes on from there, and all have been found when one finds none. `prepared` has room for a
 * query that is, if size is 1. Returns how many pairs there are. */
uint32_t hc_search_pairs(void *blocks, int first, int last, int step, int width, int size, uint32_t count, double above,
                         uint32_t *next, void *prepared, hc_pair *pairs, uint32_t room);

/* The same by at most HC_MOST_THREADS threads, for each of which there is room for a query and for `room` pairs, one
 * after the other. Which pairs come in which call, and in which order, depends on the threads. */
uint32_t hc_search_share_pairs(hc_threads *threads, void *blocks, int first, int last, int step, int width, int size,
                               uint32_t count, double above, uint32_t *next, void *prepared, hc_pair *pairs,
                               uint32_t room);

/* XXH32 (Collet) of a row as a file has it: its scale, and then the bytes of its numbers. */
uint32_t hc_search_hash(float scale, const void *row, size_t bytes, uint32_t seed);

/* Copies a row of `dim` numbers of `size` bytes from a file to its place, if that is the hash of it, and no int8 number
 * is -128. Returns whether it did. */
int hc_search_take(void *to, const void *row, size_t dim, int size, float scale, uint32_t seed, uint32_t hash);

#endif
