/* network.c: the lists of a network as they grow. After a failure nothing is added any more, and what is asked of the
 * lists stays harmless. */
#include "tower/network.h"

#include "base/size.h"
#include "base/text_format.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

/* A cleared entry at a list's end; its index, or 0 when memory is exhausted. */
static int grow(hc_network *net, void *list, int *count, int *room, size_t size)
{
    char *entries;
    memcpy(&entries, list, sizeof entries);
    if (net->problem->status != HC_OK) return 0;
    if (*count == *room) {
        int wanted = *room ? 2 * *room : FIRST_ROOM;
        char *grown = hc_reallocate(entries, (uint64_t)wanted, size);
        if (!grown) {
            hc_fail(net->problem, HC_OUT_OF_MEMORY, "out of memory: %m for the list of operations",
                    hc_size_product((uint64_t)wanted, size));
            return 0;
        }
        memcpy(list, &grown, sizeof grown);
        entries = grown;
        *room = wanted;
    }
    memset(entries + (size_t)*count * size, 0, size);
    return (*count)++;
}

#define GROW(net, list) grow(net, &(net)->list##s, &(net)->list##_count, &(net)->list##_room, sizeof *(net)->list##s)

void hc_network_init(hc_network *net, hc_tower tower, hc_problem *problem)
{
    *net = (hc_network){.tower = tower, .problem = problem, .tokens_out = 1, .row_most = 1};
    /* Entry 0, which stands for none, and for whatever could not be added. */
    GROW(net, tensor);
    GROW(net, fold);
    GROW(net, value);
}

void hc_network_free(hc_network *net)
{
    free(net->tensors);
    free(net->folds);
    free(net->branches);
    free(net->values);
    free(net->ops);
    *net = (hc_network){.problem = net->problem};
}

/* ---- names ---- */

size_t hc_enter(hc_network *net, const char *format, int number)
{
    size_t outer = strlen(net->prefix);
    hc_format(net->prefix + outer, sizeof net->prefix - outer, format, number);
    return outer;
}

void hc_leave(hc_network *net, size_t outer) { net->prefix[outer] = '\0'; }

/* ---- entries ---- */

hc_tensor_id hc_network_tensor(hc_network *net, const char *name, const char *end, hc_kind kind, int rank, int d0,
                               int d1, int d2, int d3)
{
    int id = GROW(net, tensor);
    if (!id) return 0;
    hc_tensor *t = &net->tensors[id];
    hc_format(t->name, sizeof t->name, "%s%s%s", net->prefix, name, end);
    t->kind = kind;
    t->rank = rank;
    t->shape[0] = (uint32_t)d0, t->shape[1] = (uint32_t)d1, t->shape[2] = (uint32_t)d2, t->shape[3] = (uint32_t)d3;
    return id;
}

hc_tensor_id hc_network_vector(hc_network *net, const char *name, const char *end, int n)
{
    return hc_network_tensor(net, name, end, HC_FLOATS, 1, n, 0, 0, 0);
}

hc_fold_id hc_network_fold(hc_network *net, hc_fold fold)
{
    int id = GROW(net, fold);
    if (id) net->folds[id] = fold;
    return id;
}

void hc_network_branch(hc_network *net, hc_branch branch)
{
    const hc_fold *norm = &branch.norm;
    const hc_tensor_id parts[] = {branch.kernel, branch.kernel_bias, branch.gamma,  norm->weight,
                                  norm->bias,    norm->mean,         norm->variance};
    int id = grow(net, &net->branches, &net->branch_count, &net->branch_room, sizeof *net->branches);
    if (net->problem->status != HC_OK) return;
    net->branches[id] = branch;
    for (int i = 0; i < (int)(sizeof parts / sizeof *parts); i++) net->tensors[parts[i]].part_of = branch.weight;
    net->tensors[0].part_of = 0;
    net->tensors[branch.weight].sum = net->tensors[branch.bias].sum = branch.weight;
}

hc_value hc_network_value(hc_network *net, hc_span span, int rows, int width)
{
    hc_value id = GROW(net, value);
    if (!id) return 0;
    net->values[id] = (hc_value_info){.span = span, .rows = rows, .width = width, .memory = id};
    if (span < HC_SHARED && rows > net->row_most) net->row_most = rows;
    return id;
}

hc_value hc_network_grid(hc_network *net, int height, int across, int channels)
{
    hc_value id = hc_network_value(net, HC_EACH, height * across, channels);
    net->values[id].height = height;
    net->values[id].across = across;
    return id;
}

hc_value hc_network_like(hc_network *net, hc_value other, int width)
{
    hc_value_info v = net->values[other];
    hc_value id = hc_network_value(net, v.span, v.rows, width);
    net->values[id].height = v.height;
    net->values[id].across = v.across;
    return id;
}

hc_value hc_network_op(hc_network *net, const char *name, hc_op op)
{
    int none = net->op_count == 0, id = GROW(net, op);
    if (!id && !none) return 0;
    if (net->problem->status != HC_OK) return 0;
    hc_format(op.name, sizeof op.name, "%s%s", net->prefix, name);
    net->ops[id] = op;
    return op.out;
}

void hc_network_output(hc_network *net, hc_value value)
{
    net->output = value;
    net->values[value].is_output = 1;
}

/* ---- what follows from them ---- */

size_t hc_network_input(const hc_network *net)
{
    size_t pictures = net->tower == HC_VIDEO && net->seen ? (size_t)net->seen : 1;
    return net->tower == HC_TEXT ? (size_t)net->text.context_length
                                 : 3 * pictures * (size_t)net->image_height * (size_t)net->image_width;
}

hc_value hc_network_memory(const hc_network *net, hc_value value)
{
    while (net->values[value].memory != value) value = net->values[value].memory;
    return value;
}

uint64_t hc_network_rows(const hc_network *net, hc_value value, const hc_batch *batch)
{
    const hc_value_info *v = &net->values[value];
    uint64_t times = v->span == HC_PACKED ? (uint64_t)batch->full : v->span == HC_EACH ? (uint64_t)batch->inputs : 1;
    return hc_size_product(times, (uint64_t)v->rows);
}

uint64_t hc_network_parameters(const hc_network *net)
{
    uint64_t all = 0;
    for (int i = 1; i < net->tensor_count; i++)
        if (!net->tensors[i].sum) all = hc_size_sum(all, hc_size_shape(net->tensors[i].shape, net->tensors[i].rank));
    return all;
}

uint64_t hc_network_bytes(const hc_network *net)
{
    return (uint64_t)net->tensor_room * sizeof *net->tensors + (uint64_t)net->fold_room * sizeof *net->folds +
           (uint64_t)net->branch_room * sizeof *net->branches + (uint64_t)net->value_room * sizeof *net->values +
           (uint64_t)net->op_room * sizeof *net->ops;
}
