/* test_search.c: src/search against plain loops, and against a sort of all that there is. */
#include "check.h"
#include "search/search.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 100 };

static uint32_t state = 1;

static int random_below(int n)
{
    state = state * 1664525 + 1013904223;
    return (int)((state >> 8) % (uint32_t)n);
}

typedef struct rows {
    int count, width, size;
    size_t blocks, block_bytes;
    char *memory;
} rows;

static void *row_at(const rows *r, int i)
{
    char *block = r->memory + (size_t)(i / HC_BLOCK) * r->block_bytes;
    return block + 2 * sizeof(float) * HC_BLOCK + (size_t)(i % HC_BLOCK) * (size_t)r->width * (size_t)r->size;
}

static float *scale_at(const rows *r, int i)
{
    return (float *)(r->memory + (size_t)(i / HC_BLOCK) * r->block_bytes) + HC_BLOCK + i % HC_BLOCK;
}

static float score_at(const rows *r, int i) { return *(scale_at(r, i) - HC_BLOCK); }

static rows make_rows(int count, int width, int size, int values)
{
    rows r = {.count = count, .width = width, .size = size, .block_bytes = hc_block_bytes(width, size)};
    r.blocks = (size_t)(count + HC_BLOCK - 1) / HC_BLOCK;
    r.memory = calloc(r.blocks, r.block_bytes);
    for (int i = 0; i < (int)r.blocks * HC_BLOCK; i++) *scale_at(&r, i) = NAN;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < width; k++) {
            int x = random_below(values + 1) * (random_below(2) ? 1 : -1);
            if (size == 1) ((int8_t *)row_at(&r, i))[k] = (int8_t)x;
            else ((float *)row_at(&r, i))[k] = (float)x / 97;
        }
        *scale_at(&r, i) =
            random_below(9) ? (float)(1 + random_below(3)) / 64 : NAN; /* of few, so that some are equal */
    }
    return r;
}

static float reference(const rows *r, int i, const void *query, double scale)
{
    double dot = 0;
    if (r->size == 1) {
        const int8_t *x = row_at(r, i), *q = query;
        for (int k = 0; k < r->width; k++) dot += x[k] * q[k];
    } else {
        const float *x = row_at(r, i), *q = query;
        float sums[8] = {0};
        for (int k = 0; k < r->width; k++) sums[k % 8] += x[k] * q[k];
        for (int k = 0; k < 4; k++) sums[k] += sums[k + 4];
        dot = (sums[0] + sums[2]) + (sums[1] + sums[3]);
    }
    return (float)(dot * *scale_at(r, i) * scale);
}

static int compare(const void *a, const void *b)
{
    const hc_hit *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->row < y->row ? -1 : 1;
}

/* hc_search_best, by sorting. */
static uint32_t best_of_all(const rows *r, hc_hit after, hc_hit *all, uint32_t limit)
{
    uint32_t found = 0;
    for (int i = 0; i < r->count; i++) {
        hc_hit hit = {score_at(r, i), (uint32_t)i};
        if (!isnan(hit.score) && compare(&after, &hit) < 0) all[found++] = hit;
    }
    qsort(all, found, sizeof *all, compare);
    return found < limit ? found : limit;
}

static int same(const hc_hit *a, const hc_hit *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (a[i].row != b[i].row || a[i].score != b[i].score) return 0;
    return 1;
}

/* The best rows by several threads. */
static void check_threads(const rows *r, const void *asked, double scale)
{
    enum { THREADS = 3 };
    hc_threads *threads = hc_threads_new(THREADS);
    hc_hit all[MOST_ROWS], best[THREADS * MOST_ROWS];
    for (uint32_t limit = 1; limit <= MOST_ROWS; limit = 2 * limit + 1) {
        uint32_t found =
            hc_search_find(threads, r->memory, (int)r->blocks, 4, r->width, r->size, asked, scale, best, limit);
        hc_search_sort(best, found);
        uint32_t expected = best_of_all(r, (hc_hit){INFINITY, 0}, all, limit);
        CHECK(found == expected && same(best, all, found), "the best %u by threads: found %u, expected %u", limit,
              found, expected);
    }
    hc_threads_free(threads);
}

static void check_search(const rows *r, const void *query)
{
    const double scale = 0.3;
    void *prepared = malloc(2 * (size_t)r->width);
    if (r->size == 1) hc_search_prepare(query, r->width, prepared);
    size_t half = r->blocks / 2;
    const void *asked = r->size == 1 ? prepared : query;
    hc_search_score(r->memory, half, r->width, r->size, asked, scale);
    hc_search_score(r->memory + half * r->block_bytes, r->blocks - half, r->width, r->size, asked, scale);
    for (int i = 0; i < r->count; i++) {
        float found = score_at(r, i), expected = reference(r, i, query, scale);
        CHECK(found == expected || (isnan(found) && isnan(expected)), "row %d: found %.9g, expected %.9g", i,
              (double)found, (double)expected);
    }
    hc_hit all[MOST_ROWS], best[MOST_ROWS], after = {INFINITY, 0};
    for (uint32_t limit = 1; limit <= MOST_ROWS; limit = 2 * limit + 1) {
        uint32_t found = hc_search_best(r->memory, half, r->width, r->size, 0, after.score, after.row, best, 0, limit);
        found = hc_search_best(r->memory + half * r->block_bytes, r->blocks - half, r->width, r->size,
                               (uint32_t)half * HC_BLOCK, after.score, after.row, best, found, limit);
        hc_search_sort(best, found);
        uint32_t expected = best_of_all(r, after, all, limit);
        CHECK(found == expected && same(best, all, found), "the best %u: found %u, expected %u", limit, found,
              expected);
        if (found) after = best[found / 2];
    }
    check_threads(r, asked, scale);
    free(prepared);
}

