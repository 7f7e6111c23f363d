/* resize.h: Pillow's Image.resize for 8-bit pictures, byte for byte (internal to the library). */
#ifndef HC_RESIZE_H
#define HC_RESIZE_H

#include "halfclip.h"

/* Columns [left, left + width) and rows [top, top + height) of a picture. */
typedef struct hc_box {
    int left, top, width, height;
} hc_box;

/* The part `box` of what Image.resize((out_width, out_height), filter) and then convert("RGB") make of a picture.
 *
 * `data` is [height, width, channels] with channels 3 (RGB) or 4 (RGBA, alpha not premultiplied), rows without padding.
 * `box`, at least one pixel, lies inside out_width x out_height; only what it needs is computed, so a resized size
 * of millions of pixels costs no memory. Row i of the box is written as RGB bytes at out + i * stride.
 * The results are those of Pillow 13 (src/libImaging/Resample.c and Convert.c) on a machine with IEEE doubles.
 * Returns HC_OK or HC_OUT_OF_MEMORY. The sizes must be positive, and are not checked. */
hc_status hc_resize(const uint8_t *data, int width, int height, int channels, int out_width, int out_height,
                    hc_filter filter, const hc_box *box, uint8_t *out, size_t stride);

#endif
