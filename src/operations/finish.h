/* finish.h: what a multiplication does with its sums, out of its operation. */
#ifndef HC_FINISH_H
#define HC_FINISH_H

#include "tower/pass.h"

/* Of an operation whose tensors are a matrix, a bias and a gamma, and whose second value is added: whole rows. */
hc_epilogue hc_finish_of(const hc_pass *pass, const hc_op *op);

#endif
