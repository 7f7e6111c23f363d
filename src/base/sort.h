/* sort.h: an in-place sort for lists that come from outside: heapsort, never quadratic, no recursion, no memory. */
#ifndef HC_SORT_H
#define HC_SORT_H

#include <stddef.h>

enum { HC_SORT_LARGEST = 256 };

/* Like qsort; elements of at most HC_SORT_LARGEST bytes. */
void hc_sort(void *base, size_t count, size_t size, int (*compare)(const void *a, const void *b));

#endif
