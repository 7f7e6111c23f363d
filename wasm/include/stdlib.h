/* The part of <stdlib.h> that src/ uses; wasm/libc.c defines it. */
#ifndef HALFCLIP_STDLIB_H
#define HALFCLIP_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *pointer, size_t size);
void free(void *pointer);

#endif
