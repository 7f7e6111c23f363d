/* normed.h: rounding to 4 bits for rows that come out of a norm. */
#ifndef HC_NORMED_H
#define HC_NORMED_H

#include "load/loader.h"

/* What an error of a weight of each input channel counts: counts [k]. 0: the tensor is no matrix that is multiplied
 * with a norm's rows alone, or of a norm that says nothing: each counts as much. The norm's tensors are there. */
int hc_normed_counts(const hc_network *net, const hc_tensor *tensor, float *counts);

/* The means of those channels [k]; NULL where they are 0. */
const float *hc_normed_means(const hc_network *net, const hc_tensor *tensor);

/* Where a row of the matrix has its bias; NULL if it has none. */
float *hc_normed_bias(const hc_network *net, const hc_tensor *tensor, int row);

/* Whether rows of this item are rounded with the help of a norm that has not come yet. */
int hc_normed_waits(const hc_loader *loader, const hc_item *item);

/* Puts a row of floats [k] in its place in a matrix. Failures are the loader's. */
void hc_normed_pack_row(hc_loader *loader, hc_tensor *tensor, int row, const float *values);

/* When all has come: adds what rounding took from the rows' means to the biases, and frees what that took. */
void hc_normed_finish(hc_loader *loader);

/* Of a load that ends before. */
void hc_normed_free(hc_loader *loader);

#endif
