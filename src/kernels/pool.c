/* pool.c: the average or the largest of each channel over windows of a grid. */
#include "kernels/grid.h"
#include "kernels/simd.h"

#include <math.h>

/* Channels four at a time, and those left over one at a time. */
SIMD_INLINE void pool(hc_pooling pooling, const float *in, int n, float *out)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        f32x4 x = f32_load(in + i), y = f32_load(out + i);
        f32_store(out + i, pooling == HC_POOL_AVERAGE ? y + x : f32_max(x, y));
    }
    for (; i < n; i++) out[i] = pooling == HC_POOL_AVERAGE ? out[i] + in[i] : in[i] < out[i] ? out[i] : in[i];
}

static void pool_window(hc_pooling pooling, const hc_grid *grid, const hc_window *window, int top, int left, float *out)
{
    int channels = grid->channels;
    int count = 0;
    for (int c = 0; c < channels; c++) out[c] = pooling == HC_POOL_AVERAGE ? 0 : -INFINITY;
    for (int y = top < 0 ? 0 : top; y < top + window->height && y < grid->height; y++)
        for (int x = left < 0 ? 0 : left; x < left + window->width && x < grid->width; x++, count++) {
            const float *in = grid->at + ((size_t)y * (size_t)grid->width + (size_t)x) * (size_t)channels;
            if (pooling == HC_POOL_AVERAGE) pool(HC_POOL_AVERAGE, in, channels, out);
            else pool(HC_POOL_MAX, in, channels, out);
        }
    for (int c = 0; pooling == HC_POOL_AVERAGE && c < channels; c++) out[c] /= (float)(count ? count : 1);
}

void hc_pool(hc_pooling pooling, const hc_grid *grid, const hc_window *window, int first, int last, float *out)
{
    for (int y = first; y < last; y++)
        for (int x = 0; x < window->across; x++)
            pool_window(pooling, grid, window, y * window->stride - window->above, x * window->stride - window->before,
                        out + ((size_t)y * (size_t)window->across + (size_t)x) * (size_t)grid->channels);
}
