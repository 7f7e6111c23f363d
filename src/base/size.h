/* size.h: sizes of memory, made in 64 bits and checked before anything is allocated. size_t has 32 bits in WebAssembly,
 * where a product of a config's numbers would wrap without a word. A size that leaves 64 bits becomes
 * HC_SIZE_TOO_LARGE, and so does every sum and product of it. */
#ifndef HC_SIZE_H
#define HC_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define HC_SIZE_TOO_LARGE UINT64_MAX

/* Dimensions of a tensor, at most. */
enum { HC_MOST_RANK = 5 };

/* More than this, all together, no machine of this kind has for one encoder. */
#if SIZE_MAX == UINT32_MAX
#define HC_SIZE_MOST UINT64_C(4294836224) /* 4 GB less what no block can lie in */
#else
#define HC_SIZE_MOST (UINT64_C(1) << 47)
#endif

uint64_t hc_size_sum(uint64_t a, uint64_t b);
uint64_t hc_size_product(uint64_t a, uint64_t b);
uint64_t hc_size_round_up(uint64_t n, uint64_t multiple); /* which is a power of two */

/* How many numbers a tensor of this shape has. */
uint64_t hc_size_shape(const uint32_t *shape, int rank);

/* malloc, calloc and realloc of `count` things of `size` bytes, at least one byte; NULL also where these are more than
 * there can be. */
void *hc_allocate(uint64_t count, uint64_t size);
void *hc_allocate_zeros(uint64_t count, uint64_t size);
void *hc_reallocate(void *block, uint64_t count, uint64_t size);

#endif
