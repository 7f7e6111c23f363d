/* tensor.h: how weights lie in memory, matrices and tables.
 *
 * Matrices are stored in the order the kernels read them: panels of HC_PANEL output channels, zero padded.
 *     fp32, fp16   [ceil(n/8)][k][8]              one value a channel for each k
 *     int8         [ceil(n/8)][ceil(k/4)][8][4]   four consecutive k a channel: a 16-byte load feeds a dot product
 *     int4         [ceil(n/8)][ceil(k/32)][8][16] groups of 32 k: eight times the 32 values of an int8 block
 *                                                 in 16 bytes. Byte i holds values i and i + 16 of the block,
 *                                                 from -8 to 7, in its low and its high four bits
 * Vectors are fp32, zero padded to a multiple of HC_PANEL, so that a kernel may load whole panels of them. Everything
 * is aligned to HC_ALIGN bytes.
 */
#ifndef HC_TENSOR_H
#define HC_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/size.h"

enum { HC_PANEL = 8, HC_DEPTH = 4, HC_ALIGN = 16, HC_GROUP = 32 };

/* int4: bytes of a group's 32 values of one channel or row. */
enum { HC_GROUP_BYTES = HC_GROUP / 2 };

typedef enum hc_storage { HC_STORE_F32, HC_STORE_F16, HC_STORE_I8, HC_STORE_I4 } hc_storage;

static inline int hc_is_quantised(hc_storage storage) { return storage >= HC_STORE_I8; }

/* A weight matrix [n, k] (n output channels) in kernel order: out = a · wᵀ. */
typedef struct hc_matrix {
    int n, k;
    hc_storage storage;
    void *data;
    float *scale;          /* int8: w = q * scale[channel]; padded to HC_PANEL with zeros; else NULL            */
    int32_t *sum;          /* int8: sum of q over k for each channel, to undo the activations' zero point; else NULL */
    uint16_t *group_scale; /* int4: w = q * scale, halves [ceil(n/8)][ceil(k/32)][8]; else NULL           */
    float *total;          /* int4: sum of w over k for each channel, for the same purpose; else NULL             */
} hc_matrix;

/* A table [rows, width] that is looked up by row (the token table), in row order; at int4 [rows][ceil(width/32)][16],
 * where byte i of 16 holds values i and i + 16 of a group. */
typedef struct hc_table {
    int rows, width;
    hc_storage storage;
    void *data;
    float *scale;          /* int8: [rows]; else NULL */
    uint16_t *group_scale; /* int4: halves [rows][ceil(width/32)]; else NULL */
} hc_table;

static inline size_t hc_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* n output channels of a matrix from `first` on, a multiple of HC_PANEL: another view of the same memory. */
hc_matrix hc_matrix_part(const hc_matrix *matrix, int first, int n);

/* Bytes of a matrix's or table's `data` at a storage. */
uint64_t hc_matrix_bytes(int n, int k, hc_storage storage);
uint64_t hc_table_bytes(int rows, int width, hc_storage storage);

/* Groups of one channel of k values, and of a matrix's panels together: how many group_scale are. */
static inline size_t hc_groups(int k) { return ((size_t)k + HC_GROUP - 1) / HC_GROUP; }
static inline size_t hc_group_scales(int n, int k) { return hc_round_up((size_t)n, HC_PANEL) * hc_groups(k); }

#endif
