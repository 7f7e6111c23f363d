/* size.c: sums and products that don't wrap, and allocation of sizes that may not fit in size_t. */
#include "base/size.h"

#include <stdlib.h>

uint64_t hc_size_sum(uint64_t a, uint64_t b) { return a > HC_SIZE_TOO_LARGE - b ? HC_SIZE_TOO_LARGE : a + b; }

uint64_t hc_size_product(uint64_t a, uint64_t b) { return b && a > HC_SIZE_TOO_LARGE / b ? HC_SIZE_TOO_LARGE : a * b; }

uint64_t hc_size_round_up(uint64_t n, uint64_t multiple)
{
    return n > HC_SIZE_TOO_LARGE - multiple ? HC_SIZE_TOO_LARGE : (n + multiple - 1) & ~(multiple - 1);
}

uint64_t hc_size_shape(const uint32_t *shape, int rank)
{
    uint64_t n = 1;
    for (int i = 0; i < rank; i++) n = hc_size_product(n, shape[i]);
    return n;
}

/* The size as malloc takes it; 0: it is more than there can be. */
static size_t block_size(uint64_t count, uint64_t size)
{
    uint64_t bytes = hc_size_product(count, size);
    return bytes > HC_SIZE_MOST ? 0 : bytes ? (size_t)bytes : 1;
}

void *hc_allocate(uint64_t count, uint64_t size)
{
    size_t bytes = block_size(count, size);
    return bytes ? malloc(bytes) : NULL;
}

void *hc_allocate_zeros(uint64_t count, uint64_t size)
{
    size_t bytes = block_size(count, size);
    return bytes ? calloc(bytes, 1) : NULL;
}

void *hc_reallocate(void *block, uint64_t count, uint64_t size)
{
    size_t bytes = block_size(count, size);
    return bytes ? realloc(block, bytes) : NULL;
}
