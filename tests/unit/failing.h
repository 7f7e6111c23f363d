/* failing.h: allocations that fail when a test wants them to. The test is linked with --wrap for malloc, calloc,
 * realloc and free. */
#ifndef FAILING_H
#define FAILING_H

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* Allocations to go until one fails (0: none fails), how many were requested, and how many blocks are alive. Only while
 * `counting` do they count and fail. */
static long fail_in, requested, alive;
static int counting;

static int fails(void)
{
    requested += counting;
    return counting && fail_in > 0 && --fail_in == 0;
}

void *__wrap_malloc(size_t size)
{
    void *block = fails() ? NULL : __real_malloc(size);
    alive += block != NULL;
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = fails() ? NULL : __real_calloc(count, size);
    alive += block != NULL;
    return block;
}

void *__wrap_realloc(void *block, size_t size)
{
    void *grown = fails() ? NULL : __real_realloc(block, size);
    alive += grown && !block;
    return grown;
}

void __wrap_free(void *block)
{
    alive -= block != NULL;
    __real_free(block);
}

#endif
