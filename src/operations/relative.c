/* relative.c: biases of attention by the distance between a query and a key. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "tower/pass.h"

static const hc_op_kind RELATIVE_BIAS;

hc_value hc_relative_bias(hc_network *net, hc_value table, int height, int across, int class_token)
{
    hc_value from = hc_real(net, table);
    int heads = net->values[from].width, tokens = height * across + class_token;
    hc_op op = {.kind = &RELATIVE_BIAS, .in = {from}, .skip = class_token};
    op.kernel = (hc_kernel_size){.height = height, .width = across};
    op.out = hc_network_value(net, HC_SHARED, heads * tokens, (int)hc_size_round_up((uint64_t)tokens, HC_PANEL));
    return hc_network_op(net, "relative_position_bias", op);
}

typedef struct job {
    hc_span_of_rows table, out;
    int height, across, class_token;
} job;

/* to [tokens of the grid]: a head's numbers for what each query's distance from the key is. Distances of queries side
 * by side are side by side. */
static void gather_grid(const job *j, const float *table, int key, float *to)
{
    int across = j->across, top = j->height - 1 - key / across, left = across - 1 - key % across;
    for (int y = 0; y < j->height; y++, to += across) {
        const float *from = table + (size_t)((top + y) * (2 * across - 1) + left) * j->table.stride;
        for (int x = 0; x < across; x++) to[x] = from[(size_t)x * j->table.stride];
    }
}

/* Rows are keys, head by head. */
static void gather(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    int tokens = j->height * j->across + j->class_token;
    int distances = (2 * j->height - 1) * (2 * j->across - 1), extra = j->table.count > distances;
    size_t stride = j->table.stride;
    for (int r = first; r < last; r++) {
        const float *table = j->table.at + r / tokens, *with_class = table + (size_t)distances * stride;
        float *out = j->out.at + (size_t)r * j->out.stride;
        int key = r % tokens - j->class_token;
        if (j->class_token) out[0] = extra ? with_class[key < 0 ? 2 * stride : 0] : 0;
        for (int i = 1; key < 0 && i < tokens; i++) out[i] = extra ? with_class[stride] : 0;
        if (key >= 0) gather_grid(j, table, key, out + j->class_token);
        for (int i = tokens; i < j->out.width; i++) out[i] = 0;
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), op->kernel.height, op->kernel.width,
             op->skip};
    hc_each(pass->steps, j.out.count, 1, (uint64_t)j.out.width * HC_VALUE_COST, gather, &j);
}

static const hc_op_kind RELATIVE_BIAS = {.name = "relative position bias", .run = run};
