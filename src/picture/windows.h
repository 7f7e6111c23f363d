/* windows.h: which pixels of the source make each pixel of a resized picture, and with what weights. */
#ifndef HC_WINDOWS_H
#define HC_WINDOWS_H

#include "halfclip.h"

enum {
    HC_WEIGHT_BITS = 32 - 8 - 2, /* Pillow's: 8 bits for the result, two for weights below 0 and above 1 */
    HC_LOW_BITS = 15             /* a weight is split into two 16-bit halves for the 16-bit dot product */
};

/* One axis of a resize, of the columns or the rows of the source. */
typedef struct hc_axis {
    hc_filter filter;
    int in, out;
    int first, count; /* the part of `out` that is wanted */
    int flipped;      /* the source's last pixel is the picture's first */
    int changes;      /* out differs from in */
    double scale, filter_scale, support;
    size_t taps; /* room for the taps of one window: even */
} hc_axis;

/* The source pixels under one output pixel. Weights come two taps at a time, as four numbers: the high parts of both,
 * then the low parts, 0 <= low < 2^15; weight = high * 2^15 + low, with 22 fractional bits. An odd count is filled up
 * with a weight of 0. */
typedef struct hc_window {
    int first, count;
    int16_t *weights;
} hc_window;

hc_axis hc_axis_make(hc_filter filter, int in, int out, int first, int count, int flipped);

/* Fills the window of the wanted output pixel that comes `index`-th in the source's own order; `scratch` has room for
 * a->taps numbers, w->weights for twice as many. */
void hc_window_make(const hc_axis *a, int index, double *scratch, hc_window *w);

/* The nearest source pixel of each wanted output pixel, in the source's own order. */
void hc_nearest_make(const hc_axis *a, int *pixels);

#endif
