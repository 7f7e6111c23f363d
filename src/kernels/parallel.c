/* parallel.c: the threads of parallel.h, and their two backends: POSIX threads, and WebAssembly's atomic instructions.
 *
 * All that threads agree on is one number, the ticket: how often the owner has begun a loop, and how many of that
 * loop's chunks nobody has taken yet. To take a chunk is to lower the ticket by one. Whoever succeeds holds a chunk of
 * the loop under way, which therefore can't end before, so that the loop's description may be read.
 */
#include "kernels/parallel.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { CHUNKS_A_THREAD = 8, CACHE_LINE = 64 }; /* chunks: so that a thread that is slower than others takes fewer */

#if defined(__wasm__)
enum { SPINS = 500000 }; /* about a millisecond: longer than threads wait for each other within a tower */
#else
#include <pthread.h>
enum { SPINS = 10000 }; /* the same, of instructions that pause */
#endif

#if !defined(__wasm__)
typedef struct member {
    pthread_t thread;
    hc_threads *threads;
    int number;
} member;
#endif

struct hc_threads {
    _Atomic uint64_t ticket;
    char apart_1[CACHE_LINE];    /* what one thread writes while others spin on the rest */
    _Atomic uint32_t unfinished; /* chunks of the loop under way that are not done */
    char apart_2[CACHE_LINE];
    _Atomic uint32_t signal; /* changes when sleepers are to look again        */
    _Atomic uint32_t sleepers, owner_sleeps, stopped;
    hc_task *task; /* the loop under way */
    void *context;
    int count, grain, chunks;
    int size, may_sleep; /* size: threads, the owner included */
#if !defined(__wasm__)
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int started;
    member members[];
#endif
};

/* ---- backends: sleep while *address is `value`, wake all who do ---- */

#if defined(__wasm__)
static void relax(void) {}

#if defined(__wasm_atomics__)
static void sleep_while(hc_threads *threads, _Atomic uint32_t *address, uint32_t value)
{
    (void)threads;
    __builtin_wasm_memory_atomic_wait32((int *)(void *)address, (int)value, -1);
}

static void wake_all(hc_threads *threads, _Atomic uint32_t *address)
{
    (void)threads;
    __builtin_wasm_memory_atomic_notify((int *)(void *)address, UINT32_MAX);
}
#else
/* A module without shared memory has no other threads. */
static void sleep_while(hc_threads *threads, _Atomic uint32_t *address, uint32_t value)
{
    (void)threads, (void)address, (void)value;
}
static void wake_all(hc_threads *threads, _Atomic uint32_t *address) { (void)threads, (void)address; }
#endif

static int start_threads(hc_threads *threads) { return (void)threads, 1; }
static void join_threads(hc_threads *threads) { (void)threads; }
static void end_backend(hc_threads *threads) { (void)threads; }
#else
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_while(hc_threads *threads, _Atomic uint32_t *address, uint32_t value)
{
    pthread_mutex_lock(&threads->mutex);
    while (atomic_load(address) == value) pthread_cond_wait(&threads->changed, &threads->mutex);
    pthread_mutex_unlock(&threads->mutex);
}

static void wake_all(hc_threads *threads, _Atomic uint32_t *address)
{
    (void)address;
    pthread_mutex_lock(&threads->mutex); /* nobody is between looking at the value and sleeping */
    pthread_cond_broadcast(&threads->changed);
    pthread_mutex_unlock(&threads->mutex);
}

static void *run_thread(void *argument)
{
    const member *m = argument;
    hc_threads_work(m->threads, m->number);
    return NULL;
}

static int start_threads(hc_threads *threads)
{
    if (pthread_mutex_init(&threads->mutex, NULL)) return 0;
    if (pthread_cond_init(&threads->changed, NULL)) {
        pthread_mutex_destroy(&threads->mutex);
        return 0;
    }
    for (; threads->started < threads->size - 1; threads->started++) {
        member *m = &threads->members[threads->started];
        m->threads = threads;
        m->number = threads->started + 1;
        if (pthread_create(&m->thread, NULL, run_thread, m)) break;
    }
    return 1;
}

static void join_threads(hc_threads *threads)
{
    while (threads->started) pthread_join(threads->members[--threads->started].thread, NULL);
}

static void end_backend(hc_threads *threads)
{
    pthread_cond_destroy(&threads->changed);
    pthread_mutex_destroy(&threads->mutex);
}
#endif

