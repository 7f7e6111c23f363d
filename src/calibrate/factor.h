/* factor.h: what a Hessian says about the order in which weights are rounded. */
#ifndef HC_FACTOR_H
#define HC_FACTOR_H

#include "kernels/parallel.h"

/* Rows and columns of a Hessian are filled up to a multiple of this. */
enum { HC_FACTOR_BLOCK = 32 };

/* Factors h [k][k], symmetric and row-major (what lies above its diagonal is not read), k a multiple of
 * HC_FACTOR_BLOCK, into (U + I) D (U + I)ᵀ with U strictly upper triangular and D diagonal, after `damping` was added
 * to its diagonal, which is more than 0. U takes the place of h above the diagonal, D is pivots[k], each at least
 * `damping`.
 *
 * What is below the diagonal has no meaning afterwards. A row of weights w that is rounded from its first column to its
 * last, with errors e = w - q, has the loss e h eᵀ = Σ_j D_j (e_j + Σ_{i<j} e_i U_ij)²: each term is made small in turn
 * by what is left of column j. That is GPTQ (Frantar et al. 2022) in the form of Chee et al., "QuIP" (2023), theorem 6,
 * which needs no inverse. */
void hc_factor(hc_threads *threads, float *h, int k, float damping, float *pivots);

#endif
