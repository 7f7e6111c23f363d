/* parallel.h: one parallel loop, over a few threads. Chunks of the loop are taken by whoever is free, so that a thread
 * that is late, or has not started yet, holds nobody up.
 */
#ifndef HC_PARALLEL_H
#define HC_PARALLEL_H

typedef struct hc_threads hc_threads;

/* Does iterations [first, last) of a loop. `thread` counts from 0, the caller's own: no two threads have the same one
 * at a time. */
typedef void hc_task(void *context, int first, int last, int thread);

/* `size` threads, the caller's included. Natively it starts the others (fewer, where the system refuses); in
 * WebAssembly they are instances of the module on the same memory that call hc_threads_work. NULL when memory is
 * exhausted. */
hc_threads *hc_threads_new(int size);

/* Does `count` iterations, cut into chunks of a multiple of `grain`, and returns when all are done. One caller at a
 * time, never from within a task. With NULL this thread does everything, in one chunk. What a task writes must not
 * depend on how the loop is cut, nor on `thread`. */
void hc_parallel_for(hc_threads *threads, int count, int grain, hc_task *task, void *context);

/* What the threads do from 1 on: chunks as they come; a short wait by spinning, and then asleep. Returns after
 * hc_threads_stop. */
void hc_threads_work(hc_threads *threads, int thread);

/* Ends the threads: natively waits for them. Loops still run, on the caller's alone. */
void hc_threads_stop(hc_threads *threads);

/* Stops and frees. NULL is fine. In WebAssembly no thread may be in hc_threads_work any more. */
void hc_threads_free(hc_threads *threads);

/* Whether the caller may sleep when others still work at the end of a loop (the default), or only spin: a browser's
 * page must not sleep. */
void hc_threads_may_sleep(hc_threads *threads, int may);

int hc_threads_count(const hc_threads *threads); /* 1 for NULL */

#endif
