/* branch.c: the branches that a convolution is trained as. */
#include "operations/operations.h"

hc_fold hc_batch_norm_of(hc_network *net, const char *name, int n, float eps)
{
    hc_fold fold = {.n = n, .eps = eps};
    fold.weight = hc_network_vector(net, name, "weight", n);
    fold.bias = hc_network_vector(net, name, "bias", n);
    fold.mean = hc_network_vector(net, name, "running_mean", n);
    fold.variance = hc_network_vector(net, name, "running_var", n);
    return fold;
}

void hc_trained_as(hc_network *net, hc_branch_options o)
{
    if (net->problem->status != HC_OK) return;
    const hc_op *op = &net->ops[net->op_count - 1];
    const hc_tensor *weight = &net->tensors[op->tensors[0]];
    int n = (int)weight->shape[0], channels = (int)weight->shape[1];
    hc_branch branch = {
        .weight = op->tensors[0], .bias = op->tensors[1], .gamma = o.gamma, .is_taken_away = o.is_taken_away};
    if (o.kernel)
        branch.kernel = hc_network_tensor(net, o.conv, "weight", HC_FLOATS, 4, n, channels, o.kernel, o.kernel);
    if (o.biased) branch.kernel_bias = hc_network_vector(net, o.conv, "bias", n);
    if (o.norm) branch.norm = hc_batch_norm_of(net, o.norm, n, o.eps);
    hc_network_branch(net, branch);
}
