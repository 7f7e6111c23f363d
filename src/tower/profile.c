/* profile.c: what the list of operations says of each. */
#include "tower/encoder.h"

int hc_encoder_profile(const hc_encoder *encoder, size_t index, hc_operation *out)
{
    const hc_network *net = &encoder->net;
    if (index >= (size_t)net->op_count) return 0;
    const hc_op *op = &net->ops[index];
    const hc_value_info *made = &net->values[op->out];
    *out = (hc_operation){
        .kind = op->kind->name,
        .name = op->name,
        .rows = made->rows,
        .height = made->height,
        .width = made->across,
        .n = made->width,
        .k = op->in[0] ? net->values[op->in[0]].width : 0,
        .multiplications = op->kind->multiplications ? op->kind->multiplications(net, op) : 0,
    };
    return 1;
}
