/* tower.c: the list of a tower's tensors, under OpenCLIP's names, with the places they are packed to. */
#include "tower/tower.h"

#include <string.h>

/* Collects the list; counts on when the caller's array is full. */
typedef struct list {
    hc_tensor *tensors;
    size_t count, capacity;
    const char *prefix;
    int layer; /* of the block whose tensors are being listed, or -1 */
} list;

static char *append(char *at, const char *end, const char *text)
{
    while (*text && at < end) *at++ = *text++;
    *at = 0;
    return at;
}

static char *append_number(char *at, const char *end, int number)
{
    char digits[12];
    int n = 0;
    do digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (n && at < end) *at++ = digits[--n];
    *at = 0;
    return at;
}

static void add(list *l, const char *part, const char *name, hc_role role, void *slot, int rank, int d0, int d1, int d2,
                int d3)
{
    if (l->count < l->capacity) {
        hc_tensor *t = &l->tensors[l->count];
        const char *end = t->name + sizeof t->name - 1;
        char *at = append(t->name, end, l->prefix);
        if (l->layer >= 0) {
            at = append(at, end, "transformer.resblocks.");
            at = append_number(at, end, l->layer);
            at = append(at, end, ".");
        }
        at = append(at, end, part);
        append(at, end, name);
        t->role = role;
        t->rank = rank;
        t->shape[0] = (uint32_t)d0, t->shape[1] = (uint32_t)d1, t->shape[2] = (uint32_t)d2, t->shape[3] = (uint32_t)d3;
        t->slot = slot;
    }
    l->count++;
}

static void add_vector(list *l, const char *part, const char *name, float **slot, int n)
{
    add(l, part, name, HC_ROLE_VECTOR, slot, 1, n, 0, 0, 0);
}

static void add_matrix(list *l, const char *part, const char *name, hc_role role, hc_matrix *slot, int rows,
                       int columns)
{
    add(l, part, name, role, slot, 2, rows, columns, 0, 0);
}

static void add_norm(list *l, const char *part, hc_norm *norm, int n)
{
    add_vector(l, part, "weight", &norm->weight, n);
    add_vector(l, part, "bias", &norm->bias, n);
}

static void add_block(list *l, const hc_config *c, hc_block *b)
{
    int width = c->width;
    add_norm(l, "ln_1.", &b->ln_1, width);
    add_matrix(l, "attn.", "in_proj_weight", HC_ROLE_MATRIX, &b->in_proj, 3 * width, width);
    add_vector(l, "attn.", "in_proj_bias", &b->in_proj_bias, 3 * width);
    if (c->scaled_cosine_attn) add(l, "attn.", "logit_scale", HC_ROLE_VECTOR, &b->logit_scale, 3, c->heads, 1, 1, 0);
    if (c->scale_heads) add(l, "attn.", "head_scale", HC_ROLE_VECTOR, &b->head_scale, 3, c->heads, 1, 1, 0);
    if (c->qk_norm) {
        add_norm(l, "attn.ln_q.", &b->ln_q, c->head_dim);
        add_norm(l, "attn.ln_k.", &b->ln_k, c->head_dim);
    }
    if (c->scale_attn_inner) add_norm(l, "attn.ln_inner.", &b->ln_inner, width);
    add_matrix(l, "attn.out_proj.", "weight", HC_ROLE_MATRIX, &b->out_proj, width, width);
    add_vector(l, "attn.out_proj.", "bias", &b->out_proj_bias, width);
    if (c->scale_attn) add_norm(l, "ln_attn.", &b->ln_attn, width);
    if (c->layer_scale) add_vector(l, "ls_1.", "gamma", &b->ls_1, width);
    add_norm(l, "ln_2.", &b->ln_2, width);
    add_matrix(l, "mlp.c_fc.", "weight", HC_ROLE_MATRIX, &b->c_fc, c->mlp_width, width);
    add_vector(l, "mlp.c_fc.", "bias", &b->c_fc_bias, c->mlp_width);
    if (c->scale_fc) add_norm(l, "mlp.ln.", &b->mlp_ln, c->mlp_width);
    add_matrix(l, "mlp.c_proj.", "weight", HC_ROLE_MATRIX, &b->c_proj, width, c->mlp_width);
    add_vector(l, "mlp.c_proj.", "bias", &b->c_proj_bias, width);
    if (c->layer_scale) add_vector(l, "ls_2.", "gamma", &b->ls_2, width);
}

