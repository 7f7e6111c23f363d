/* test_parallel.c: loops over several threads do every iteration once, whatever their number, the loop's length and who
 * is asleep; a GEMM gives the same bits for any number of threads. Built a second time under ThreadSanitizer. */
#include "check.h"
#include "kernels/kernels.h"
#include "kernels/parallel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 3000, THREADS = 5 };

typedef struct loop {
    int counts[MOST]; /* how often each iteration was done */
    _Atomic int chunks, misplaced, busy[THREADS];
    int grain, count, threads;
} loop;

static void count_iterations(void *context, int first, int last, int thread)
{
    loop *l = context;
    atomic_fetch_add(&l->chunks, 1);
    if (thread < 0 || thread >= l->threads || first >= last || first % l->grain ||
        (last % l->grain && last != l->count) || atomic_fetch_add(&l->busy[thread], 1))
        atomic_fetch_add(&l->misplaced, 1);
    for (int i = first; i < last; i++) l->counts[i]++;
    atomic_fetch_sub(&l->busy[thread], 1);
}

static void check_loop(hc_threads *threads, int count, int grain)
{
    static loop l;
    memset(&l, 0, sizeof l);
    l.grain = grain;
    l.count = count;
    l.threads = hc_threads_count(threads);
    hc_parallel_for(threads, count, grain, count_iterations, &l);
    int wrong = 0;
    for (int i = 0; i < MOST; i++) wrong += l.counts[i] != (i < count);
    int chunks = atomic_load(&l.chunks);
    CHECK(!wrong, "%d threads, %d iterations by %d: %d done another number of times than once", l.threads, count, grain,
          wrong);
    CHECK(!atomic_load(&l.misplaced),
          "%d threads, %d iterations by %d: cut in the wrong place, or two chunks on one thread at once", l.threads,
          count, grain);
    CHECK(count ? chunks >= 1 : !chunks, "%d chunks of %d iterations", chunks, count);
    CHECK(l.threads > 1 || chunks <= 1, "one thread does it in one chunk, found %d", chunks);
}

static void check_loops(int size)
{
    hc_threads *threads = size ? hc_threads_new(size) : NULL;
    CHECK(hc_threads_count(threads) == (size ? size : 1), "%d threads", hc_threads_count(threads));
    for (int count = 0; count < 40; count++)
        for (int grain = 1; grain < 6; grain++) check_loop(threads, count, grain);
    for (int i = 0; i < 300; i++) check_loop(threads, 1 + i * 37 % MOST, 1 + i % 7);
    for (int i = 0; i < 5 && size; i++) {
        const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000}; /* long enough for all to fall asleep */
        nanosleep(&pause, NULL);
        hc_threads_may_sleep(threads, i % 2);
        check_loop(threads, MOST, 1);
    }
    if (threads) {
        hc_threads_stop(threads);
        check_loop(threads, 1000, 3);
    }
    hc_threads_free(threads);
}

static float *values(size_t n)
{
    float *x = malloc(n * sizeof *x);
    if (!x) exit(1);
    for (size_t i = 0; i < n; i++) x[i] = (float)((i * 7919 + 13) % 2001) / 1000 - 1;
    return x;
}

static void check_gemm(int m, int n, int k)
{
    float *w = values((size_t)hc_round_up((size_t)n, HC_PANEL) * (size_t)k), *bias = values((size_t)n + HC_PANEL),
          *a = values((size_t)m * (size_t)k);
    size_t bytes = (size_t)(m * n) * sizeof(float);
    float *one = malloc(bytes), *several = malloc(bytes);
    if (!one || !several) exit(1);
    hc_matrix matrix = {.n = n, .k = k, .storage = HC_STORE_F32, .data = w};
    hc_rows rows = {.exact = 0};
    hc_rows_lay(&rows, &matrix, m, malloc(hc_rows_bytes((uint64_t)m, (uint64_t)k, 0, 0)));
    for (int r = 0; r < m; r++) hc_rows_put(&rows, r, a + (size_t)r * (size_t)k);
    hc_epilogue e = {.bias = bias, .activation = HC_GELU};
    hc_gemm(NULL, &matrix, &rows, &e, one, (size_t)n);
    for (int size = 2; size <= THREADS; size++) {
        hc_threads *threads = hc_threads_new(size);
        for (int i = 0; i < 4; i++) {
            memset(several, 0, bytes);
            hc_gemm(threads, &matrix, &rows, &e, several, (size_t)n);
            CHECK(!memcmp(one, several, bytes), "%d x %d x %d: other bits on %d threads", m, n, k, size);
        }
        hc_threads_free(threads);
    }
    free(rows.x);
    free(one);
    free(several);
    free(w);
    free(bias);
    free(a);
}

int main(void)
{
    for (int size = 0; size <= THREADS; size++) check_loops(size);
    check_gemm(50, 768, 64);
    check_gemm(1, 100, 30);
    check_gemm(2, 8, 30);
    check_gemm(300, 37, 100);
    hc_threads_free(NULL);
    return check_result("parallel");
}