/* ---- loops ---- */

hc_threads *hc_threads_new(int size)
{
    size_t bytes = sizeof(hc_threads);
#if !defined(__wasm__)
    bytes += (size_t)size * sizeof(member);
#endif
    hc_threads *threads = calloc(1, bytes);
    if (!threads) return NULL;
    threads->size = size;
    threads->may_sleep = 1;
    if (start_threads(threads)) return threads;
    free(threads);
    return NULL;
}

/* Takes a chunk, if there is one, and does it. */
static int take_chunk(hc_threads *threads, int thread)
{
    uint64_t ticket = atomic_load_explicit(&threads->ticket, memory_order_acquire);
    do {
        if (!(uint32_t)ticket) return 0;
    } while (!atomic_compare_exchange_weak(&threads->ticket, &ticket, ticket - 1));
    int grains = (threads->count + threads->grain - 1) / threads->grain,
        chunk = threads->chunks - (int)(uint32_t)ticket;
    int first = (int)((int64_t)grains * chunk / threads->chunks) * threads->grain,
        last = (int)((int64_t)grains * (chunk + 1) / threads->chunks) * threads->grain;
    threads->task(threads->context, first, last < threads->count ? last : threads->count, thread);
    if (atomic_fetch_sub(&threads->unfinished, 1) == 1 && atomic_load(&threads->owner_sleeps))
        wake_all(threads, &threads->unfinished);
    return 1;
}

static void wake_sleepers(hc_threads *threads)
{
    if (!atomic_load(&threads->sleepers)) return;
    atomic_fetch_add(&threads->signal, 1);
    wake_all(threads, &threads->signal);
}

/* Until the last chunks, which others do, are done. */
static void wait_for_others(hc_threads *threads)
{
    for (int spins = 0; atomic_load_explicit(&threads->unfinished, memory_order_acquire); spins++) {
        relax();
        if (spins < SPINS || !threads->may_sleep) continue;
        atomic_store(&threads->owner_sleeps, 1);
        for (uint32_t left; (left = atomic_load(&threads->unfinished)) != 0;)
            sleep_while(threads, &threads->unfinished, left);
        atomic_store(&threads->owner_sleeps, 0);
    }
}

void hc_parallel_for(hc_threads *threads, int count, int grain, hc_task *task, void *context)
{
    if (count <= 0) return;
    int grains = (count + grain - 1) / grain;
    if (!threads || threads->size == 1 || grains == 1) {
        task(context, 0, count, 0);
        return;
    }
    threads->task = task;
    threads->context = context;
    threads->count = count;
    threads->grain = grain;
    threads->chunks = grains < threads->size * CHUNKS_A_THREAD ? grains : threads->size * CHUNKS_A_THREAD;
    atomic_store_explicit(&threads->unfinished, (uint32_t)threads->chunks, memory_order_relaxed);
    uint64_t loops = (atomic_load_explicit(&threads->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&threads->ticket, loops << 32 | (uint32_t)threads->chunks);
    wake_sleepers(threads);
    while (take_chunk(threads, 0)) {
    }
    wait_for_others(threads);
}

void hc_threads_work(hc_threads *threads, int thread)
{
    for (int spins = 0; !atomic_load(&threads->stopped); spins++) {
        if (take_chunk(threads, thread)) spins = 0;
        relax();
        if (spins < SPINS) continue;
        /* Whoever begins a loop after this thread counts as a sleeper changes the signal; whoever did before shows in
         * the ticket. */
        uint32_t signal = atomic_load(&threads->signal);
        atomic_fetch_add(&threads->sleepers, 1);
        if (!(uint32_t)atomic_load(&threads->ticket) && !atomic_load(&threads->stopped))
            sleep_while(threads, &threads->signal, signal);
        atomic_fetch_sub(&threads->sleepers, 1);
        spins = 0;
    }
}

void hc_threads_stop(hc_threads *threads)
{
    atomic_store(&threads->stopped, 1);
    wake_sleepers(threads);
    join_threads(threads);
}

void hc_threads_free(hc_threads *threads)
{
    if (!threads) return;
    hc_threads_stop(threads);
    end_backend(threads);
    free(threads);
}

void hc_threads_may_sleep(hc_threads *threads, int may) { threads->may_sleep = may; }

int hc_threads_count(const hc_threads *threads) { return threads ? threads->size : 1; }
