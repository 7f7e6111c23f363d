/* scalar_passes.h: the functions of src/picture/passes.h as plain loops over one tap and one byte at a time. */
#include "picture/passes.h"

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
                sum += src[(windows[i].first + tap) * channels + c] * windows[i].exact[tap];
            dst[c] = round_to_byte(sum);
        }
}

void hc_pass_horizontal_rows(const hc_window *windows, int count, const uint8_t *const *src, uint8_t *const *dst,
                             int channels)
{
    for (int r = 0; r < HC_ROWS_AT_ONCE; r++) hc_pass_horizontal(windows, count, src[r], dst[r], channels);
}

void hc_pass_vertical(const hc_window *w, const uint8_t *const *rows, size_t n, uint8_t *dst)
{
    for (size_t x = 0; x < n; x++) {
        int sum = 0;
        for (int tap = 0; tap < w->count; tap++) sum += rows[tap][x] * w->exact[tap];
        dst[x] = round_to_byte(sum);
    }
}
