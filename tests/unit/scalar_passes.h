/* scalar_passes.h: the functions of src/picture/passes.h as plain loops over one tap and one byte at a time. */
#include "picture/passes.h"

static int window_weight(const hc_window *w, int tap)
{
    const int16_t *pair = w->weights + tap / 2 * 4 + tap % 2;
    return pair[0] * (1 << HC_LOW_BITS) + pair[2];
}

static uint8_t round_to_byte(int sum)
{
    sum = (sum + (1 << (HC_WEIGHT_BITS - 1))) >> HC_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

void hc_pass_horizontal(const hc_window *windows, int count, const uint8_t *src, uint8_t *dst, int channels)
{
    for (int i = 0; i < count; i++, dst += channels)
        for (int c = 0; c < channels; c++) {
            int sum = 0;
            for (int tap = 0; tap < windows[i].count; tap++)
                sum += src[(windows[i].first + tap) * channels + c] * window_weight(&windows[i], tap);
            dst[c] = round_to_byte(sum);
        }
}

void hc_pass_vertical(const hc_window *w, const uint8_t *const *rows, size_t n, uint8_t *dst)
{
    for (size_t x = 0; x < n; x++) {
        int sum = 0;
        for (int tap = 0; tap < w->count; tap++) sum += rows[tap][x] * window_weight(w, tap);
        dst[x] = round_to_byte(sum);
    }
}
