/* pack.h: rows of a checkpoint to and from the kernels' layouts (tensor.h). */
#ifndef HC_PACK_H
#define HC_PACK_H

#include "safetensors.h"
#include "tensor.h"

/* Bits of the largest float whose nearest half is finite. */
#define HC_LARGEST_HALF_BITS 0x477FEFFFu

/* Bits of infinity: hc_pack_floats gives this or more when a value is not finite. */
#define HC_INFINITY_BITS 0x7F800000u

/* Bytes of one element; 0 for HC_OTHER. */
size_t hc_pack_element_bytes(hc_element element);

/* n little-endian elements, at any alignment, as floats. Returns the bits of the largest magnitude: 0 if all are zero. */
uint32_t hc_pack_floats(hc_element element, const void *from, float *to, size_t n);

/* Puts one output channel (k values) in its place. At int8 it is quantised: scale = max|w| / 127, q = w / scale rounded half to even;
 * the channel's scale and sum are set. */
void hc_pack_row(hc_matrix *matrix, int row, const float *values);

/* Puts one input channel (n values) in its place; fp32 and fp16 only. */
void hc_pack_column(hc_matrix *matrix, int column, const float *values);

/* Puts blocks of an int8 matrix from block `index` on, each 8 channels by 4 values as shards hold them, in their place, not yet scaled. */
void hc_pack_blocks(hc_matrix *matrix, size_t index, const int8_t *blocks, size_t count);

/* After the last block. int8: clears the padding and computes the sums. fp32, fp16: multiplies each channel by its scale. */
void hc_pack_finish(hc_matrix *matrix, const float *scale);

/* Puts one row of a table in its place, quantised at int8. */
void hc_pack_table_row(hc_table *table, int row, const float *values);

/* After the last row of quantised values: fp32 and fp16 are multiplied by each row's scale. */
void hc_pack_table_finish(hc_table *table, const float *scale);

/* The reverse of hc_pack_row and hc_pack_column for fp32 and fp16: floats or halves, as the matrix holds them. */
void hc_unpack_row(const hc_matrix *matrix, int row, void *out);
void hc_unpack_column(const hc_matrix *matrix, int column, void *out);

#endif
