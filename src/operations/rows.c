/* rows.c: rows moved, left out, averaged and added. */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <string.h>

hc_value hc_columns(hc_network *net, hc_value x, int first, int n)
{
    hc_value from = hc_real(net, x);
    hc_value_info part = net->values[from];
    hc_value out = hc_network_value(net, part.span, part.rows, n);
    part.width = n;
    part.memory = from;
    part.column = first;
    net->values[out] = part;
    return out;
}

hc_value hc_parameter(hc_network *net, const char *name, int rank, int rows, int used, int width)
{
    hc_value out = hc_network_value(net, HC_SHARED, used, width);
    net->values[out].tensor = rank == 3 ? hc_network_tensor(net, name, "", HC_FLOATS, 3, 1, rows, width, 0)
                                        : hc_network_tensor(net, name, "", HC_FLOATS, 2, rows, width, 0, 0);
    return out;
}

/* ---- the row that is pooled ---- */

typedef struct pick_job {
    const int *from; /* NULL: every `step`th row */
    int step;
    hc_span_of_rows x, to;
} pick_job;

static void pick_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const pick_job *j = context;
    for (int i = first; i < last; i++)
        memmove(j->to.at + (size_t)i * j->to.stride,
                j->x.at + (size_t)(j->from ? j->from[i] : i * j->step) * j->x.stride,
                (size_t)j->x.width * sizeof(float));
}

/* On one thread and at once: rows may move over the places of others. */
static void run_pick(hc_pass *pass, const hc_op *op)
{
    const hc_value_info *v = &pass->net->values[op->in[0]];
    pick_job job = {v->span == HC_PACKED ? pass->pooled : NULL, v->rows, hc_pass_value(pass, op->in[0]),
                    hc_pass_value(pass, op->out)};
    hc_each(pass->steps, pass->inputs, pass->inputs, (uint64_t)v->width, pick_rows, &job);
}

static const hc_op_kind PICK = {.name = "pick", .run = run_pick};

hc_value hc_pick(hc_network *net, hc_value x)
{
    hc_value from = hc_real(net, x), out = hc_network_value(net, HC_EACH, 1, net->values[from].width);
    return hc_network_op(net, "", (hc_op){.kind = &PICK, .in = {from}, .out = out, .replaces = from});
}

/* ---- some rows ---- */

/* On one thread and at once, as above. */
static void run_some(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows x = hc_pass_value(pass, op->in[0]), to = hc_pass_value(pass, op->out);
    int rows = pass->net->values[op->in[0]].rows, count = pass->net->values[op->out].rows;
    for (int i = 0; i < pass->inputs; i++) {
        pick_job job = {NULL, 1, x, to};
        job.x.at += (size_t)(i * rows + op->first) * x.stride;
        job.to.at += (size_t)(i * count) * to.stride;
        hc_each(pass->steps, count, count, (uint64_t)x.width, pick_rows, &job);
    }
}

static const hc_op_kind SOME = {.name = "rows", .run = run_some};

hc_value hc_some_rows(hc_network *net, hc_value x, int first, int count)
{
    hc_value from = hc_real(net, x), out = hc_network_value(net, HC_EACH, count, net->values[from].width);
    return hc_network_op(net, "", (hc_op){.kind = &SOME, .in = {from}, .out = out, .replaces = from, .first = first});
}

/* ---- one row of many ---- */

typedef struct mean_job {
    const float *x;
    size_t stride;
    const uint8_t *hidden; /* of the rows, or NULL */
    int rows, skip, largest;
    float *out;
} mean_job;

static int is_left_out(const mean_job *j, int row) { return row < j->skip || (j->hidden && j->hidden[row]); }

