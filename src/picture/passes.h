/* passes.h: the weighted means of a resize, along rows and along columns. */
#ifndef HC_PASSES_H
#define HC_PASSES_H

#include "picture/windows.h"

enum {
    HC_ROW_SLACK = 16,   /* bytes that a pass may read or write past the end of a row */
    HC_ROWS_AT_ONCE = 4, /* what hc_pass_horizontal_rows takes */
};

/* One row through `count` windows: dst[i] = the mean of the pixels of src under windows[i]. Both rows have the slack.
 */
void hc_pass_horizontal(const hc_window *windows, int count, const uint8_t *src, uint8_t *dst, int channels);

/* The same with HC_ROWS_AT_ONCE rows, which takes less time than one after the other. */
void hc_pass_horizontal_rows(const hc_window *windows, int count, const uint8_t *const *src, uint8_t *const *dst,
                             int channels);

/* dst[0, n) = the mean of w->count rows. All have the slack; rows[w->count] must be readable too if the count is odd.
 */
void hc_pass_vertical(const hc_window *w, const uint8_t *const *rows, size_t n, uint8_t *dst);

#endif
