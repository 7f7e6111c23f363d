/* patches.c: pictures as rows: patches times a matrix, or pixels as they are. */
#include "operations/operations.h"
#include "operations/rows_in.h"

#include "base/size.h"

#include <string.h>

static const hc_op_kind PATCHES, PIXELS;

/* Patches of one picture that are rows at once: all of them, unless the picture is very large. */
enum { PATCH_BYTES = 4 << 20 };

/* ---- building -----------------------------------------------------------------------------------------------------
 */

hc_value hc_patches(hc_network *net, const char *name, hc_patches_options o)
{
    int height = net->image_height / o.patch_height, across = net->image_width / o.patch_width;
    int first = o.class_embedding != NULL, rows = height * across + first, width = o.width;
    hc_op op = {.kind = &PATCHES, .kernel = {.height = o.patch_height, .width = o.patch_width}, .skip = first};
    net->seen = o.seen;
    if (o.seen) {
        op.tensors[0] = hc_network_tensor(net, name, "weight", HC_MATRIX, 5, width, 3, o.seen, o.patch_height);
        net->tensors[op.tensors[0]].shape[4] = (uint32_t)o.patch_width;
    } else {
        op.tensors[0] = hc_network_tensor(net, name, "weight", HC_MATRIX, 4, width, 3, o.patch_height, o.patch_width);
    }
    net->tensors[op.tensors[0]].keep_half = 1;
    if (o.positions && o.rank == 3)
        op.tensors[1] = hc_network_tensor(net, o.positions, "", HC_FLOATS, 3, 1, rows, width, 0);
    else if (o.positions) op.tensors[1] = hc_network_tensor(net, o.positions, "", HC_FLOATS, 2, rows, width, 0, 0);
    if (o.positions)
        net->tensors[op.tensors[1]].places = (hc_places){HC_PLACES_GRID, first, height, across, o.rank == 3, NULL};
    if (first && o.rank == 3)
        op.tensors[2] = hc_network_tensor(net, o.class_embedding, "", HC_FLOATS, 3, 1, 1, width, 0);
    else if (first) op.tensors[2] = hc_vector(net, o.class_embedding, width);
    if (o.bias) op.tensors[3] = hc_network_vector(net, name, "bias", width);
    op.out = first ? hc_network_value(net, HC_EACH, rows, width) : hc_network_grid(net, height, across, width);
    net->input_end = net->op_count;
    return hc_network_op(net, name, op);
}

hc_value hc_pixels(hc_network *net)
{
    hc_value out = hc_network_grid(net, net->image_height, net->image_width, 3);
    net->input_end = net->op_count;
    return hc_network_op(net, "", (hc_op){.kind = &PIXELS, .out = out});
}

/* ---- patches ------------------------------------------------------------------------------------------------------
 */

typedef struct patch_job {
    const hc_network *net;
    const hc_op *op;
    const float *pixels; /* of one picture                      */
    int seen;            /* pictures that a patch goes through  */
    const float *positions, *class_embedding;
    const hc_rows *rows;
    int first; /* of its patches that are rows now    */
    float *x;  /* where the rows of the picture begin */
    size_t width;
} patch_job;

static void put_zeros(const hc_rows *rows, int row, int at, int count)
{
    static const float zeros[HC_PANEL];
    for (int i = 0; i < count; i += HC_PANEL)
        hc_rows_put_part(rows, row, at + i, zeros, count - i < HC_PANEL ? count - i : HC_PANEL);
}

/* Patches as rows of the GEMM, straight from where their pixels lie in the picture, in the order of the weights. Pixels
 * beyond the last whole patch are not seen, as in a convolution without padding. An image tower whose patches go
 * through several pictures sees a video of one. */
static void put_patches(void *context, int first, int last, int thread)
{
    (void)thread;
    const patch_job *j = context;
    int height = j->op->kernel.height, across = j->op->kernel.width, grid = j->net->image_width / across;
    size_t line = (size_t)j->net->image_width, plane = (size_t)j->net->image_height * line;
    for (int i = first; i < last; i++) {
        int patch = j->first + i, at = 0, top = patch / grid * height, left = patch % grid * across;
        for (size_t channel = 0; channel < 3; channel++)
            for (int picture = 0; picture < j->seen; picture++)
                for (int y = top; y < top + height; y++, at += across) {
                    const float *pixels = j->pixels + channel * plane + (size_t)y * line + (size_t)left;
                    if (j->net->tower == HC_VIDEO)
                        hc_rows_put_part(j->rows, i, at, pixels + 3 * plane * (size_t)picture, across);
                    else if (picture == j->seen / 2) hc_rows_put_part(j->rows, i, at, pixels, across);
                    else put_zeros(j->rows, i, at, across);
                }
    }
}

