/* attention.c: scaled dot-product attention (Vaswani et al., 2017) within each input, cut by input, head and, in long
 * sequences, blocks of queries; or within each window of a grid (Liu et al., "Swin Transformer", 2021), whose pixels
 * are taken from where they lie. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "tower/pass.h"

#include <math.h>

static const hc_op_kind ATTENTION;

hc_value hc_attend(hc_network *net, hc_value q, hc_value k, hc_value v, hc_attention_options options)
{
    hc_value queries = hc_real(net, q);
    hc_value_info info = net->values[queries];
    int width = net->values[v].width;
    hc_span span = info.span == HC_SHARED ? HC_EACH : info.span;
    hc_op op = {.kind = &ATTENTION,
                .heads = options.heads,
                .causal = options.causal,
                .scale = options.scale,
                .windows = options.windows};
    op.replaces = info.rows == 1 ? queries : 0;
    op.in[0] = queries, op.in[1] = hc_real(net, k), op.in[2] = hc_real(net, v), op.in[3] = options.bias;
    op.out = hc_network_value(net, span, info.rows, width);
    net->values[op.out].height = info.height;
    net->values[op.out].across = info.across;
    if (options.logit_scale)
        op.tensors[0] = hc_network_tensor(net, options.logit_scale, "", HC_FLOATS, 3, options.heads, 1, 1, 0);
    if (options.head_scale)
        op.tensors[1] = hc_network_tensor(net, options.head_scale, "", HC_FLOATS, 3, options.heads, 1, 1, 0);
    return hc_network_op(net, "attn.", op);
}

/* Pixels of a window; 0 where there are none. */
static int area_of(const hc_windows *windows) { return windows->height * windows->across; }

/* Inputs are one, where there are no windows. */
static int count_of(const hc_windows *windows) { return windows->height ? windows->count : 1; }

/* ---- running ------------------------------------------------------------------------------------------------------
 */

/* A head's queries are done at once unless that would take more multiplications than this. */
enum { MOST_AT_ONCE = 1 << 27 };

/* About how many multiplications a score takes that becomes a weight. */
enum { SCORE_COST = 32 };

/* How attention is cut into iterations. */
typedef struct cut {
    int rows, blocks;
    uint64_t cost;
} cut;

/* `queries` and `keys`: the most that an input has. */
static cut cut_attention(int queries, int keys, int head_dim)
{
    uint64_t row = (uint64_t)keys * (uint64_t)(2 * head_dim + SCORE_COST),
             rows = MOST_AT_ONCE / row / HC_PANEL * HC_PANEL;
    cut c = {rows<HC_PANEL ? HC_PANEL : rows>(uint64_t) queries ? queries : (int)rows, 0, 0};
    c.blocks = (queries + c.rows - 1) / c.rows;
    c.cost = row * (uint64_t)c.rows;
    return c;
}

typedef struct job {
    const hc_pass *pass;
    const hc_op *op;
    hc_span_of_rows q, k, v, bias, out;
    const float *logit_scale, *head_scale;
    cut cut;
    int head_dim, windows; /* of an input */
    float *scratch;        /* of each thread */
    size_t scratch_size;
} job;

/* The factor of a head's scores. Swin V2's learned scale is bounded by 100. */
static float score_scale(const job *j, int head)
{
    const float LOG_100 = 4.60517019f;
    if (j->op->scale > 0) return j->op->scale;
    if (!j->logit_scale) return 1.0f / sqrtf((float)j->head_dim);
    return hc_expf(j->logit_scale[head] < LOG_100 ? j->logit_scale[head] : LOG_100);
}

/* Where in its input's keys the first of an input's queries is. */
static int first_query(const job *j, int input, int keys)
{
    const hc_value_info *q = &j->pass->net->values[j->op->in[0]], *k = &j->pass->net->values[j->op->in[1]];
    return q->span == HC_EACH && k->span == HC_PACKED ? j->pass->pooled[input] - keys : 0;
}

/* What is added to the scores of an input or a window of `keys` keys, from a head's query on. A head has a row for each
 * key, for each kind of window; or for texts, which differ in length, a number for each distance, in whose middle is
 * that of 0. */
static void place_bias(const job *j, int head, int kind, int keys, int query, hc_attention *args)
{
    const hc_value_info *k = &j->pass->net->values[j->op->in[1]];
    if (!j->op->in[3]) return;
    if (k->span == HC_PACKED) {
        args->bias = j->bias.at + (size_t)head * j->bias.stride + k->rows - 1 + query;
        args->bias_stride = -1;
    } else {
        int first = (kind * j->op->heads + head) * keys;
        args->bias = j->bias.at + (size_t)first * j->bias.stride + query;
        args->bias_stride = (ptrdiff_t)j->bias.stride;
    }
}

