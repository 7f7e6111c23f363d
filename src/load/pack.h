/* pack.h: rows of a checkpoint to and from the kernels' layouts (tensor.h). */
#ifndef HC_PACK_H
#define HC_PACK_H

#include "checkpoint/safetensors.h"
#include "kernels/tensor.h"

/* Bits of the largest float whose nearest half is finite. */
#define HC_LARGEST_HALF_BITS 0x477FEFFFu

/* Bits of infinity: hc_pack_floats gives this or more when a value is not finite. */
#define HC_INFINITY_BITS 0x7F800000u

/* The same of halves. */
#define HC_INFINITE_HALF 0x7C00u

/* Bytes of one element; 0 for HC_OTHER. */
size_t hc_pack_element_bytes(hc_element element);

/* n little-endian elements, at any alignment, as floats. Returns the bits of the largest magnitude: 0 if all are zero.
 */
uint32_t hc_pack_floats(hc_element element, const void *from, float *to, size_t n);

/* The same of n floats that are there already. */
uint32_t hc_largest_bits(const float *values, size_t n);

/* What n quantised bytes hold: HC_NONZERO, HC_LOWEST (a -128), both or neither. */
enum { HC_NONZERO = 1, HC_LOWEST = 2 };
int hc_pack_inspect(const void *bytes, size_t n);

/* Puts one output channel (k values) in its place. At int8 it is quantised: scale = max|w| / 127, q = w / scale rounded
 * half to even; the channel's scale and sum are set. At int4 each group of 32 is, with the scale of least squared error
 * among a few (pack_i4.c). */
void hc_pack_row(hc_matrix *matrix, int row, const float *values);

/* Puts one input channel (n values) in its place; fp32 and fp16 only. */
void hc_pack_column(hc_matrix *matrix, int column, const float *values);

/* hc_pack_row and hc_pack_column of halves, at any alignment, for a matrix in fp16. Returns the bits of the largest
 * magnitude: HC_INFINITE_HALF or more when one is not finite. */
uint32_t hc_pack_row_halves(hc_matrix *matrix, int row, const void *halves);
uint32_t hc_pack_column_halves(hc_matrix *matrix, int column, const void *halves);

/* int8, int4: after `data` and scales were copied as a shard holds them, clears the padding and computes the sums. */
void hc_pack_finish(hc_matrix *matrix);

/* Puts one row of a table in its place, quantised at int8 and int4. */
void hc_pack_table_row(hc_table *table, int row, const float *values);

/* An output channel of an int8 or int4 matrix as floats [k]. */
void hc_dequantise_row(const hc_matrix *matrix, int row, float *out);

/* The reverse of hc_pack_row and hc_pack_column for fp32 and fp16: floats or halves, as the matrix holds them. */
void hc_unpack_row(const hc_matrix *matrix, int row, void *out);
void hc_unpack_column(const hc_matrix *matrix, int column, void *out);

/* pack_i4.c: the above for int4. counts [k]: what an error of a weight counts, more than 0; means [k]: of what they are
 * multiplied with. NULL: 1, and 0. Returns what rounding took from the row's values times the means. */
float hc_pack_row_i4(hc_matrix *matrix, int row, const float *values, const float *counts, const float *means);
void hc_pack_finish_i4(hc_matrix *matrix);

/* Levels of a group of a row, found elsewhere, -8 to 7, and their scale as a half; from a row's first group on. */
void hc_pack_levels_i4(hc_matrix *matrix, int row, size_t group, const int8_t q[HC_GROUP], uint16_t scale);

void hc_unpack_row_i4(const hc_matrix *matrix, int row, float *out);
void hc_pack_table_row_i4(hc_table *table, int row, const float *values);

#endif