static int compare_pairs(const void *a, const void *b)
{
    const hc_pair *x = a, *y = b;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    return x->other < y->other ? -1 : 1;
}

/* All pairs, some at a time, by one thread or by several, against a loop over all. */
static void check_pairs(const rows *r, int thread_count, int step, uint32_t room, double above)
{
    enum { MOST_PAIRS = MOST_ROWS * MOST_ROWS };
    static hc_pair all[MOST_PAIRS], expected[MOST_PAIRS];
    hc_threads *threads = thread_count > 1 ? hc_threads_new(thread_count) : NULL;
    hc_pair *pairs = malloc((size_t)thread_count * room * sizeof *pairs);
    void *prepared = malloc((size_t)thread_count * 2 * (size_t)r->width);
    uint32_t next[MOST_ROWS] = {0}, found = 0, calls = 0, right = 0;
    int parts = ((int)r->blocks + step - 1) / step;
    for (uint32_t n = 1; n; calls++, found += n) {
        n = threads ? hc_search_share_pairs(threads, r->memory, 0, parts, step, r->width, r->size, (uint32_t)r->count,
                                            above, next, prepared, pairs, room)
                    : hc_search_pairs(r->memory, 0, parts, step, r->width, r->size, (uint32_t)r->count, above, next,
                                      prepared, pairs, room);
        if (found + n > MOST_PAIRS) break;
        memcpy(all + found, pairs, n * sizeof *pairs);
    }
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < i; k++) {
            float score = reference(r, k, row_at(r, i), (double)*scale_at(r, i));
            if ((double)score >= above) expected[right++] = (hc_pair){score, (uint32_t)k, (uint32_t)i};
        }
    qsort(all, found, sizeof *all, compare_pairs);
    CHECK(found == right && !memcmp(all, expected, found * sizeof *all),
          "%d rows, %d threads, parts of %d blocks: %u pairs in %u calls, expected %u", r->count, thread_count, step,
          found, calls, right);
    free(prepared);
    free(pairs);
    hc_threads_free(threads);
}

static void check_hashes(void)
{
    static const struct {
        const char *text;
        uint32_t hash;
    } known[] = {{"0123", 0x0a0b4c93},
                 {"0123456789", 0x950c9c0a},
                 {"Nobody inspec", 0x6db0a163},
                 {"0123456789abcdef", 0xc2c45b69},
                 {"Nobody inspects the spammish repetition", 0xe2293b2f}};
    int8_t row[4 + 50], to[50];
    for (int i = 0; i < 54; i++) row[i] = (int8_t)(random_below(255) - 127);
    float scale;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        memcpy(&scale, known[i].text, sizeof scale);
        uint32_t hash = hc_search_hash(scale, known[i].text + 4, strlen(known[i].text) - 4, 0);
        CHECK(hash == known[i].hash, "%s: %08x", known[i].text, hash);
    }
    memcpy(&scale, row, sizeof scale);
    for (int size = 1; size <= 2; size++) {
        size_t dim = 50 / (size_t)size;
        uint32_t hash = hc_search_hash(scale, row + 4, 50, 7);
        memset(to, 0, sizeof to);
        CHECK(!hc_search_take(to, row + 4, dim, size, scale, 8, hash), "another entry");
        CHECK(!hc_search_take(to, row + 4, dim, size, -scale, 7, hash), "another scale");
        for (int i = 4; i < 54; i++) {
            int8_t was = row[i];
            row[i] ^= 1;
            CHECK(!hc_search_take(to, row + 4, dim, size, scale, 7, hash), "another byte %d", i);
            row[i] = -128;
            uint32_t other = hc_search_hash(scale, row + 4, 50, 7);
            CHECK(hc_search_take(to, row + 4, dim, size, scale, 7, other) == (size != 1), "-128 at %d", i);
            row[i] = was;
        }
        CHECK(hc_search_take(to, row + 4, dim, size, scale, 7, hash), "as it was");
        CHECK(!memcmp(to, row + 4, 50), "its numbers");
    }
}

int main(void)
{
    check_hashes();
    static const int counts[] = {0, 1, 15, 16, 17, MOST_ROWS}, widths[] = {16, 48, 512};
    for (int c = 0; c < 6; c++)
        for (int w = 0; w < 3; w++)
            for (int size = 1; size <= 4; size += 3)
                for (int values = 1; values <= 127; values += 126) {
                    rows r = make_rows(counts[c], widths[w], size, values);
                    rows query = make_rows(1, widths[w], size, values);
                    check_search(&r, row_at(&query, 0));
                    for (int threads = 1; threads <= 3; threads++) {
                        check_pairs(&r, threads, 1, HC_BLOCK, -1e9);
                        check_pairs(&r, threads, 4, 5 * HC_BLOCK, 0);
                    }
                    free(r.memory);
                    free(query.memory);
                }
    /* The largest sums. */
    rows r = make_rows(1, HC_MOST_WIDTH, 1, 1);
    memset(row_at(&r, 0), 127, HC_MOST_WIDTH);
    *scale_at(&r, 0) = 1;
    check_search(&r, row_at(&r, 0));
    memset(row_at(&r, 0), -127, HC_MOST_WIDTH);
    check_search(&r, row_at(&r, 0));
    free(r.memory);
    return check_result("search");
}
