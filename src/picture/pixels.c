/* pixels.c: alpha and ink as Pillow handles them. */
#include "picture/pixels.h"
#include "kernels/simd.h"

int hc_pixels_opaque(const uint8_t *src, size_t n)
{
    i32x4 all = i32_splat(-1);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        i32x4 pixels;
        memcpy(&pixels, src + 4 * i, sizeof pixels);
        all &= pixels;
    }
    for (; i < n; i++) {
        int32_t pixel;
        memcpy(&pixel, src + 4 * i, sizeof pixel);
        all[0] &= pixel;
    }
    all[0] &= all[1] & all[2] & all[3];
    uint8_t bytes[4];
    memcpy(bytes, &all, sizeof bytes);
    return bytes[3] == 255;
}

/* Two channels at a time in the halves of a word. */
void hc_pixels_premultiply(const uint8_t *src, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++, src += 4, dst += 4) {
        uint32_t alpha = src[3];
        uint32_t rb = (src[0] | (uint32_t)src[2] << 16) * alpha + 0x00800080u;
        uint32_t g = src[1] * alpha + 0x80u;
        rb = (rb + (rb >> 8 & 0x00ff00ffu)) >> 8;
        g = (g + (g >> 8)) >> 8;
        dst[0] = (uint8_t)rb;
        dst[1] = (uint8_t)g;
        dst[2] = (uint8_t)(rb >> 16);
        dst[3] = (uint8_t)alpha;
    }
}

static inline void store_pixel(const uint8_t *src, hc_mode mode, int premultiplied, uint8_t *dst)
{
    if (mode == HC_CMYK) {
        for (int c = 0; c < 3; c++) {
            uint32_t light = 255u - src[3], ink = src[c] * light + 128;
            dst[c] = (uint8_t)(light - (((ink >> 8) + ink) >> 8));
        }
        return;
    }
    const uint32_t alpha = premultiplied ? src[3] : 255;
    for (int c = 0; c < 3; c++) {
        uint32_t v = src[c];
        if (alpha != 255 && alpha != 0) v = 255 * v / alpha;
        dst[c] = (uint8_t)(v > 255 ? 255 : v);
    }
}

void hc_pixels_to_rgb(const uint8_t *src, size_t n, hc_mode mode, int premultiplied, uint8_t *dst, ptrdiff_t step)
{
    const int channels = mode == HC_RGB ? 3 : 4;
    for (size_t i = 0; i < n; i++, dst += step, src += channels) store_pixel(src, mode, premultiplied, dst);
}
