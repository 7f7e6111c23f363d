/* text.c: OpenCLIP's TextTransformer around its blocks: token ids in, one pooled vector (or all tokens) out.
 *
 * Rows that cannot reach the result are never computed: what follows the pooled token under a causal mask, and the
 * padding that CoCa's mask hides. */
#include "load/pack.h"
#include "families/transformer.h"

#include <string.h>

/* text_global_pool: the position whose row is pooled. */
static int pooled_position(const hc_config *c, const int32_t *ids)
{
    int found = 0;
    switch (c->pool) {
    case HC_POOL_LAST: return c->context_length - 1;
    case HC_POOL_ARGMAX:
        for (int i = 1; i < c->context_length; i++)
            if (ids[i] > ids[found]) found = i;
        return found;
    case HC_POOL_EOS:
        for (int i = 0; i < c->context_length; i++)
            if (ids[i] == c->eos_id) return i;
        return 0;
    default: return 0;
    }
}

/* Whether padding hides token i of a text with a class token. OpenCLIP puts the class token's place of the padding mask
 * first though the token comes last: the mask is off by one, and the weights were trained so. */
static int is_skipped(const hc_config *c, const int32_t *ids, int i) { return i > 0 && ids[i - 1] == c->pad_id; }

/* Row `row` of the residual stream: the token's embedding (of cls_emb where id is -1) plus its position's. */
static void embed_token(hc_pass *pass, int row, int32_t id, int position)
{
    const hc_weights *w = pass->weights;
    size_t width = (size_t)pass->config->width;
    float *x = pass->x + (size_t)row * width;
    const float *positions = w->positional_embedding + (size_t)position * width;
    if (id < 0) memcpy(x, w->cls_emb, width * sizeof(float));
    else hc_unpack_table_row(&w->token_embedding, id, x);
    for (size_t k = 0; k < width; k++) x[k] += positions[k];
}

/* One text at row `first` of the stream: how many rows it takes; *pooled is the row that pooling takes. */
static int rows_of_text(const hc_config *c, const int32_t *ids, int first, int *pooled)
{
    int position = pooled_position(c, ids), length = c->context_length, rows = 0;
    if (c->embed_cls) {
        for (int i = 0; i < length; i++) rows += !is_skipped(c, ids, i);
        *pooled = first + rows;
        return rows + 1;
    }
    *pooled = first + position;
    return c->causal && c->pool != HC_POOL_NONE ? position + 1 : length;
}

/* The texts of a pass. */
typedef struct text_job {
    hc_pass *pass;
    const int32_t *ids;
    uint8_t *hidden;
} text_job;

static void embed_texts(void *context, int first, int last, int thread)
{
    (void)thread;
    const text_job *j = context;
    const hc_config *c = j->pass->config;
    int length = c->context_length;
    for (int text = first; text < last; text++) {
        const int32_t *ids = j->ids + (size_t)text * (size_t)length;
        int row = j->pass->first[text], end = j->pass->first[text + 1] - c->embed_cls;
        for (int i = 0; row < end; i++) {
            if (c->embed_cls && is_skipped(c, ids, i)) continue;
            if (c->embed_cls) j->hidden[row] = 0;
            embed_token(j->pass, row++, ids[i], i);
        }
        if (!c->embed_cls) continue;
        j->hidden[row] = ids[length - 1] == c->pad_id;
        embed_token(j->pass, row, -1, length);
    }
}

int hc_text_run(hc_pass *pass, const int32_t *ids, int count, int row_limit, float *out)
{
    const hc_config *c = pass->config;
    int rows = 0, taken = 0, *pooled = pass->pooled, all = c->pool == HC_POOL_NONE && !c->embed_cls;
    uint8_t *hidden = pass->hidden;
    for (int length; taken < count; taken++, rows += length) {
        length = rows_of_text(c, ids + (size_t)taken * (size_t)c->context_length, rows, pooled + taken);
        if (length > row_limit - rows) break;
        pass->first[taken] = rows;
    }
    pass->first[taken] = rows;
    pass->inputs = taken;
    if (!c->embed_cls) pass->hidden = NULL;
    if (all) pass->pooled = NULL;
    text_job texts = {pass, ids, hidden};
    hc_each(pass->steps, taken, 1, (uint64_t)(rows / taken) * (uint64_t)c->width, embed_texts, &texts);
    hc_blocks_run(pass);
    hc_norm_rows(pass, &pass->weights->ln_final, pass->x, taken * c->tokens_out, c->width, pass->tail);
    pass->pooled = pooled;
    pass->hidden = hidden;
    hc_project(pass, taken * c->tokens_out, out);
    return taken;
}