static void average(void *context, int first, int last, int thread)
{
    (void)thread;
    const mean_job *j = context;
    int count = 0;
    for (int k = first; k < last; k++) j->out[k] = 0;
    for (int r = 0; r < j->rows; r++) {
        const float *x = j->x + (size_t)r * j->stride;
        if (is_left_out(j, r)) continue;
        for (int k = first; k < last; k++)
            j->out[k] = !j->largest ? j->out[k] + x[k] : count == 0 || x[k] > j->out[k] ? x[k] : j->out[k];
        count++;
    }
    for (int k = first; k < last && !j->largest && count; k++) j->out[k] /= (float)count;
}

static const hc_op_kind LARGEST;

static void run_mean(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows x = hc_pass_value(pass, op->in[0]), out = hc_pass_value(pass, op->out);
    int packed = pass->net->values[op->in[0]].span == HC_PACKED;
    for (int i = 0; i < pass->inputs; i++) {
        hc_part_of_rows part = hc_pass_part(pass, op->in[0], i);
        mean_job job = {.x = x.at + (size_t)part.first * x.stride,
                        .stride = x.stride,
                        .hidden = packed && pass->hidden ? pass->hidden + part.first : NULL,
                        .rows = part.count,
                        .skip = op->skip,
                        .largest = op->kind == &LARGEST,
                        .out = out.at + (size_t)i * out.stride};
        hc_each(pass->steps, x.width, 16, (uint64_t)part.count, average, &job);
    }
}

static const hc_op_kind MEAN = {.name = "mean", .run = run_mean}, LARGEST = {.name = "largest", .run = run_mean};

static hc_value pool(hc_network *net, const hc_op_kind *kind, hc_value x, int skip)
{
    hc_value from = hc_real(net, x), out = hc_network_value(net, HC_EACH, 1, net->values[from].width);
    hc_op op = {.kind = kind, .in = {from}, .out = out, .skip = skip};
    return hc_network_op(net, "", op);
}

hc_value hc_mean(hc_network *net, hc_value x, int skip) { return pool(net, &MEAN, x, skip); }
hc_value hc_largest(hc_network *net, hc_value x) { return pool(net, &LARGEST, x, 0); }

/* ---- all rows, and their mean before them ---- */

typedef struct mean_first_job {
    const float *positions; /* or NULL */
    hc_span_of_rows x, out;
    int rows; /* of an input in x */
} mean_first_job;

/* The row's position on it. */
static void add_position(const mean_first_job *j, int row, int first, int last, float *to)
{
    const float *position = j->positions + (size_t)row * (size_t)j->x.width;
    for (int k = first; k < last; k++) to[k] += position[k];
}

static void put_after_mean(void *context, int first, int last, int thread)
{
    (void)thread;
    const mean_first_job *j = context;
    for (int r = first; r < last; r++) {
        int input = r / j->rows, row = r % j->rows + 1;
        float *out = j->out.at + (size_t)(input * (j->rows + 1) + row) * j->out.stride;
        memcpy(out, j->x.at + (size_t)r * j->x.stride, (size_t)j->x.width * sizeof *out);
        if (j->positions) add_position(j, row, 0, j->x.width, out);
    }
}

static void add_means(void *context, int first, int last, int thread)
{
    const mean_first_job *j = context;
    for (int input = 0; input * j->rows < j->x.count; input++) {
        mean_job mean = {.x = j->x.at + (size_t)(input * j->rows) * j->x.stride,
                         .stride = j->x.stride,
                         .rows = j->rows,
                         .out = j->out.at + (size_t)(input * (j->rows + 1)) * j->out.stride};
        average(&mean, first, last, thread);
        if (j->positions) add_position(j, 0, first, last, mean.out);
    }
}

static void run_mean_first(hc_pass *pass, const hc_op *op)
{
    mean_first_job job = {hc_pass_floats(pass, op->tensors[0]), hc_pass_value(pass, op->in[0]),
                          hc_pass_value(pass, op->out), pass->net->values[op->in[0]].rows};
    hc_each(pass->steps, job.x.count, HC_ROWS_A_CHUNK, (uint64_t)job.x.width, put_after_mean, &job);
    hc_each(pass->steps, job.x.width, 16, (uint64_t)job.x.count, add_means, &job);
}

