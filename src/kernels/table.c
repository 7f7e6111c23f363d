/* table.c: rows of a table by their number, as floats. */
#include "kernels/kernels.h"

#include <string.h>

/* Byte i of a group holds values i and i + 16, from -8 to 7, in its low and its high four bits. */
static void row_of_i4(const hc_table *t, int row, float *out)
{
    size_t groups = hc_groups(t->width);
    for (size_t j = 0; j < (size_t)t->width; j++) {
        size_t index = (size_t)row * groups + j / HC_GROUP, at = j % HC_GROUP;
        int byte = ((const uint8_t *)t->data)[index * HC_GROUP_BYTES + at % HC_GROUP_BYTES];
        int four = at < HC_GROUP_BYTES ? byte & 15 : byte >> 4, level = four > 7 ? four - 16 : four;
        out[j] = (float)level * hc_half_to_float(t->group_scale[index]);
    }
}

void hc_table_row(const hc_table *t, int row, float *out)
{
    size_t width = (size_t)t->width, at = (size_t)row * width;
    switch (t->storage) {
    case HC_STORE_F32: memcpy(out, (const float *)t->data + at, width * sizeof *out); break;
    case HC_STORE_F16: hc_halves_to_floats((const uint16_t *)t->data + at, out, width); break;
    case HC_STORE_I8:
        for (size_t j = 0; j < width; j++) out[j] = (float)((const int8_t *)t->data)[at + j] * t->scale[row];
        break;
    case HC_STORE_I4: row_of_i4(t, row, out); break;
    }
}
