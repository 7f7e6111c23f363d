/* pool.c: the memory of hc_threads in the modules that search on several threads, whose other memory is JavaScript's:
 * one, as each module has one index. */
#include <stdlib.h>

static max_align_t room[32];

void *calloc(size_t count, size_t size) { return count * size <= sizeof room ? room : NULL; }

void free(void *memory) { (void)memory; }
