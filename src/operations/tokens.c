/* tokens.c: what a text's rows begin with: the token's row of a table, plus its position's. */
#include "operations/operations.h"

#include "tower/pass.h"
#include "tower/texts.h"

#include <string.h>

static const hc_op_kind TOKENS;

hc_value hc_tokens(hc_network *net, const char *name, hc_tokens_options o)
{
    hc_op op = {.kind = &TOKENS, .in = {o.position_rows}, .scale = o.scale};
    if (o.positions)
        op.tensors[1] = hc_network_tensor(net, o.positions, "", HC_FLOATS, 2, o.position_count, o.width, 0, 0);
    if (o.resized) net->tensors[op.tensors[1]].places = (hc_places){HC_PLACES_TEXT, 0, o.position_count, 1, 0, NULL};
    op.tensors[0] = hc_network_tensor(net, name, "", HC_TABLE, 2, net->text.vocab_size, o.width, 0, 0);
    if (o.class_embedding) op.tensors[2] = hc_vector(net, o.class_embedding, o.width);
    if (o.types) op.tensors[3] = hc_network_tensor(net, o.types, "", HC_FLOATS, 2, o.type_count, o.width, 0, 0);
    op.out = hc_network_value(net, HC_PACKED, net->text.context_length + net->text.class_row, o.width);
    net->input_end = net->op_count;
    return hc_network_op(net, name, op);
}

typedef struct token_job {
    hc_pass *pass;
    const hc_op *op;
    hc_span_of_rows x;
    const float *positions; /* or NULL */
    size_t position_stride;
} token_job;

/* A row: the token's embedding (of the class where id is -1) plus its position's, plus the first type's. */
static void embed_token(const token_job *j, int row, int32_t id, int position)
{
    size_t width = (size_t)j->x.width;
    float *x = j->x.at + (size_t)row * j->x.stride;
    const float *positions = j->positions ? j->positions + (size_t)position * j->position_stride : NULL;
    const float *type = hc_pass_floats(j->pass, j->op->tensors[3]);
    if (id < 0) memcpy(x, hc_pass_floats(j->pass, j->op->tensors[2]), width * sizeof(float));
    else hc_table_row(&j->pass->net->tensors[j->op->tensors[0]].table, id, x);
    for (size_t k = 0; j->op->scale > 0 && k < width; k++) x[k] *= j->op->scale;
    for (size_t k = 0; type && k < width; k++) x[k] += type[k];
    for (size_t k = 0; positions && k < width; k++) x[k] += positions[k];
}

static void embed_texts(void *context, int first, int last, int thread)
{
    (void)thread;
    const token_job *j = context;
    const hc_text_rows *text = &j->pass->net->text;
    int length = text->context_length;
    for (int input = first; input < last; input++) {
        const int32_t *ids = (const int32_t *)j->pass->input + (size_t)input * (size_t)length;
        int row = j->pass->first[input], end = j->pass->first[input + 1] - text->class_row, seen = 0;
        for (int i = 0; row < end; i++) {
            int pad = ids[i] == text->pad_id;
            seen += !pad;
            if (hc_texts_skips(text, ids, i)) continue;
            embed_token(j, row++, ids[i], !text->counted ? i : pad ? text->pad_id : text->pad_id + seen);
        }
        if (text->class_row) embed_token(j, row, -1, length);
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    token_job job = {pass, op, hc_pass_value(pass, op->out), hc_pass_floats(pass, op->tensors[1]), 0};
    job.position_stride = (size_t)job.x.width;
    if (op->in[0]) {
        hc_span_of_rows rows = hc_pass_value(pass, op->in[0]);
        job.positions = rows.at;
        job.position_stride = rows.stride;
    }
    uint64_t rows = (uint64_t)(job.x.count / pass->inputs);
    hc_each(pass->steps, pass->inputs, 1, rows * (uint64_t)job.x.width, embed_texts, &job);
}

static const hc_op_kind TOKENS = {.name = "tokens", .run = run};
