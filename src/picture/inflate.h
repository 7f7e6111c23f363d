/* inflate.h: the inverse of zlib's compression (RFC 1950 and 1951), a little at a time (internal to the library). */
#ifndef HC_INFLATE_H
#define HC_INFLATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct hc_inflate hc_inflate;

/* Sets *begin and *end to the next piece of the compressed data, which stays in place, and returns 1; 0 at its end.
 * Pieces may be empty. */
typedef int hc_inflate_more(void *user, const uint8_t **begin, const uint8_t **end);

/* NULL when memory is exhausted. */
hc_inflate *hc_inflate_new(hc_inflate_more *more, void *user);

/* The next `n` bytes. Returns how many there were before the data ended or turned out to be damaged: what that was,
 * `problem` says. The checksum at the end is not looked at, as Pillow does not. */
size_t hc_inflate_read(hc_inflate *z, void *bytes, size_t n);

/* "is damaged" or "ends too early", once hc_inflate_read gave less than it was asked for. */
const char *hc_inflate_problem(const hc_inflate *z);
void hc_inflate_free(hc_inflate *z);

#endif
