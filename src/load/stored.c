/* stored.c: one function for what is stored of a tensor: the plan of a load, the shard and the memory all ask it. */
#include "load/stored.h"

#include "base/size.h"

hc_storage hc_stored_as(const hc_tensor *t, hc_dtype dtype)
{
    if (t->kind == HC_FLOATS || dtype == HC_FP32) return HC_STORE_F32;
    if (dtype == HC_FP16 || t->keep_half) return HC_STORE_F16;
    return dtype == HC_INT4 && !t->eight_bits ? HC_STORE_I4 : HC_STORE_I8;
}

hc_extent hc_stored_extent(const hc_tensor *t)
{
    if (t->kind == HC_FLOATS) return (hc_extent){1, hc_size_shape(t->shape, t->rank)};
    if (t->transposed) return (hc_extent){t->shape[1], t->shape[0]};
    return (hc_extent){t->shape[0], hc_size_shape(t->shape + 1, t->rank - 1)};
}

int hc_stored_parts(const hc_tensor *t, hc_storage storage, hc_stored_part parts[2])
{
    static const hc_element elements[] = {HC_F32, HC_F16, HC_I8, HC_U8};
    hc_extent extent = hc_stored_extent(t);
    uint32_t rows = (uint32_t)extent.rows, panels = (rows + HC_PANEL - 1) / HC_PANEL;
    uint32_t steps = (uint32_t)((extent.k + HC_DEPTH - 1) / HC_DEPTH), groups = (uint32_t)hc_groups((int)extent.k);
    int table = t->kind == HC_TABLE;
    hc_stored_part as_is = {
        "", elements[storage], t->rank, {t->shape[0], t->shape[1], t->shape[2], t->shape[3], t->shape[4]}};
    switch (storage) {
    case HC_STORE_F32:
    case HC_STORE_F16: parts[0] = as_is; return 1;
    case HC_STORE_I8:
        parts[0] = table ? as_is : (hc_stored_part){"", HC_I8, 4, {panels, steps, HC_PANEL, HC_DEPTH}};
        parts[1] = (hc_stored_part){".scale", HC_F32, 1, {rows}};
        return 2;
    case HC_STORE_I4:
        parts[0] = table ? (hc_stored_part){"", HC_U8, 3, {rows, groups, HC_GROUP_BYTES}}
                         : (hc_stored_part){"", HC_U8, 4, {panels, groups, HC_PANEL, HC_GROUP_BYTES}};
        parts[1] = table ? (hc_stored_part){".scale", HC_F16, 2, {rows, groups}}
                         : (hc_stored_part){".scale", HC_F16, 3, {panels, groups, HC_PANEL}};
        return 2;
    }
    return 0;
}

void *hc_stored_at(const hc_tensor *t, const hc_stored_part *part)
{
    int scales = part->ending[0] != '\0';
    switch (t->kind) {
    case HC_FLOATS: return t->floats;
    case HC_TABLE:
        if (!scales) return t->table.data;
        return t->table.scale ? (void *)t->table.scale : (void *)t->table.group_scale;
    case HC_MATRIX: break;
    }
    if (!hc_is_quantised(t->matrix.storage)) return NULL;
    if (!scales) return t->matrix.data;
    return t->matrix.scale ? (void *)t->matrix.scale : (void *)t->matrix.group_scale;
}

/* ---- memory -------------------------------------------------------------------------------------------------------
 */

static void *take(uint8_t *base, uint64_t *at, uint64_t bytes)
{
    void *place = base ? base + (size_t)*at : NULL;
    *at = hc_size_sum(*at, hc_size_round_up(bytes, HC_ALIGN));
    return place;
}

static void place_matrix(hc_matrix *m, uint8_t *base, uint64_t *at)
{
    uint64_t padded = hc_size_round_up((uint64_t)m->n, HC_PANEL) * sizeof(float);
    m->data = take(base, at, hc_matrix_bytes(m->n, m->k, m->storage));
    if (m->storage == HC_STORE_I8) {
        m->scale = take(base, at, padded);
        m->sum = take(base, at, padded);
    } else if (m->storage == HC_STORE_I4) {
        m->group_scale = take(base, at, (uint64_t)hc_group_scales(m->n, m->k) * sizeof(uint16_t));
        m->total = take(base, at, padded);
    }
}

static void place_table(hc_table *t, uint8_t *base, uint64_t *at)
{
    uint64_t rows = (uint64_t)t->rows;
    t->data = take(base, at, hc_table_bytes(t->rows, t->width, t->storage));
    if (t->storage == HC_STORE_I8) t->scale = take(base, at, hc_size_round_up(rows, HC_PANEL) * sizeof(float));
    if (t->storage == HC_STORE_I4) t->group_scale = take(base, at, rows * hc_groups(t->width) * sizeof(uint16_t));
}

void hc_stored_place(hc_tensor *t, hc_storage storage, uint8_t *base, uint64_t *at)
{
    hc_extent extent = hc_stored_extent(t);
    int rows = (int)extent.rows, k = (int)extent.k;
    switch (t->kind) {
    case HC_FLOATS: {
        /* Kernels load four numbers at a time, from any place in parts of a vector: what lies behind it must be memory,
         * too. */
        uint64_t behind = extent.k % HC_PANEL ? HC_PANEL : 0, n = hc_size_round_up(extent.k, HC_PANEL);
        t->floats = take(base, at, hc_size_product(hc_size_sum(n, behind), sizeof(float)));
        break;
    }
    case HC_MATRIX:
        t->matrix = (hc_matrix){.n = rows, .k = k, .storage = storage};
        place_matrix(&t->matrix, base, at);
        break;
    case HC_TABLE:
        t->table = (hc_table){.rows = rows, .width = k, .storage = storage};
        place_table(&t->table, base, at);
        break;
    }
}
