/* rows_in.h: rows of a value on their way into a GEMM, through a LayerNorm where the value is one. */
#ifndef HC_ROWS_IN_H
#define HC_ROWS_IN_H

#include "tower/pass.h"

/* Lays the rows of op->in[0] out for a GEMM with w, in the operation's scratch memory of hc_rows_in_bytes. */
void hc_rows_in(hc_pass *pass, const hc_op *op, const hc_matrix *w, hc_rows *rows);

uint64_t hc_rows_in_bytes(const hc_network *net, const hc_op *op, const hc_batch *batch);

/* LayerNorm of the rows of a value that is one, into `out`. */
void hc_rows_normed(hc_pass *pass, hc_value normed, float *out, size_t stride);

#endif