/* torch's MultiheadAttention keeps one matrix only where keys are as wide as queries. */
static void add_pooler(list *l, const hc_config *c, const char *prefix, hc_attn_pooler *p, int queries)
{
    const char *outer = l->prefix;
    int dim = c->embed_dim;
    l->prefix = prefix;
    add(l, "", "query", HC_ROLE_VECTOR, &p->query, 2, queries, dim, 0, 0);
    if (c->width == dim) {
        add_matrix(l, "attn.", "in_proj_weight", HC_ROLE_MATRIX, &p->in_proj, 3 * dim, dim);
    } else {
        add_matrix(l, "attn.", "q_proj_weight", HC_ROLE_MATRIX, &p->q_proj, dim, dim);
        add_matrix(l, "attn.", "k_proj_weight", HC_ROLE_MATRIX, &p->k_proj, dim, c->width);
        add_matrix(l, "attn.", "v_proj_weight", HC_ROLE_MATRIX, &p->v_proj, dim, c->width);
    }
    add_vector(l, "attn.", "in_proj_bias", &p->in_proj_bias, 3 * dim);
    add_matrix(l, "attn.out_proj.", "weight", HC_ROLE_MATRIX, &p->out_proj, dim, dim);
    add_vector(l, "attn.out_proj.", "bias", &p->out_proj_bias, dim);
    add_norm(l, "ln_q.", &p->ln_q, dim);
    add_norm(l, "ln_k.", &p->ln_k, c->width);
    l->prefix = outer;
}

static void add_blocks(list *l, const hc_config *c, hc_weights *w)
{
    for (int i = 0; i < c->layers; i++) {
        l->layer = i;
        add_block(l, c, w->blocks + i);
    }
    l->layer = -1;
}

static void add_image(list *l, const hc_config *c, hc_weights *w)
{
    l->prefix = "visual.";
    add_vector(l, "", "class_embedding", &w->class_embedding, c->width);
    add(l, "", "positional_embedding", HC_ROLE_VECTOR, &w->positional_embedding, 2, c->positions, c->width, 0, 0);
    add_matrix(l, "", "proj", HC_ROLE_PROJECTION, &w->projection, c->attn_pool ? c->embed_dim : c->width, c->embed_dim);
    add(l, "conv1.", "weight", HC_ROLE_FILTER, &w->conv1, 4, c->width, 3, c->patch_height, c->patch_width);
    if (c->ln_pre) add_norm(l, "ln_pre.", &w->ln_pre, c->width);
    add_blocks(l, c, w);
    if (c->attn_pool) add_pooler(l, c, "visual.attn_pool.", &w->attn_pool, c->attn_pooler_queries);
    if (c->attn_pool == HC_ATTN_POOL_PARALLEL || c->attn_pool == HC_ATTN_POOL_CASCADE)
        add_pooler(l, c, "visual.attn_pool_contrastive.", &w->attn_pool_contrastive, 1);
    add_norm(l, "ln_post.", &w->ln_final, c->attn_pool ? c->embed_dim : c->width);
}

static void add_text(list *l, const hc_config *c, hc_weights *w)
{
    l->prefix = "";
    add(l, "", "positional_embedding", HC_ROLE_VECTOR, &w->positional_embedding, 2, c->positions, c->width, 0, 0);
    if (c->proj == HC_PROJ_MATRIX)
        add_matrix(l, "", "text_projection", HC_ROLE_PROJECTION, &w->projection, c->width, c->dim);
    if (c->embed_cls) add_vector(l, "", "cls_emb", &w->cls_emb, c->width);
    add_blocks(l, c, w);
    add(l, "token_embedding.", "weight", HC_ROLE_TABLE, &w->token_embedding, 2, c->vocab_size, c->width, 0, 0);
    add_norm(l, "ln_final.", &w->ln_final, c->width);
    if (c->proj == HC_PROJ_LINEAR) {
        add_matrix(l, "text_projection.", "weight", HC_ROLE_FILTER, &w->projection, c->dim, c->width);
        add_vector(l, "text_projection.", "bias", &w->projection_bias, c->dim);
    }
}

size_t hc_tower_tensors(const hc_config *config, hc_weights *weights, hc_tensor *tensors, size_t capacity)
{
    list l = {tensors, 0, tensors ? capacity : 0, "", -1};
    if (config->tower == HC_IMAGE) add_image(&l, config, weights);
    else add_text(&l, config, weights);
    return l.count;
}
