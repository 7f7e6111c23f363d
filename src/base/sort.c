/* sort.c: heapsort (Williams 1964), because qsort is not in every build and may be quadratic. */
#include "base/sort.h"

#include <stdint.h>
#include <string.h>

static void swap(uint8_t *a, uint8_t *b, size_t size)
{
    uint8_t kept[HC_SORT_LARGEST];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

/* Restores the heap below `root`, whose children are heaps already. */
static void sift(uint8_t *base, size_t root, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0) child++;
        if (compare(base + root * size, base + child * size) >= 0) return;
        swap(base + root * size, base + child * size, size);
    }
}

void hc_sort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    uint8_t *bytes = base;
    for (size_t root = count / 2; root-- > 0;) sift(bytes, root, count, size, compare);
    for (size_t last = count; last-- > 1;) {
        swap(bytes, bytes + last * size, size);
        sift(bytes, 0, last, size, compare);
    }
}