static const hc_op_kind MEAN_FIRST = {.name = "mean first", .run = run_mean_first};

hc_value hc_mean_first(hc_network *net, const char *positions, int resized, hc_value x)
{
    hc_value from = hc_real(net, x);
    hc_value_info grid = net->values[from];
    int rows = grid.rows + 1, width = grid.width;
    hc_tensor_id table = positions ? hc_network_tensor(net, positions, "", HC_FLOATS, 2, rows, width, 0, 0) : 0;
    if (table && resized)
        net->tensors[table].places = (hc_places){HC_PLACES_GRID, 1, grid.height, grid.across, 1, NULL};
    hc_value out = hc_network_value(net, HC_EACH, rows, width);
    return hc_network_op(net, "", (hc_op){.kind = &MEAN_FIRST, .in = {from}, .out = out, .tensors = {table}});
}

/* ---- sums, products and copies ---- */

/* x += gamma * y, gamma NULL for 1; `copy`: x = y; `times`: x *= y */
typedef struct sum_job {
    hc_span_of_rows x, y;
    const float *gamma;
    int copy, times;
} sum_job;

static void add_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const sum_job *j = context;
    for (int r = first; r < last; r++) {
        float *x = j->x.at + (size_t)r * j->x.stride;
        const float *y = j->y.at + (size_t)r * j->y.stride;
        if (j->copy) memmove(x, y, (size_t)j->x.width * sizeof *x);
        for (int i = 0; j->times && i < j->x.width; i++) x[i] *= y[i];
        for (int i = 0; !j->copy && !j->times && i < j->x.width; i++) x[i] += j->gamma ? j->gamma[i] * y[i] : y[i];
    }
}

static const hc_op_kind TIMES;

static void run_sum(hc_pass *pass, const hc_op *op)
{
    sum_job copy = {hc_pass_value(pass, op->out), hc_pass_value(pass, op->in[0]), NULL, 1, 0};
    uint64_t cost = (uint64_t)copy.x.width;
    if (copy.x.at != copy.y.at) hc_each(pass->steps, copy.x.count, HC_ROWS_A_CHUNK, cost, add_rows, &copy);
    if (!op->in[1]) return;
    sum_job sum = {copy.x, hc_pass_value(pass, op->in[1]), hc_pass_floats(pass, op->tensors[0]), 0, op->kind == &TIMES};
    hc_each(pass->steps, sum.x.count, HC_ROWS_A_CHUNK, cost, add_rows, &sum);
}

static const hc_op_kind ADD = {.name = "add", .run = run_sum}, COPY = {.name = "copy", .run = run_sum},
                        TIMES = {.name = "times", .run = run_sum};

static hc_value sum(hc_network *net, const hc_op_kind *kind, hc_value x, hc_value y, hc_tensor_id gamma)
{
    hc_value from = hc_real(net, x), added = y ? hc_real(net, y) : 0;
    hc_value out = hc_network_like(net, from, net->values[from].width);
    hc_op op = {.kind = kind, .in = {from, added}, .out = out, .replaces = from, .tensors = {gamma}};
    return hc_network_op(net, "", op);
}

hc_value hc_add(hc_network *net, hc_value x, hc_value y, const char *gamma)
{
    return sum(net, &ADD, x, y, gamma ? hc_vector(net, gamma, net->values[x].width) : 0);
}

hc_value hc_times(hc_network *net, hc_value x, hc_value y) { return sum(net, &TIMES, x, y, 0); }

void hc_result(hc_network *net, hc_value x)
{
    hc_value out = hc_real(net, x), memory = hc_network_memory(net, out);
    /* What the last operation made in memory of its own can as well be made where the caller wants it. */
    int last = net->op_count && net->ops[net->op_count - 1].out == out && memory == out;
    if (!last || net->values[out].tensor) out = sum(net, &COPY, out, 0, 0);
    net->dim = net->values[out].width;
    net->tokens_out = net->values[out].rows;
    hc_network_output(net, out);
}
