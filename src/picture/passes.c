/* passes.c: means of pixels, weighted by 16-bit dot products with both halves of the weights and rounded to bytes as
 * Pillow does it. The sums are exact in any order. */
#include "picture/passes.h"
#include "kernels/simd.h"

/* Sums of pixels times the high halves of their weights and times the low ones. They may leave 32 bits, what they add
 * up to does not. */
typedef struct sums {
    u32x4 high, low;
} sums;

/* `pixels`: those of one tap and the next in turn; `weights`: of both. */
static inline void add_taps(sums *s, i16x8 pixels, i16x8 high, i16x8 low)
{
    s->high += (u32x4)i32_dot_i16(pixels, high);
    s->low += (u32x4)i32_dot_i16(pixels, low);
}

static inline i32x4 rounded(sums s)
{
    const u32x4 half = (u32x4)i32_splat(1 << (HC_WEIGHT_BITS - 1));
    return (i32x4)((s.high << HC_LOW_BITS) + s.low + half) >> HC_WEIGHT_BITS;
}

void hc_pass_horizontal(const hc_window *windows, int count, const uint8_t *src, uint8_t *dst, int channels)
{
    for (int i = 0; i < count; i++, dst += channels) {
        const hc_window *w = &windows[i];
        const uint8_t *p = src + (size_t)w->first * (size_t)channels;
        const int16_t *k = w->weights;
        sums s = {0};
        for (int tap = 0; tap < w->count; tap += 2, p += 2 * channels, k += 4) {
            u8x16 both, none;
            i16x8 pixels, zeros;
            u8_interleave(u8_load_half(p), u8_load_half(p + channels), &both, &none);
            i16_widen(both, &pixels, &zeros);
            add_taps(&s, pixels, (i16x8)i32_load_splat(k), (i16x8)i32_load_splat(k + 2));
        }
        i16x8 pixel = i16_narrow(rounded(s), rounded(s));
        u8_store_quarter(dst, u8_narrow(pixel, pixel));
    }
}

/* 16 bytes of hc_pass_vertical, from column x. */
static inline void vertical_block(const hc_window *w, const uint8_t *const *rows, size_t x, uint8_t *dst)
{
    sums s[4] = {0};
    for (int tap = 0; tap < w->count; tap += 2) {
        const int16_t *k = w->weights + 2 * tap;
        i16x8 high = (i16x8)i32_load_splat(k), low = (i16x8)i32_load_splat(k + 2);
        u8x16 both[2];
        i16x8 pixels[4];
        u8_interleave(u8_load(rows[tap] + x), u8_load(rows[tap + 1] + x), &both[0], &both[1]);
        for (int i = 0; i < 2; i++) i16_widen(both[i], &pixels[2 * i], &pixels[2 * i + 1]);
        for (int i = 0; i < 4; i++) add_taps(&s[i], pixels[i], high, low);
    }
    u8_store(dst + x, u8_narrow(i16_narrow(rounded(s[0]), rounded(s[1])), i16_narrow(rounded(s[2]), rounded(s[3]))));
}

void hc_pass_vertical(const hc_window *w, const uint8_t *const *rows, size_t n, uint8_t *dst)
{
    size_t x = 0;
    for (; x + 16 <= n; x += 16) vertical_block(w, rows, x, dst);
    /* The rest, together with bytes that are already done, or with the slack. */
    if (x < n) vertical_block(w, rows, n < 16 ? 0 : n - 16, dst);
}
