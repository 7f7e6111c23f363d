/* gram.h: sums up what a matrix multiplies: Σ x xᵀ, the Hessian of the squared error of what it makes. */
#ifndef HC_GRAM_H
#define HC_GRAM_H

#include "kernels/kernels.h"

typedef struct hc_gram {
    hc_threads *threads;
    float *h; /* [width][width], of which the lower triangle is summed up */
    size_t width;
    int failed; /* there was no memory for the rows */
} hc_gram;

/* An hc_observer with an hc_gram as its context: adds all rows of `a`, in fp32, of at most `width` values. */
void hc_gram_add(void *context, const hc_matrix *w, const hc_rows *a);

#endif
