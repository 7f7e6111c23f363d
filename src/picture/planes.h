/* planes.h: pixels from the planes of a JPEG picture: luma, and two colours of the same or of half the size. */
#ifndef HC_PLANES_H
#define HC_PLANES_H

#include <stddef.h>
#include <stdint.h>

/* How many of a colour's sides are half as long: none, its width, or both. */
typedef enum hc_halves {
    HC_HALVES_NONE = 0, /* 4:4:4 */
    HC_HALVES_WIDTH,    /* 4:2:2 */
    HC_HALVES_BOTH      /* 4:2:0 */
} hc_halves;

enum {
    HC_PLANES_SLACK = 16,  /* bytes that are read past the end of the planes      */
    HC_PIXELS_SLACK = 32,  /* bytes that are written past the end of the pixels   */
    HC_PLANES_COLUMNS = 16 /* columns more than there are that `sums` has room for */
};

/* `count` rows of RGBA, from row `first`, as libjpeg makes them, to the bit: fancy upsampling of jdsample.c, then
 * ycc_rgb_convert of jdcolor.c. planes: [height][width] of Y, then Cb and Cr with half of the sides rounded up; where
 * these are narrower, width > 4: else libjpeg repeats colours. sums: 2 * (a colour's width + HC_PLANES_COLUMNS) numbers
 * to work with. */
void hc_planes_rows(const uint8_t *planes, int width, int height, hc_halves halves, int first, int count, int16_t *sums,
                    uint8_t *out);

#endif
