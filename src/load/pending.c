/* pending.c: what is left to do of tensors that have come whole: those with strides are put in order, those that were
 * held for a norm are rounded, positions of another grid are resized, and quantised tensors that are held otherwise are
 * quantised anew, a few milliseconds' worth at a time. */
#include "load/loader.h"
#include "load/normed.h"
#include "load/pack.h"
#include "load/places.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* What is left to do of a tensor that has come whole is done this many values at a time. */
enum { AT_ONCE = 1 << 18 };

void hc_loader_defer(hc_loader *loader, hc_item *it)
{
    it->waiting = 1;
    loader->waiting++;
}

/* Some rows of a tensor that a shard holds quantised and that is held otherwise. */
static void requantise(hc_loader *loader, const hc_item *values, const hc_matrix *matrix, const hc_table *table,
                       int end)
{
    hc_tensor *t = values->tensor;
    for (; (int)loader->settled < end && loader->problem.status == HC_OK; loader->settled++) {
        int row = (int)loader->settled;
        if (t->kind == HC_TABLE) hc_table_row(table, row, loader->row);
        else hc_dequantise_row(matrix, row, loader->row);
        if (!hc_loader_fits_half(loader, values->tensor, values->name, hc_largest_bits(loader->row, (size_t)matrix->k)))
            return;
        if (t->kind == HC_TABLE) hc_pack_table_row(&t->table, row, loader->row);
        else hc_normed_pack_row(loader, t, row, loader->row);
    }
}

/* Quantised values and their scales are both here: the tower holds them as they are, or gets them row by row. Returns
 * whether that is done. */
static int finish_quantised(hc_loader *loader, hc_item *values, hc_item *scales)
{
    hc_tensor *t = values->tensor;
    hc_extent extent = hc_stored_extent(t);
    int int4 = values->element == HC_U8, rows = (int)extent.rows, k = (int)extent.k;
    hc_storage from = int4 ? HC_STORE_I4 : HC_STORE_I8;
    float *scale = int4 ? NULL : (float *)(void *)scales->place;
    uint16_t *group_scale = int4 ? (uint16_t *)(void *)scales->place : NULL;
    hc_table table = {rows, k, from, values->place, scale, group_scale};
    hc_matrix matrix = {rows, k, from, values->place, scale, NULL, group_scale, NULL};
    if (from == hc_stored_as(t, loader->dtype)) {
        if (t->kind == HC_MATRIX) hc_pack_finish(&t->matrix);
        return 1;
    }
    int64_t end = (int64_t)loader->settled + AT_ONCE / k + 1;
    requantise(loader, values, &matrix, &table, end < rows ? (int)end : rows);
    if ((int)loader->settled < rows || loader->problem.status != HC_OK) return 0;
    free(values->place);
    free(scales->place);
    values->place = scales->place = NULL;
    return 1;
}

void hc_loader_complete(hc_loader *loader, hc_item *it)
{
    free(it->cut);
    it->cut = NULL;
    if (it->target == TO_PLACES) hc_loader_defer(loader, it);
    if (!it->has_partner) return;
    hc_item *partner = &loader->items[it->partner];
    if (partner->at < partner->end || partner->span) return;
    hc_loader_defer(loader, it->target == TO_SCALES ? partner : it);
}

/* What is left to do of an item that is in order. Returns whether that is done. */
static int finish(hc_loader *loader, hc_item *it)
{
    return it->target == TO_PLACES ? hc_places_resize(loader, it)
                                   : finish_quantised(loader, it, &loader->items[it->partner]);
}

/* ---- tensors with strides, and those that are held ---- */

/* Values `first` to `first + count` of a tensor, in the order of its shape, out of its span. */
static void gather(const hc_item *it, uint64_t first, size_t count, uint8_t *to)
{
    int inner = it->strided - 1;
    size_t size = hc_pack_element_bytes(it->element), step = (size_t)it->strides[inner] * size;
    for (size_t done = 0, run; done < count; done += run) {
        uint64_t index = first + done, rest = index / it->shape[inner], at = index % it->shape[inner],
                 left = it->shape[inner] - at;
        uint64_t element = at * it->strides[inner];
        for (int i = inner; i-- > 0; rest /= it->shape[i]) element += rest % it->shape[i] * it->strides[i];
        run = left < count - done ? (size_t)left : count - done;
        const uint8_t *from = it->span + (size_t)element * size;
        for (size_t i = 0; i < run; i++) memcpy(to + (done + i) * size, from + i * step, size);
    }
}

/* Takes a tensor whose span has come. Returns whether that is done. */
static int take_span(hc_loader *loader, hc_item *it)
{
    enum { IN_TURN = 16 * 1024 };
    size_t units = (size_t)(hc_item_bytes(it) / it->unit), most = it->unit < IN_TURN ? IN_TURN / it->unit : 1,
           taken = 0;
    it->cut = hc_loader_allocate(loader, hc_size_product(most, it->unit), 1, "rows");
    for (size_t n; it->cut && loader->settled < units && taken < AT_ONCE && loader->problem.status == HC_OK;
         loader->settled += n, taken += n * it->unit_values) {
        n = units - loader->settled < most ? units - loader->settled : most;
        const uint8_t *from = it->strided ? it->cut : it->span + loader->settled * it->unit;
        if (it->strided) gather(it, (uint64_t)loader->settled * it->unit_values, n * it->unit_values, it->cut);
        hc_loader_take(loader, it, from, n);
    }
    free(it->cut);
    it->cut = NULL;
    if (loader->settled < units || loader->problem.status != HC_OK) return 0;
    free(it->span);
    it->span = NULL;
    hc_loader_complete(loader, it);
    return 1;
}

/* The first item of which something can be done; NULL if there is none. */
static hc_item *next(const hc_loader *loader)
{
    if (loader->problem.status != HC_OK || !loader->waiting) return NULL;
    for (size_t i = 0; i < loader->item_count; i++)
        if (loader->items[i].waiting && !hc_normed_waits(loader, &loader->items[i])) return &loader->items[i];
    return NULL;
}

int hc_loader_settle(hc_loader *loader)
{
    hc_item *it = next(loader);
    if (!it) return 0;
    it->waiting = 0;
    loader->waiting--;
    if (it->span ? take_span(loader, it) : finish(loader, it)) loader->settled = 0;
    else hc_loader_defer(loader, it);
    return next(loader) != NULL;
}