static void attend_heads(void *context, int begin, int end, int thread)
{
    const job *j = context;
    const hc_pass *pass = j->pass;
    for (int i = begin; i < end; i++) {
        int block = i % j->cut.blocks, head = i / j->cut.blocks % j->op->heads,
            window = i / j->cut.blocks / j->op->heads % j->windows,
            input = i / j->cut.blocks / j->op->heads / j->windows, area = area_of(&j->op->windows), kind = 0;
        hc_part_of_rows queries = hc_pass_part(pass, j->op->in[0], input),
                        keys = hc_pass_part(pass, j->op->in[1], input), made = hc_pass_part(pass, j->op->out, input);
        float *scratch = j->scratch + (size_t)thread * j->scratch_size;
        int *order = NULL;
        if (area) {
            order = (int *)(void *)(scratch + j->scratch_size - (size_t)area);
            kind = j->op->windows.put_pixels(&j->op->windows, window, order);
            queries.count = keys.count = area;
        }
        int query = block * j->cut.rows,
            rows = queries.count - query < j->cut.rows ? queries.count - query : j->cut.rows;
        if (rows <= 0) continue;
        size_t at = (size_t)head * (size_t)j->head_dim, first = (size_t)keys.first;
        hc_attention args = {
            .q = j->q.at + (size_t)(queries.first + (order ? 0 : query)) * j->q.stride + at,
            .k = j->k.at + first * j->k.stride + at,
            .v = j->v.at + first * j->v.stride + at,
            .q_stride = j->q.stride,
            .kv_stride = j->k.stride,
            .q_order = order ? order + query : NULL,
            .kv_order = order,
            .q_rows = rows,
            .kv_rows = keys.count,
            .head_dim = j->head_dim,
            .scale = score_scale(j, head),
            .causal = j->op->causal,
            .q_first = first_query(j, input, keys.first) + query,
            .exact = pass->exact,
            .hidden = pass->hidden ? pass->hidden + keys.first : NULL,
            .out = j->out.at + (size_t)(made.first + (order ? 0 : query)) * j->out.stride + at,
            .out_stride = j->out.stride,
            .scratch = scratch,
        };
        place_bias(j, head, kind, keys.count, args.q_first, &args);
        hc_attention_head(&args);
        if (!j->head_scale) continue;
        for (int r = 0; r < args.q_rows; r++)
            for (int d = 0; d < j->head_dim; d++)
                args.out[(size_t)r * args.out_stride + (size_t)d] *= j->head_scale[head];
    }
}

static int longest(const hc_pass *pass, hc_value value)
{
    int most = 1;
    for (int i = 0; i < pass->inputs; i++) {
        int count = hc_pass_part(pass, value, i).count;
        most = count > most ? count : most;
    }
    return most;
}

/* Of a thread: at its end, where a window's pixels lie. */
static size_t scratch_floats(const hc_network *net, const hc_op *op)
{
    int head_dim = net->values[op->out].width / op->heads, area = area_of(&op->windows);
    uint64_t floats = hc_attention_scratch(area ? area : net->values[op->in[1]].rows, head_dim);
    return (size_t)hc_size_round_up(floats + (uint64_t)area, HC_PANEL);
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {
        .pass = pass,
        .op = op,
        .q = hc_pass_value(pass, op->in[0]),
        .k = hc_pass_value(pass, op->in[1]),
        .v = hc_pass_value(pass, op->in[2]),
        .bias = hc_pass_value(pass, op->in[3]),
        .out = hc_pass_value(pass, op->out),
        .logit_scale = hc_pass_floats(pass, op->tensors[0]),
        .head_scale = hc_pass_floats(pass, op->tensors[1]),
        .scratch = hc_pass_scratch(pass, op),
        .scratch_size = scratch_floats(pass->net, op),
        .windows = count_of(&op->windows),
    };
    int area = area_of(&op->windows), queries = area ? area : longest(pass, op->in[0]),
        keys = area ? area : longest(pass, op->in[1]);
    j.head_dim = j.out.width / op->heads;
    j.cut = cut_attention(queries, keys, j.head_dim);
    hc_each(pass->steps, pass->inputs * j.windows * op->heads * j.cut.blocks, 1, j.cut.cost, attend_heads, &j);
}

static uint64_t scratch(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    return hc_size_product((uint64_t)batch->threads, hc_size_product(scratch_floats(net, op), sizeof(float)));
}

static uint64_t multiplications(const hc_network *net, const hc_op *op)
{
    const hc_value_info *q = &net->values[op->in[0]], *k = &net->values[op->in[1]];
    int area = area_of(&op->windows);
    uint64_t pairs = hc_size_product((uint64_t)q->rows, (uint64_t)(area ? area : k->rows));
    return hc_size_product(2 * (uint64_t)q->width, op->causal && q->rows > 1 ? pairs / 2 : pairs);
}

static const hc_op_kind ATTENTION = {"attention", run, scratch, multiplications};
