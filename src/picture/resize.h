/* resize.h: Pillow's Image.resize for 8-bit pictures, byte for byte, as their rows come (internal to the library). */
#ifndef HC_RESIZE_H
#define HC_RESIZE_H

#include "halfclip.h"

/* Columns [left, left + width) and rows [top, top + height) of a picture. */
typedef struct hc_box {
    int left, top, width, height;
} hc_box;

typedef struct hc_resizer hc_resizer;

/* Prepares the part `box` of what Image.resize((out_width, out_height), filter) and then convert("RGB") make of a
 * picture that was turned by its orientation.
 *
 * `box`, at least one pixel, lies inside out_width x out_height; only what it needs is computed, so a resized size
 * of millions of pixels costs no memory. Row i of the box is written as RGB bytes at out + i * stride.
 * The results are those of Pillow 13 (src/libImaging/Resample.c, Geometry.c and Convert.c) on a machine with IEEE
 * doubles. NULL when memory is exhausted. The sizes must be positive, and are not checked. The palette is not copied.
 */
hc_resizer *hc_resizer_new(const hc_picture *picture, int out_width, int out_height, hc_filter filter,
                           const hc_box *box, uint8_t *out, size_t stride);

/* Takes the next `count` rows of `row_bytes` of the picture as it is in the file, from the top. After the last one,
 * `out` is complete. */
void hc_resizer_push(hc_resizer *resizer, const uint8_t *rows, int count, size_t row_bytes);
void hc_resizer_free(hc_resizer *resizer);

#endif
