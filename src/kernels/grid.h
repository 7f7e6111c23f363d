/* grid.h: convolution and pooling over a grid of pixels.
 *
 * Grids lie channels last. A convolution of 1 × 1 or k × k is a GEMM over rows that are put straight from the grid; its
 * weights lie in the order [n][y][x][c] of the window. What runs over a range of rows writes nothing else, so that the
 * ranges can be shared out among threads.
 */
#ifndef HC_GRID_H
#define HC_GRID_H

#include "kernels/kernels.h"

/* One picture: channel c of pixel (y, x) is at[(y * width + x) * channels + c]. */
typedef struct hc_grid {
    const float *at;
    int height, width, channels;
    const float *range; /* of each pixel, from hc_grid_range, or NULL */
} hc_grid;

/* What an output pixel (y, x) sees: `height` × `width` pixels from (y * stride - above, x * stride - before) on; what
 * lies beyond the border is 0. `across`: how many output pixels are in a row. */
typedef struct hc_window {
    int height, width, stride, above, before;
    int across;
} hc_window;

/* range [height * width][2]: the smallest and the largest of a pixel's channels and 0, for pixels [first, last). It
 * spares hc_rows_put_windows from looking for them in each window that covers the pixel, at 7 bits. */
void hc_grid_range(const hc_grid *grid, int first, int last, float *range);

/* As hc_rows_put for each row from `first` to before `last`, with what the window covers at output pixel `pixel` + row,
 * counted row-major. `scratch`: rows->k floats of this thread. */
void hc_rows_put_windows(const hc_rows *rows, int first, int last, const hc_grid *grid, const hc_window *window,
                         int pixel, float *scratch);

/* Each channel on its own: output channel n sees channel n / (w->n / grid->channels) of the grid through row n of w
 * [n, window's pixels], in fp32 or fp16. Makes of HC_PANEL output channels from `panel` * HC_PANEL on the output rows
 * [first, last) of out [rows][across][w->n], as which the epilogue's residual lies. `exact`: the same bits on every
 * machine. `scratch`: hc_depthwise_scratch floats for as many rows, of this thread. */
void hc_depthwise(const hc_grid *grid, const hc_window *window, const hc_matrix *w, int exact,
                  const hc_epilogue *epilogue, int panel, int first, int last, float *scratch, float *out);
uint64_t hc_depthwise_scratch(const hc_window *window, int rows);

/* How many rows are worth taking at once. */
int hc_depthwise_band(const hc_window *window);

typedef enum hc_pooling { HC_POOL_AVERAGE, HC_POOL_MAX } hc_pooling;

/* The average or the largest of each channel, in output rows [first, last) of out [rows][across][channels]. What lies
 * beyond the border does not count: torch's AvgPool2d with count_include_pad False, and its MaxPool2d. */
void hc_pool(hc_pooling pooling, const hc_grid *grid, const hc_window *window, int first, int last, float *out);

/* Global Response Normalization of a grid's `rows` pixels of n channels, `stride` apart: the length of each channel
 * from `first` to before `last`; from all of these what a channel is multiplied by, in their place; a pixel times that,
 * plus a bias. `bias` may be loaded four at a time. */
void hc_response_norms(const float *x, size_t stride, int rows, int first, int last, float *norms);
void hc_response_factors(int n, const float *weight, float eps, float *norms);
void hc_response_apply(int n, const float *factors, const float *bias, float *x);

/* Group Normalization of a grid's `rows` pixels of n channels, which 4 divides, `stride` apart: mean and variance of
 * each channel from `first` to before `last`, multiples of 4; from all of these what a channel is multiplied by and
 * what is added to it, as its group, one of `groups` as large, has them; a pixel times that, plus `add` [n] where that
 * is not NULL. */
typedef struct hc_moments {
    double mean, variance;
} hc_moments;

void hc_group_moments(const float *x, size_t stride, int rows, int first, int last, hc_moments *moments);
void hc_group_factors(const hc_moments *moments, int n, int groups, const float *weight, const float *bias, float eps,
                      float *factors, float *shifts);
void hc_group_apply(int n, const float *factors, const float *shifts, const float *add, float *x);

#endif
