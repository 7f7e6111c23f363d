/* pass.c: where values lie in a pass. */
#include "tower/pass.h"

hc_span_of_rows hc_pass_value(const hc_pass *pass, hc_value value)
{
    const hc_network *net = pass->net;
    const hc_value_info *v = &net->values[value], *memory = &net->values[hc_network_memory(net, value)];
    int count = v->span == HC_PACKED   ? pass->first[pass->inputs]
                : v->span == HC_EACH   ? pass->inputs * v->rows
                : v->span == HC_FRAMES ? pass->frames
                                       : v->rows;
    float *at = memory->is_output  ? pass->out
                : memory->is_input ? (float *)(uintptr_t)pass->input /* nobody writes to it */
                : memory->tensor   ? net->tensors[memory->tensor].floats
                                   : (float *)(void *)(pass->arena + (size_t)memory->at);
    int column = 0;
    for (hc_value part = value; net->values[part].memory != part; part = net->values[part].memory)
        column += net->values[part].column;
    return (hc_span_of_rows){at + column, (size_t)memory->width, count, v->width};
}

hc_part_of_rows hc_pass_part(const hc_pass *pass, hc_value value, int input)
{
    const hc_value_info *v = &pass->net->values[value];
    switch (v->span) {
    case HC_PACKED: return (hc_part_of_rows){pass->first[input], pass->first[input + 1] - pass->first[input]};
    case HC_EACH: return (hc_part_of_rows){input * v->rows, v->rows};
    case HC_FRAMES: return (hc_part_of_rows){0, pass->frames};
    case HC_SHARED: break;
    }
    return (hc_part_of_rows){0, v->rows};
}

void *hc_pass_scratch(const hc_pass *pass, const hc_op *op) { return pass->arena + (size_t)op->scratch_at; }

const float *hc_pass_floats(const hc_pass *pass, hc_tensor_id tensor)
{
    return tensor ? pass->net->tensors[tensor].floats : NULL;
}
