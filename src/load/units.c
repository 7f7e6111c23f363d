/* units.c: rows and columns of a tensor as they arrive: converted, checked, quantised and packed. */
#include "load/loader.h"
#include "load/normed.h"
#include "load/pack.h"
#include "load/places.h"

#include <math.h>
#include <string.h>

int hc_loader_fits_half(hc_loader *loader, const hc_tensor *tensor, const char *name, uint32_t largest)
{
    hc_storage storage = hc_stored_as(tensor, loader->dtype);
    if ((storage == HC_STORE_F16 || storage == HC_STORE_I4) && largest > HC_LARGEST_HALF_BITS)
        hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds a weight beyond 65504, which %s cannot hold",
                name, storage == HC_STORE_F16 ? "fp16" : "int4");
    return loader->problem.status == HC_OK;
}

static void fail_not_finite(hc_loader *loader, const hc_item *it)
{
    hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds NaN or infinity, expected finite weights", it->name);
}

int hc_loader_convert(hc_loader *loader, hc_item *it, const uint8_t *bytes, float *to, size_t values)
{
    uint32_t largest = hc_pack_floats(it->element, bytes, to, values);
    it->nonzero |= largest != 0;
    if (largest >= HC_INFINITY_BITS) fail_not_finite(loader, it);
    return loader->problem.status == HC_OK &&
           (it->target == TO_SCALES || hc_loader_fits_half(loader, it->tensor, it->name, largest));
}

/* Whole rows or columns of halves that are held as they come. */
static void take_halves(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    for (size_t i = 0; i < units && loader->problem.status == HC_OK; i++) {
        int row = it->first + (int)(it->done + i);
        uint32_t largest = it->target == TO_ROWS
                               ? hc_pack_row_halves(&it->tensor->matrix, row, bytes + i * it->unit)
                               : hc_pack_column_halves(&it->tensor->matrix, row, bytes + i * it->unit);
        it->nonzero |= largest != 0;
        if (largest >= HC_INFINITE_HALF) fail_not_finite(loader, it);
    }
}

/* Quantisers to 8 bits write -127 to 127; all 4 bits are in use. 0 after a failure. */
static int check_quantised(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    int holds = hc_pack_inspect(bytes, n);
    it->nonzero |= (holds & HC_NONZERO) != 0;
    if (holds & HC_LOWEST && it->element == HC_I8)
        hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds -128, expected -127 to 127", it->name);
    return loader->problem.status == HC_OK;
}

/* 127 times a scale of int8 must still be a number. Those of int4 may be negative. */
static void take_scales(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    enum { CHUNK = 64 };
    float scales[CHUNK];
    for (size_t i = 0, n; i < units; i += n) {
        n = units - i < CHUNK ? units - i : CHUNK;
        if (!hc_loader_convert(loader, it, bytes + i * it->unit, scales, n)) return;
        for (size_t j = 0; j < n && it->element == HC_F32; j++)
            if (!(scales[j] >= 0 && scales[j] <= 3.4e38f / 127))
                hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "tensor %s holds a scale that is negative or too large",
                        it->name);
    }
    memcpy(it->place + it->done * it->unit, bytes, units * it->unit);
}

/* Output channel `row` of a convolution, from the file's order [c, y, x] to the kernels', [y, x, c]. */
static const float *channels_last(const hc_loader *loader, const hc_tensor *t)
{
    if (!t->positions) return loader->row;
    size_t positions = (size_t)t->positions, channels = t->shape[1];
    float *to = loader->row + loader->row_length;
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < positions; p++) to[p * channels + c] = loader->row[c * positions + p];
    return to;
}

/* Standardises the row. A shard's weights are as they were held. */
static void standardise(hc_loader *loader, const hc_tensor *t)
{
    size_t k = (size_t)hc_stored_extent(t).k;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < k; i++) mean += (double)loader->row[i] / (double)k;
    for (size_t i = 0; i < k; i++) {
        double off = (double)loader->row[i] - mean;
        variance += off * off / (double)k;
    }
    double inverse = 1 / sqrt(variance + (double)t->standard_eps);
    for (size_t i = 0; i < k; i++) loader->row[i] = (float)(((double)loader->row[i] - mean) * inverse);
}

static int is_standardised(const hc_loader *loader, const hc_tensor *t)
{
    return t->standard_eps > 0 && loader->held == HC_AUTO;
}

void hc_loader_pack_row(hc_loader *loader, hc_tensor *tensor, int row)
{
    if (is_standardised(loader, tensor)) standardise(loader, tensor);
    hc_normed_pack_row(loader, tensor, row, channels_last(loader, tensor));
}

/* Whole rows or columns, by way of floats. */
static void take_rows(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    hc_tensor *t = it->tensor;
    for (size_t i = 0; i < units && hc_loader_convert(loader, it, bytes + i * it->unit, loader->row, it->unit_values);
         i++) {
        int row = it->first + (int)(it->done + i);
        if (it->target == TO_ROWS) hc_loader_pack_row(loader, t, row);
        else if (it->target == TO_COLUMNS) hc_pack_column(&t->matrix, row, loader->row);
        else hc_pack_table_row(&t->table, row, loader->row);
    }
}

void hc_loader_take(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    switch (it->target) {
    case TO_VOCABULARY: memcpy(loader->encoder->vocabulary + it->done, bytes, units); break;
    case TO_FLOATS:
        hc_loader_convert(loader, it, bytes, it->tensor->floats + (size_t)it->first + it->done, units);
        break;
    case TO_SCALES: take_scales(loader, it, bytes, units); break;
    case TO_PLACES: hc_places_take(loader, it, bytes, units); break;
    case TO_QUANTISED:
        if (check_quantised(loader, it, bytes, units) && bytes != it->place + it->done)
            memcpy(it->place + it->done, bytes, units);
        break;
    case TO_TABLE: take_rows(loader, it, bytes, units); break;
    case TO_ROWS:
    case TO_COLUMNS:
        if (it->element == HC_F16 && it->tensor->matrix.storage == HC_STORE_F16 && !it->tensor->positions &&
            !is_standardised(loader, it->tensor))
            take_halves(loader, it, bytes, units);
        else take_rows(loader, it, bytes, units);
        break;
    }
    it->done += units;
}