/* Positions, and class_embedding in the first row; without positions nothing but that row. */
static void put_positions(void *context, int first, int last, int thread)
{
    (void)thread;
    const patch_job *j = context;
    size_t at = (size_t)first * j->width, bytes = (size_t)(last - first) * j->width * sizeof(float);
    if (j->positions) memcpy(j->x + at, j->positions + at, bytes);
    else memset(j->x + at, 0, bytes);
    for (size_t k = 0; j->class_embedding && !first && k < j->width; k++) j->x[k] += j->class_embedding[k];
}

static int pictures_seen(const hc_network *net, const hc_op *op)
{
    const hc_tensor *w = &net->tensors[op->tensors[0]];
    return w->rank == 5 ? (int)w->shape[2] : 1;
}

static uint64_t patch_numbers(const hc_network *net, const hc_op *op)
{
    return 3 * (uint64_t)pictures_seen(net, op) * (uint64_t)op->kernel.height * (uint64_t)op->kernel.width;
}

/* How many patches are rows at once. */
static int patches_at_once(const hc_network *net, const hc_op *op)
{
    uint64_t patch = patch_numbers(net, op);
    uint64_t patches = (uint64_t)(net->values[op->out].rows - op->skip),
             most = PATCH_BYTES / hc_rows_bytes(1, patch, 0, 0);
    return (int)(patches < most ? patches : most > 1 ? most : 1);
}

static void run_patches(hc_pass *pass, const hc_op *op)
{
    const hc_network *net = pass->net;
    const hc_matrix *w = &net->tensors[op->tensors[0]].matrix;
    hc_span_of_rows x = hc_pass_value(pass, op->out);
    hc_rows rows = {.exact = pass->exact, .dot = pass->dot};
    int positions = net->values[op->out].rows, patches = positions - op->skip, most = patches_at_once(net, op);
    const float *pixels = pass->input;
    patch_job job = {.net = net,
                     .op = op,
                     .seen = pictures_seen(net, op),
                     .positions = hc_pass_floats(pass, op->tensors[1]),
                     .class_embedding = hc_pass_floats(pass, op->tensors[2]),
                     .rows = &rows,
                     .width = (size_t)x.width};
    for (int i = 0; i < pass->inputs; i++, pixels += hc_network_input(net)) {
        job.pixels = pixels;
        job.first = 0;
        job.x = x.at + (size_t)(i * positions) * x.stride;
        hc_each(pass->steps, job.positions ? positions : op->skip, 1, job.width, put_positions, &job);
        for (int count; job.first < patches; job.first += count) {
            count = patches - job.first < most ? patches - job.first : most;
            float *at = job.x + (size_t)(op->skip + job.first) * job.width;
            hc_epilogue add = {.bias = hc_pass_floats(pass, op->tensors[3]), .residual = job.positions ? at : NULL};
            hc_rows_lay(&rows, w, count, hc_pass_scratch(pass, op));
            hc_each(pass->steps, count, 1, (uint64_t)w->k, put_patches, &job);
            hc_each_panel(pass->steps, w, &rows, &add, at, job.width);
        }
    }
}

static uint64_t scratch_of_patches(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    (void)batch;
    return hc_rows_bytes((uint64_t)patches_at_once(net, op), patch_numbers(net, op), 0, 0);
}

static uint64_t multiplications_of_patches(const hc_network *net, const hc_op *op)
{
    const hc_value_info *v = &net->values[op->out];
    return hc_size_product(hc_size_product((uint64_t)(v->rows - op->skip), (uint64_t)v->width), patch_numbers(net, op));
}

static const hc_op_kind PATCHES = {"patches", run_patches, scratch_of_patches, multiplications_of_patches};

/* ---- pixels -------------------------------------------------------------------------------------------------------
 */

typedef struct pixel_job {
    const float *pixels;
    size_t plane;
    float *x;
} pixel_job;

static void put_pixels(void *context, int first, int last, int thread)
{
    (void)thread;
    const pixel_job *j = context;
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        const float *from = j->pixels + i / j->plane * 3 * j->plane + i % j->plane;
        for (size_t channel = 0; channel < 3; channel++) j->x[3 * i + channel] = from[channel * j->plane];
    }
}

static void run_pixels(hc_pass *pass, const hc_op *op)
{
    hc_span_of_rows x = hc_pass_value(pass, op->out);
    pixel_job job = {pass->input, (size_t)pass->net->image_height * (size_t)pass->net->image_width, x.at};
    hc_each(pass->steps, x.count, 1024, 3, put_pixels, &job);
}

static const hc_op_kind PIXELS = {.name = "pixels", .run = run_pixels};
