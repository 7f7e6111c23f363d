/* finish.c: see finish.h. */
#include "operations/finish.h"

hc_epilogue hc_finish_of(const hc_pass *pass, const hc_op *op)
{
    const hc_fold *fold = &pass->net->folds[op->fold];
    const float *bias = op->fold ? fold->shift : hc_pass_floats(pass, op->tensors[1]);
    return (hc_epilogue){.scale = op->fold ? fold->scale : NULL,
                         .bias = bias ? bias + op->bias_first : NULL,
                         .activation = op->activation,
                         .gamma = hc_pass_floats(pass, op->tensors[2]),
                         .residual = op->in[1] ? hc_pass_value(pass, op->in[1]).at : NULL,
                         .activate_last = op->activate_last};
}
