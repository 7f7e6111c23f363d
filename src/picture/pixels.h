/* pixels.h: what happens to pixels before a resize and after it. */
#ifndef HC_PIXELS_H
#define HC_PIXELS_H

#include "halfclip.h"

/* True if every alpha of n RGBA pixels is 255: then premultiplying changes nothing. */
int hc_pixels_opaque(const uint8_t *src, size_t n);

/* RGBA to premultiplied "RGBa", c = round(c * alpha / 255). */
void hc_pixels_premultiply(const uint8_t *src, size_t n, uint8_t *dst);

/* n pixels of a mode that is no palette to RGB, as Pillow's convert("RGB") does it, at dst, dst + step …; what was
 * premultiplied is divided by alpha again, and truncated. */
void hc_pixels_to_rgb(const uint8_t *src, size_t n, hc_mode mode, int premultiplied, uint8_t *dst, ptrdiff_t step);

#endif
