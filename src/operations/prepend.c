/* prepend.c: a class token and registers before the rows of each input, and positions. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

static const hc_op_kind PREPEND;

hc_value hc_prepend(hc_network *net, hc_value x, hc_prepend_options o)
{
    hc_value from = hc_real(net, x);
    int width = net->values[from].width, own = net->values[from].rows;
    hc_op op = {.kind = &PREPEND, .in = {from}};
    if (o.class_embedding) op.tensors[0] = hc_network_tensor(net, o.class_embedding, "", HC_FLOATS, 3, 1, 1, width, 0);
    if (o.registers)
        op.tensors[1] = hc_network_tensor(net, o.registers, "", HC_FLOATS, 3, 1, o.register_count, width, 0);
    op.skip = (o.class_embedding != NULL) + (o.registers ? o.register_count : 0);
    op.first = o.positions_of_all ? 0 : op.skip;
    int rows = own + op.skip;
    if (o.positions) {
        const hc_value_info *grid = &net->values[from];
        op.tensors[2] = hc_network_tensor(net, o.positions, "", HC_FLOATS, 3, 1, rows - op.first, width, 0);
        if (grid->height)
            net->tensors[op.tensors[2]].places =
                (hc_places){HC_PLACES_GRID, op.skip - op.first, grid->height, grid->across, 1, NULL};
    }
    op.out = hc_network_value(net, HC_EACH, rows, width);
    return hc_network_op(net, "prefix", op);
}

typedef struct job {
    hc_span_of_rows x, out;
    const float *class_embedding, *registers, *positions;
    int prefix, own, first; /* `first`: the first row that has a position */
} job;

static void put_rows(void *context, int begin, int end, int thread)
{
    (void)thread;
    const job *j = context;
    size_t width = (size_t)j->x.width;
    int rows = j->prefix + j->own, classes = j->class_embedding != NULL;
    for (int r = begin; r < end; r++) {
        int input = r / rows, row = r % rows;
        const float *from = row >= j->prefix ? j->x.at + (size_t)(input * j->own + row - j->prefix) * j->x.stride
                            : row < classes  ? j->class_embedding
                                             : j->registers + (size_t)(row - classes) * width;
        float *out = j->out.at + (size_t)r * j->out.stride;
        memcpy(out, from, width * sizeof *out);
        if (!j->positions || row < j->first) continue;
        const float *position = j->positions + (size_t)(row - j->first) * width;
        for (size_t k = 0; k < width; k++) out[k] += position[k];
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {.x = hc_pass_value(pass, op->in[0]),
             .out = hc_pass_value(pass, op->out),
             .class_embedding = hc_pass_floats(pass, op->tensors[0]),
             .registers = hc_pass_floats(pass, op->tensors[1]),
             .positions = hc_pass_floats(pass, op->tensors[2]),
             .prefix = op->skip,
             .own = pass->net->values[op->in[0]].rows,
             .first = op->first};
    hc_each(pass->steps, j.out.count, HC_ROWS_A_CHUNK, (uint64_t)j.out.width, put_rows, &j);
}

static const hc_op_kind PREPEND = {.name = "prepend", .run = run};
