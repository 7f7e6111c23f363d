/* tensor.c: sizes and parts of packed weights. */
#include "kernels/tensor.h"

/* Of `width` values that follow each other. */
static uint64_t row_bytes(uint64_t width, hc_storage storage)
{
    switch (storage) {
    case HC_STORE_F32: return hc_size_product(width, sizeof(float));
    case HC_STORE_F16: return hc_size_product(width, sizeof(uint16_t));
    case HC_STORE_I8: return width;
    case HC_STORE_I4: break;
    }
    return hc_size_round_up(width, HC_GROUP) / HC_GROUP * HC_GROUP_BYTES;
}

uint64_t hc_matrix_bytes(int n, int k, hc_storage storage)
{
    uint64_t columns = storage == HC_STORE_I8 ? hc_size_round_up((uint64_t)k, HC_DEPTH) : (uint64_t)k;
    return hc_size_product(hc_size_round_up((uint64_t)n, HC_PANEL), row_bytes(columns, storage));
}

hc_matrix hc_matrix_part(const hc_matrix *m, int first, int n)
{
    size_t scales = hc_group_scales(first, m->k);
    return (hc_matrix){
        .n = n,
        .k = m->k,
        .storage = m->storage,
        .data = (char *)m->data + (size_t)hc_matrix_bytes(first, m->k, m->storage),
        .scale = m->scale ? m->scale + first : NULL,
        .sum = m->sum ? m->sum + first : NULL,
        .group_scale = m->group_scale ? m->group_scale + scales : NULL,
        .total = m->total ? m->total + first : NULL,
    };
}

uint64_t hc_table_bytes(int rows, int width, hc_storage storage)
{
    return hc_size_product((uint64_t)rows, row_bytes((uint64_t)width, storage));
}
