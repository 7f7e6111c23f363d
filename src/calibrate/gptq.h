/* gptq.h: rounds a matrix to 4 bits in groups of 32, so that what it makes of given inputs changes least. */
#ifndef HC_GPTQ_H
#define HC_GPTQ_H

#include "calibrate/factor.h"
#include "kernels/tensor.h"

/* Numbers in a row of a Hessian for k inputs. */
static inline size_t hc_gptq_width(int k) { return hc_round_up((size_t)k, HC_GROUP); }

/* Rounds w [n, k], in fp32, into `to`, int4 of the same n and k, so that Σ ‖(w - to) x‖² is small over the inputs x of
 * which h = Σ x xᵀ, [width][width] with width = hc_gptq_width(k), symmetric and 0 behind k; of it the lower triangle is
 * read, and all is overwritten. Where h is 0 throughout, or not finite, each group is rounded by least squares.
 * `damping` is a share of the mean of h's diagonal, which is added to it. `errors` has room for width * HC_PANEL floats
 * a thread, `pivots` for width. */
void hc_gptq(hc_threads *threads, const hc_matrix *w, float *h, float damping, float *pivots, float *errors,
             hc_matrix *to);

#endif
