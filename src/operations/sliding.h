/* sliding.h: windows that slide over a grid: a convolution's, and those of pooling. */
#ifndef HC_SLIDING_H
#define HC_SLIDING_H

#include "kernels/grid.h"
#include "tower/network.h"

/* The grid of n channels that such windows make of x, `size` pixels a side and `stride` apart, and through *kernel
 * where they lie: with `padding` around x, or with `same` as in hc_conv_options. */
hc_value hc_slide(hc_network *net, hc_value x, int n, int size, int stride, int padding, int same,
                  hc_kernel_size *kernel);

/* The windows of an operation with that kernel. */
hc_window hc_sliding_window(const hc_network *net, const hc_op *op);

#endif
