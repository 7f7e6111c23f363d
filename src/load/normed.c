/* normed.c: rounding to 4 bits for rows that come out of a LayerNorm. What a matrix is multiplied with is gamma * z +
 * beta, where z has a mean of 0 and a variance of 1 over all channels: about gamma^2 + beta^2 is the mean square of a
 * channel, and an error of its weights counts as much; beta is its mean, and what errors times means add up to goes
 * into the bias (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019). */
#include "load/normed.h"
#include "load/pack.h"

#include <math.h>
#include <stdlib.h>

/* A channel that the norm all but shuts off counts so much of the one that counts most: its weights are still
 * rounded. */
static const float LEAST = 1e-6f;

/* Norms that shut off all channels, or overflow, say nothing. */
static const float SMALLEST = 1e-30f;

static int is_normed(const hc_tensor *t) { return t->kind == HC_MATRIX && t->norm_weight && !t->positions; }

int hc_normed_counts(const hc_network *net, const hc_tensor *t, float *counts)
{
    if (!is_normed(t)) return 0;
    const float *gamma = net->tensors[t->norm_weight].floats, *means = hc_normed_means(net, t);
    size_t k = (size_t)hc_stored_extent(t).k;
    float most = 0;
    for (size_t i = 0; i < k; i++) {
        counts[i] = gamma[i] * gamma[i] + (means ? means[i] * means[i] : 0);
        most = counts[i] > most ? counts[i] : most;
    }
    for (size_t i = 0; i < k; i++)
        if (!(counts[i] > LEAST * most)) counts[i] = LEAST * most;
    return most > SMALLEST && most < INFINITY;
}

const float *hc_normed_means(const hc_network *net, const hc_tensor *t)
{
    return t->norm_bias ? net->tensors[t->norm_bias].floats : NULL;
}

float *hc_normed_bias(const hc_network *net, const hc_tensor *t, int row)
{
    const hc_tensor *bias = &net->tensors[t->bias];
    int at = row + t->bias_first;
    return t->bias && at >= 0 && (uint64_t)at < hc_stored_extent(bias).k ? &bias->floats[at] : NULL;
}

/* ---- while a tower is loaded ---- */

static int is_rounded(const hc_loader *loader, const hc_tensor *t)
{
    return t && is_normed(t) && hc_stored_as(t, loader->dtype) == HC_STORE_I4;
}

static int has_come(const hc_loader *loader, hc_tensor_id id)
{
    const hc_tensor *t = &loader->encoder->net.tensors[id];
    for (size_t i = 0; i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        if (it->tensor == t && (it->at < it->end || it->span || it->waiting)) return 0;
    }
    return 1;
}

int hc_normed_waits(const hc_loader *loader, const hc_item *it)
{
    const hc_tensor *t = it->tensor;
    if (!is_rounded(loader, t) || (it->target == TO_QUANTISED && it->element == HC_U8)) return 0;
    return !has_come(loader, t->norm_weight) || (t->norm_bias && !has_come(loader, t->norm_bias));
}

/* What each channel counts, and what rounding took from each row: found when the first row of a matrix comes. */
static int begin(hc_loader *loader, const hc_tensor *t)
{
    const hc_network *net = &loader->encoder->net;
    size_t id = (size_t)(t - net->tensors);
    if (!loader->counts) loader->counts = hc_loader_allocate(loader, loader->row_length, sizeof(float), "a row");
    if (!loader->taken)
        loader->taken = hc_loader_allocate(loader, (uint64_t)net->tensor_count, sizeof(float *), "biases");
    if (!loader->counts || !loader->taken) return 0;
    if (!loader->taken[id])
        loader->taken[id] = hc_loader_allocate(loader, (uint64_t)t->matrix.n, sizeof(float), "biases");
    if (!loader->taken[id]) return 0;
    loader->counted = t;
    loader->is_counted = hc_normed_counts(net, t, loader->counts);
    return 1;
}

void hc_normed_pack_row(hc_loader *loader, hc_tensor *t, int row, const float *values)
{
    if (!is_rounded(loader, t)) {
        hc_pack_row(&t->matrix, row, values);
        return;
    }
    if (loader->counted != t && !begin(loader, t)) return;
    const hc_network *net = &loader->encoder->net;
    const float *counts = loader->is_counted ? loader->counts : NULL, *means = counts ? hc_normed_means(net, t) : NULL;
    loader->taken[t - net->tensors][row] = hc_pack_row_i4(&t->matrix, row, values, counts, means);
}

void hc_normed_finish(hc_loader *loader)
{
    hc_network *net = &loader->encoder->net;
    for (int id = 1; loader->taken && id < net->tensor_count; id++)
        for (int row = 0; loader->taken[id] && row < net->tensors[id].matrix.n; row++) {
            float *bias = hc_normed_bias(net, &net->tensors[id], row);
            if (bias) *bias += loader->taken[id][row];
        }
    hc_normed_free(loader);
}

void hc_normed_free(hc_loader *loader)
{
    for (int id = 0; loader->taken && id < loader->encoder->net.tensor_count; id++) free(loader->taken[id]);
    free(loader->taken);
    free(loader->counts);
    loader->taken = NULL;
    loader->counts = NULL;
}
