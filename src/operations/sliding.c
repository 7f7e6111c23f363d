/* sliding.c: see sliding.h. */
#include "operations/sliding.h"

/* Pixels of the output along one axis; *before: the padding before the first of the input's. */
static int slide_along(int pixels, int size, int stride, int padding, int same, int *before)
{
    int out = same ? (pixels + stride - 1) / stride : (pixels + 2 * padding - size) / stride + 1,
        missing = (out - 1) * stride + size - pixels;
    *before = !same ? padding : missing > 0 ? missing / 2 : 0;
    return out;
}

hc_value hc_slide(hc_network *net, hc_value x, int n, int size, int stride, int padding, int same,
                  hc_kernel_size *kernel)
{
    const hc_value_info *v = &net->values[x];
    *kernel = (hc_kernel_size){.height = size, .width = size, .stride = stride};
    int height = slide_along(v->height, size, stride, padding, same, &kernel->above),
        across = slide_along(v->across, size, stride, padding, same, &kernel->before);
    return hc_network_grid(net, height, across, n);
}

hc_window hc_sliding_window(const hc_network *net, const hc_op *op)
{
    const hc_kernel_size *k = &op->kernel;
    return (hc_window){k->height, k->width, k->stride, k->above, k->before, net->values[op->out].across};
}
