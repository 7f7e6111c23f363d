/* passes.c: means of pixels, weighted and rounded to bytes as Pillow does it.
 *
 * Pillow's weights have more bits than the 16-bit dot product takes. The near weights of a window have not, and tell
 * nearly every byte; the few sums that end up too close to the middle between two bytes are done again, exactly. */
#include "picture/passes.h"
#include "kernels/simd.h"

/* Rare, and not to take registers from what is not. */
#define OWN_FUNCTION __attribute__((noinline, cold))

/* What a window adds to every sum, and between which bounds the exact sum lies. */
typedef struct edges {
    i32x4 low, high;
} edges;

static inline edges edges_of(const hc_window *w)
{
    const int32_t middle = w->offset + (1 << (HC_WEIGHT_BITS - 1));
    return (edges){i32_splat(middle - w->slack), i32_splat(middle + w->slack)};
}

/* The sums rounded to integers, and -1 in `unsure` where they may be others. */
static inline i32x4 rounded(const hc_window *w, const edges *e, i32x4 sum, i32x4 *unsure)
{
    const i32x4 scaled = sum << w->shift, low = (scaled + e->low) >> HC_WEIGHT_BITS,
                high = (scaled + e->high) >> HC_WEIGHT_BITS;
    *unsure = low != high;
    return low;
}

static uint8_t to_byte(int32_t sum)
{
    sum = (sum + (1 << (HC_WEIGHT_BITS - 1))) >> HC_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* The channels of one pixel that are unsure. */
static OWN_FUNCTION void exact_across(const hc_window *w, const uint8_t *src, uint8_t *dst, int channels, i32x4 unsure)
{
    for (int c = 0; c < channels; c++) {
        if (!unsure[c]) continue;
        int32_t sum = 0;
        for (int tap = 0; tap < w->count; tap++) sum += src[tap * channels + c] * w->exact[tap];
        dst[c] = to_byte(sum);
    }
}

/* The bytes that are unsure of sixteen, from column x. */
static OWN_FUNCTION void exact_down(const hc_window *w, const uint8_t *const *rows, size_t x, uint8_t *dst,
                                    const i32x4 *unsure)
{
    int32_t again[16];
    memcpy(again, unsure, sizeof again);
    for (size_t i = 0; i < 16; i++) {
        if (!again[i]) continue;
        int32_t sum = 0;
        for (int tap = 0; tap < w->count; tap++) sum += rows[tap][x + i] * w->exact[tap];
        dst[x + i] = to_byte(sum);
    }
}

/* How the channels of two pixels, as 16-bit numbers, are picked out of sixteen bytes: each channel's two in turn, of
 * the first two pixels and of the next two. */
typedef struct picks {
    u8x16 first, next;
} picks;

static picks picks_of(int channels)
{
    uint8_t index[16];
    memset(index, 0x80, sizeof index);
    for (int c = 0; c < channels; c++) {
        index[4 * c] = (uint8_t)c;
        index[4 * c + 2] = (uint8_t)(c + channels);
    }
    const u8x16 first = u8_load(index);
    return (picks){first, first + (uint8_t)(2 * channels)};
}

/* The weighted sum of four pixels. */
static inline i32x4 sum_of_four(const uint8_t *p, size_t channels, const picks *k, i16x8 first, i16x8 next)
{
#if defined(HC_HAS_PICK)
    (void)channels;
    const u8x16 pixels = u8_load(p);
    return i32_dot_i16((i16x8)u8_pick(pixels, k->first), first) + i32_dot_i16((i16x8)u8_pick(pixels, k->next), next);
#else
    (void)k;
    u8x16 both[2], none;
    i16x8 pixels[2], zeros;
    for (int i = 0; i < 2; i++, p += 2 * channels) {
        u8_interleave(u8_load_half(p), u8_load_half(p + channels), &both[i], &none);
        i16_widen(both[i], &pixels[i], &zeros);
    }
    return i32_dot_i16(pixels[0], first) + i32_dot_i16(pixels[1], next);
#endif
}

/* With a constant number of rows. */
static inline __attribute__((always_inline)) void across(const hc_window *windows, int count, int rows,
                                                         const uint8_t *const *src, uint8_t *const *dst, int channels)
{
    const picks k = picks_of(channels);
    for (int i = 0; i < count; i++) {
        const hc_window *w = &windows[i];
        const edges e = edges_of(w);
        const size_t step = (size_t)channels, start = step * (size_t)w->first, to = step * (size_t)i;
        i32x4 sums[HC_ROWS_AT_ONCE] = {0}, unsure[HC_ROWS_AT_ONCE], any = {0};
        size_t at = start;
        for (int tap = 0; tap < w->count; tap += HC_TAPS_AT_ONCE, at += HC_TAPS_AT_ONCE * step) {
            const i16x8 weights = (i16x8)i32_load_splat(w->near + tap),
                        others = (i16x8)i32_load_splat(w->near + tap + 2);
            for (int r = 0; r < rows; r++) sums[r] += sum_of_four(src[r] + at, step, &k, weights, others);
        }
        for (int r = 0; r < rows; r++) {
            const i32x4 sum = rounded(w, &e, sums[r], &unsure[r]);
            const i16x8 pixel = i16_narrow(sum, sum);
            u8_store_quarter(dst[r] + to, u8_narrow(pixel, pixel));
            any |= unsure[r];
        }
        if (i32_any(any))
            for (int r = 0; r < rows; r++) exact_across(w, src[r] + start, dst[r] + to, channels, unsure[r]);
    }
}

void hc_pass_horizontal(const hc_window *windows, int count, const uint8_t *src, uint8_t *dst, int channels)
{
    across(windows, count, 1, &src, &dst, channels);
}

void hc_pass_horizontal_rows(const hc_window *windows, int count, const uint8_t *const *src, uint8_t *const *dst,
                             int channels)
{
    across(windows, count, HC_ROWS_AT_ONCE, src, dst, channels);
}

/* Sixteen bytes of hc_pass_vertical, from column x. */
static inline void down(const hc_window *w, const uint8_t *const *rows, size_t x, uint8_t *dst)
{
    const edges e = edges_of(w);
    i32x4 sums[4] = {0}, unsure[4];
    for (int tap = 0; tap < w->count; tap += 2) {
        const i16x8 weights = (i16x8)i32_load_splat(w->near + tap);
        u8x16 both[2];
        i16x8 pixels[4];
        u8_interleave(u8_load(rows[tap] + x), u8_load(rows[tap + 1] + x), &both[0], &both[1]);
        for (int i = 0; i < 2; i++) i16_widen(both[i], &pixels[2 * i], &pixels[2 * i + 1]);
        for (int i = 0; i < 4; i++) sums[i] += i32_dot_i16(pixels[i], weights);
    }
    for (int i = 0; i < 4; i++) sums[i] = rounded(w, &e, sums[i], &unsure[i]);
    u8_store(dst + x, u8_narrow(i16_narrow(sums[0], sums[1]), i16_narrow(sums[2], sums[3])));
    if (i32_any((unsure[0] | unsure[1]) | (unsure[2] | unsure[3]))) exact_down(w, rows, x, dst, unsure);
}

void hc_pass_vertical(const hc_window *w, const uint8_t *const *rows, size_t n, uint8_t *dst)
{
    size_t x = 0;
    for (; x + 16 <= n; x += 16) down(w, rows, x, dst);
    /* The rest, together with bytes that are already done, or with the slack. */
    if (x < n) down(w, rows, n < 16 ? 0 : n - 16, dst);
}
