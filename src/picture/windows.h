/* windows.h: which pixels of the source make each pixel of a resized picture, and with what weights. */
#ifndef HC_WINDOWS_H
#define HC_WINDOWS_H

#include "halfclip.h"

enum {
    HC_WEIGHT_BITS = 32 - 8 - 2, /* Pillow's: 8 bits for the result, two for weights below 0 and above 1 */
    HC_TAPS_AT_ONCE = 4          /* taps are filled up to a multiple, with weights of 0 */
};

/* One axis of a resize, of the columns or the rows of the source. */
typedef struct hc_axis {
    hc_filter filter;
    int in, out;
    int first, count; /* the part of `out` that is wanted */
    int flipped;      /* the source's last pixel is the picture's first */
    int changes;      /* out differs from in */
    double scale, filter_scale, support;
    size_t taps; /* room for the taps of one window */
} hc_axis;

/* The source pixels under one output pixel, and their weights: exact ones with HC_WEIGHT_BITS fractional bits, and
 * near ones that fit 16 bits. For pixels p,
 *
 *   sum(p * exact) = (sum(p * near) << shift) + offset + e    with |e| <= slack,
 *
 * which tells the byte that the exact sum rounds to, but where that is close to the middle between two bytes. */
typedef struct hc_window {
    int first, count;
    int32_t *exact;
    int16_t *near;
    int shift;
    int32_t offset, slack;
} hc_window;

hc_axis hc_axis_make(hc_filter filter, int in, int out, int first, int count, int flipped);

/* Fills the window of the wanted output pixel that comes `index`-th in the source's own order; `scratch`, w->exact and
 * w->near have room for a->taps numbers. */
void hc_window_make(const hc_axis *a, int index, double *scratch, hc_window *w);

/* The nearest source pixel of each wanted output pixel, in the source's own order. */
void hc_nearest_make(const hc_axis *a, int *pixels);

#endif
