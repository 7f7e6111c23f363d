/* size.c: allocation of sizes that may not fit in size_t. */
#include "size.h"

#include <stdlib.h>

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
