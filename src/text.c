/* text.c: OpenCLIP's TextTransformer around its blocks: token ids in, one pooled vector (or all tokens) out.
 *
 * Rows that cannot reach the result are never computed: what follows the pooled token under a causal mask, and the padding that CoCa's mask hides. */
#include "pack.h"
#include "transformer.h"

#include <string.h>

/* text_global_pool: the position whose row is pooled. */
static int pooled_position(const hc_config *c, const int32_t *ids)
{
    int found = 0;
    switch (c->pool) {
    case HC_POOL_LAST:
        return c->context_length - 1;
    case HC_POOL_ARGMAX:
        for (int i = 1; i < c->context_length; i++)
            if (ids[i] > ids[found])
                found = i;
        return found;
    case HC_POOL_EOS:
        for (int i = 0; i < c->context_length; i++)
            if (ids[i] == c->eos_id)
                return i;
        return 0;
    default:
        return 0;
    }
}

/* Row `row` of the residual stream: the token's embedding (of cls_emb where id is -1) plus its position's. */
static void embed_token(hc_pass *pass, int row, int32_t id, int position)
{
    const hc_weights *w = pass->weights;
    size_t width = (size_t)pass->config->width;
    float *x = pass->x + (size_t)row * width;
    const float *positions = w->positional_embedding + (size_t)position * width;
    if (id < 0)
        memcpy(x, w->cls_emb, width * sizeof(float));
    else
        hc_unpack_table_row(&w->token_embedding, id, x);
    for (size_t k = 0; k < width; k++)
        x[k] += positions[k];
}

/* One text at row `first`. Returns its rows, or 0 when they would pass the limit; *pooled is the row that pooling takes. */
static int embed_text(hc_pass *pass, const int32_t *ids, int first, int row_limit, int *pooled)
{
    const hc_config *c = pass->config;
    int position = pooled_position(c, ids), length = c->context_length, row = first;
    if (c->embed_cls) {
        if (row_limit - first < c->positions)
            return 0;
        /* OpenCLIP puts the class token's place of the padding mask first though the token comes last: the mask is off by one, and the weights were trained so. */
        for (int i = 0; i < length; i++)
            if (i == 0 || ids[i - 1] != c->pad_id) {
                pass->hidden[row] = 0;
                embed_token(pass, row++, ids[i], i);
            }
        pass->hidden[row] = ids[length - 1] == c->pad_id;
        embed_token(pass, row, -1, length);
        *pooled = row++;
        return row - first;
    }
    if (c->causal && c->pool != HC_POOL_NONE)
        length = position + 1;
    if (row_limit - first < length)
        return 0;
    for (int i = 0; i < length; i++)
        embed_token(pass, row++, ids[i], i);
    *pooled = first + position;
    return length;
}

int hc_text_run(hc_pass *pass, const int32_t *ids, int count, int row_limit, float *out)
{
    const hc_config *c = pass->config;
    int rows = 0, taken = 0, *pooled = pass->pooled, all = c->pool == HC_POOL_NONE && !c->embed_cls;
    uint8_t *hidden = pass->hidden;
    for (; taken < count; taken++) {
        int length = embed_text(pass, ids + taken * c->context_length, rows, row_limit, pooled + taken);
        if (!length)
            break;
        pass->first[taken] = rows;
        rows += length;
    }
    pass->first[taken] = rows;
    pass->inputs = taken;
    if (!c->embed_cls)
        pass->hidden = NULL;
    if (all)
        pass->pooled = NULL;
    hc_blocks_run(pass);
    hc_norm_rows(pass, &pass->weights->ln_final, pass->x, taken * c->tokens_out, c->width, pass->tail);
    pass->pooled = pooled;
    pass->hidden = hidden;
    hc_project(pass, taken * c->tokens_out, out);
    return taken;
}
