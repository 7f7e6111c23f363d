/* combine.c: what is made of several tensors, once all have come: BatchNorm as a scale and a shift, and convolutions
 * that were trained as several branches. */
#include "load/loader.h"
#include "load/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float *floats(const hc_loader *loader, hc_tensor_id tensor)
{
    return loader->encoder->net.tensors[tensor].floats;
}

/* Channel c of a BatchNorm as x * scale + shift. */
static void fold_channel(hc_loader *loader, const hc_fold *fold, int c, float *scale, float *shift)
{
    float sum = floats(loader, fold->variance)[c] + fold->eps;
    if (!(sum > 0))
        hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds a negative variance",
                loader->encoder->net.tensors[fold->variance].name);
    *scale = floats(loader, fold->weight)[c] / sqrtf(sum);
    *shift = floats(loader, fold->bias)[c] - floats(loader, fold->mean)[c] * *scale;
}

/* ---- branches -----------------------------------------------------------------------------------------------------
 */

/* Adds factor * the branch's kernel of output channel n to loader->row, [c, y, x] of the weight. */
static void add_kernel(hc_loader *loader, const hc_branch *b, const hc_tensor *weight, int n, float factor)
{
    size_t channels = weight->shape[1], height = weight->shape[2], width = weight->shape[3];
    if (!b->kernel) {
        size_t middle = height / 2 * width + width / 2;
        loader->row[(size_t)n % channels * height * width + middle] += factor;
        return;
    }
    const hc_tensor *kernel = &loader->encoder->net.tensors[b->kernel];
    size_t rows = kernel->shape[2], columns = kernel->shape[3], top = (height - rows) / 2, left = (width - columns) / 2;
    const float *from = kernel->floats + (size_t)n * channels * rows * columns;
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < rows; y++) {
            float *to = loader->row + (c * height + top + y) * width + left;
            for (size_t x = 0; x < columns; x++) to[x] += factor * *from++;
        }
}

/* Adds a branch's output channel n, and returns its bias. */
static float add_branch(hc_loader *loader, const hc_branch *b, const hc_tensor *weight, int n)
{
    float scale = 1, shift = b->kernel_bias ? floats(loader, b->kernel_bias)[n] : 0,
          factor = b->is_taken_away ? -1.0f : 1.0f;
    if (b->norm.n) fold_channel(loader, &b->norm, n, &scale, &shift);
    if (b->gamma) factor *= floats(loader, b->gamma)[n];
    add_kernel(loader, b, weight, n, factor * scale);
    return factor * shift;
}

/* Sums the branches of a weight, of which `b` is the first. */
static void sum_branches(hc_loader *loader, const hc_branch *b)
{
    hc_network *net = &loader->encoder->net;
    hc_tensor *weight = &net->tensors[b->weight];
    const hc_branch *end = net->branches + net->branch_count;
    float *bias = net->tensors[b->bias].floats;
    size_t k = (size_t)hc_stored_extent(weight).k;
    for (int n = 0; n < (int)weight->shape[0] && loader->problem.status == HC_OK; n++) {
        memset(loader->row, 0, k * sizeof *loader->row);
        bias[n] = 0;
        for (const hc_branch *each = b; each < end && each->weight == b->weight; each++)
            bias[n] += add_branch(loader, each, weight, n);
        uint32_t largest = hc_largest_bits(loader->row, k);
        if (largest >= HC_INFINITY_BITS || hc_largest_bits(&bias[n], 1) >= HC_INFINITY_BITS)
            hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT,
                    "the branches of %s add up to NaN or infinity, expected finite weights", weight->name);
        else if (hc_loader_fits_half(loader, weight, weight->name, largest)) hc_loader_pack_row(loader, weight, n);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------------------
 */

void hc_loader_combine(hc_loader *loader)
{
    const hc_network *net = &loader->encoder->net;
    for (int i = 1; i < net->fold_count; i++) {
        const hc_fold *fold = &net->folds[i];
        for (int c = 0; c < fold->n; c++) fold_channel(loader, fold, c, &fold->scale[c], &fold->shift[c]);
    }
    for (int i = 0; i < net->branch_count && loader->problem.status == HC_OK; i++) {
        const hc_branch *b = &net->branches[i];
        int is_first = !i || b[-1].weight != b->weight;
        if (is_first && net->tensors[b->weight].is_summed) sum_branches(loader, b);
    }
    free(loader->parts);
    loader->parts = NULL;
}
