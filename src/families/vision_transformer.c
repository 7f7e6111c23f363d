/* vision_transformer.c: OpenCLIP's VisionTransformer, with its AttentionalPooler (CoCa's). */
#include "families/family.h"
#include "families/keys.h"
#include "families/openclip.h"

/* AttentionalPooler is made with torch's default eps whatever norm_kwargs says. */
static const float POOLER_EPS = 1e-5f;

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static void read_attn_pool(hc_options *o, hc_openclip_config *c)
{
    hc_json pool = hc_option(o, "attentional_pool");
    if (!hc_json_truthy(&pool)) return;
    if (pool.type != HC_JSON_STRING) c->attn_pool = HC_ATTN_POOL_YES;
    else if (hc_json_is(&pool, "parallel")) c->attn_pool = HC_ATTN_POOL_PARALLEL;
    else if (hc_json_is(&pool, "cascade")) c->attn_pool = HC_ATTN_POOL_CASCADE;
    else
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.attentional_pool is %t, expected true, false, parallel or cascade", pool.text, pool.length);

    c->attn_pooler_queries = hc_option_integer(o, "attn_pooler_queries", 256, 1, HC_MAX_POSITIONS);
    c->attn_pooler_heads = hc_option_integer(o, "attn_pooler_heads", 8, 1, HC_MAX_WIDTH);
    if (c->embed_dim % c->attn_pooler_heads)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "embed_dim is %d, which %d heads (vision_cfg.attn_pooler_heads) do not divide", c->embed_dim,
                c->attn_pooler_heads);
    if (c->attn_pool == HC_ATTN_POOL_YES) {
        if (c->pool == HC_POOL_AVG && c->attn_pooler_queries < 2)
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg.pool_type avg leaves out the first query, and vision_cfg.attn_pooler_queries is 1, "
                    "expected at least 2");
        return;
    }
    /* Both forms normalise the tokens by ln_post, which is as wide as the embedding. */
    if (c->embed_dim != c->width)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.attentional_pool is %t, which needs embed_dim (%d) and vision_cfg.width (%d) to be equal",
                pool.text, pool.length, c->embed_dim, c->width);
    c->pool = HC_POOL_NONE;
}

void hc_vision_read(hc_options *o, hc_openclip_config *c)
{
    hc_options_check_keys(o, &o->section, o->section_name, HC_VISION_KEYS);
    c->width = hc_option_integer(o, "width", 768, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(o, "layers", 12, 1, HC_MAX_LAYERS);
    c->heads = c->width / hc_option_integer(o, "head_width", 64, 1, HC_MAX_WIDTH);
    hc_openclip_read_blocks(o, c);
    double dropout = hc_option_number(o, "patch_dropout", 0);
    if (!(dropout < 1)) hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg.patch_dropout is not below 1");

    hc_option_pair(o, "image_size", 224, HC_MAX_SIDE, &c->image_height, &c->image_width);
    hc_option_pair(o, "patch_size", 16, HC_MAX_SIDE, &c->patch_height, &c->patch_width);
    int rows = c->image_height / c->patch_height, columns = c->image_width / c->patch_width;
    if ((int64_t)c->image_height * c->image_width > HC_MAX_PIXELS)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg.image_size is %d by %d, expected at most %d pixels",
                c->image_height, c->image_width, (int)HC_MAX_PIXELS);
    if (!rows || !columns)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.patch_size is %d by %d, which is larger than the picture of %d by %d", c->patch_height,
                c->patch_width, c->image_height, c->image_width);
    c->positions = rows * columns + 1;

    static const char *const positions[] = {"learnable", "sin_cos_2d", NULL};
    if (hc_option_choice(o, "pos_embed_type", positions, "learnable or sin_cos_2d") && rows != columns)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.pos_embed_type is sin_cos_2d, which needs a square grid of patches, not %d by %d", rows,
                columns);

    static const char *const names[] = {"tok", "avg", "none", NULL};
    static const hc_vision_pool pools[] = {HC_POOL_TOK, HC_POOL_AVG, HC_POOL_NONE};
    c->pool = pools[hc_option_choice(o, "pool_type", names, "tok, avg or none")];
    read_attn_pool(o, c);
    c->ln_pre = !hc_option_flag(o, "no_ln_pre");
    c->final_ln_after_pool = !c->attn_pool && hc_option_flag(o, "final_ln_after_pool");
    if (3 * (int64_t)c->patch_height * c->patch_width * c->width > HC_MAX_MATRIX)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.patch_size is %d by %d, which is more than a tower may have here", c->patch_height,
                c->patch_width);
    hc_openclip_check_sizes(o, c, c->positions);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

/* AttentionalPooler's matrices: torch keeps one for queries, keys and values only where x is as wide as they are. */
typedef struct pooler_weights {
    hc_tensor_id joint, q, k, v, bias;
    hc_value query, context; /* normed */
} pooler_weights;

/* Learned queries look at x; the first `queries` of `all` are used. */
static pooler_weights pooler_weights_of(hc_network *net, const hc_openclip_config *c, hc_value x, int all, int queries)
{
    int dim = c->embed_dim;
    const hc_matrix_options plain = {0};
    pooler_weights w = {.query = hc_norm(net, "ln_q.", hc_parameter(net, "query", 2, all, queries, dim), POOLER_EPS),
                        .context = hc_norm(net, "ln_k.", x, POOLER_EPS)};
    if (c->width == dim) {
        w.joint = hc_weight(net, "attn.in_proj_weight", 3 * dim, dim, plain);
    } else {
        w.q = hc_weight(net, "attn.q_proj_weight", dim, dim, plain);
        w.k = hc_weight(net, "attn.k_proj_weight", dim, c->width, plain);
        w.v = hc_weight(net, "attn.v_proj_weight", dim, c->width, plain);
    }
    w.bias = hc_vector(net, "attn.in_proj_bias", 3 * dim);
    return w;
}

static hc_value pooler(hc_network *net, const hc_openclip_config *c, hc_value x, int all, int queries)
{
    int dim = c->embed_dim;
    pooler_weights w = pooler_weights_of(net, c, x, all, queries);
    hc_value q, k, v;
    if (w.joint) {
        hc_value seen = hc_multiply(net, "attn.in_proj_", w.context, w.joint, w.bias, dim, 2 * dim, (hc_finish){0});
        q = hc_multiply(net, "attn.in_proj_", w.query, w.joint, w.bias, 0, dim, (hc_finish){0});
        k = hc_columns(net, seen, 0, dim);
        v = hc_columns(net, seen, dim, dim);
    } else {
        q = hc_multiply(net, "attn.q_proj_", w.query, w.q, w.bias, 0, dim, (hc_finish){0});
        k = hc_multiply(net, "attn.k_proj_", w.context, w.k, w.bias, 0, dim, (hc_finish){.bias_first = dim});
        v = hc_multiply(net, "attn.v_proj_", w.context, w.v, w.bias, 0, dim, (hc_finish){.bias_first = 2 * dim});
    }
    hc_value seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = c->attn_pooler_heads});
    return hc_linear(net, "attn.out_proj.", seen, (hc_linear_options){.n = dim});
}

/* The pooler of `parallel` makes tokens that are no part of the embedding: it is in the file, and computes nothing
 * here. */
static void idle_pooler(hc_network *net, const hc_openclip_config *c, hc_value x)
{
    int dim = c->embed_dim, queries = c->attn_pooler_queries;
    pooler_weights_of(net, c, x, queries, queries);
    hc_weight(net, "attn.out_proj.weight", dim, dim, (hc_matrix_options){0});
    hc_vector(net, "attn.out_proj.bias", dim);
}

/* _global_pool: one row of many, or all of them. */
static hc_value global_pool(hc_network *net, const hc_openclip_config *c, hc_value x)
{
    return c->pool == HC_POOL_AVG ? hc_mean(net, x, 1) : c->pool == HC_POOL_TOK ? hc_pick(net, x) : x;
}

/* _pool: from all rows to those of the result. */
static hc_value pool(hc_network *net, const hc_openclip_config *c, hc_value x)
{
    int queries = c->attn_pooler_queries;
    if (c->attn_pool == HC_ATTN_POOL_YES) {
        HC_IN(net, "attn_pool.", 0) x = pooler(net, c, x, queries, c->pool == HC_POOL_TOK ? 1 : queries);
        return global_pool(net, c, hc_norm(net, "ln_post.", x, c->eps));
    }
    if (c->attn_pool) {
        x = hc_norm(net, "ln_post.", x, c->eps);
        hc_value tokens = x;
        HC_IN(net, "attn_pool.", 0)
        {
            if (c->attn_pool == HC_ATTN_POOL_CASCADE) tokens = pooler(net, c, x, queries, queries);
            else idle_pooler(net, c, x);
        }
        HC_IN(net, "attn_pool_contrastive.", 0) x = pooler(net, c, tokens, 1, 1);
        return x;
    }
    if (c->final_ln_after_pool) return hc_norm(net, "ln_post.", global_pool(net, c, x), c->eps);
    return global_pool(net, c, hc_norm(net, "ln_post.", x, c->eps));
}

static void build(hc_network *net, hc_options *o)
{
    hc_openclip_config c = {.embed_dim = hc_embed_dim(o)};
    hc_vision_read(o, &c);
    if (o->problem->status != HC_OK) return;
    net->image_height = c.image_height;
    net->image_width = c.image_width;
    HC_IN(net, "visual.", 0)
    {
        int class_only = !c.attn_pool && c.pool == HC_POOL_TOK;
        /* CLIP4Clip's patches of three frames leave conv1 as it was before they were trained. */
        hc_value x = hc_patches(net, net->video.seen ? "conv2." : "conv1.",
                                (hc_patches_options){.width = c.width,
                                                     .seen = net->video.seen,
                                                     .patch_height = c.patch_height,
                                                     .patch_width = c.patch_width,
                                                     .class_embedding = "class_embedding",
                                                     .positions = "positional_embedding"});
        if (c.ln_pre) x = hc_normed(net, "ln_pre.", x, c.eps);
        x = pool(net, &c, hc_openclip_blocks(net, &c, "transformer.resblocks.%d.", x, class_only));
        int k = net->values[x].width;
        hc_tensor_id proj =
            hc_weight(net, "proj", c.embed_dim, k, (hc_matrix_options){.transposed = 1, .keep_half = 1});
        hc_result(net, hc_multiply(net, "proj", x, proj, 0, 0, c.embed_dim, (hc_finish){0}));
    }
}

static int answers(const hc_options *o)
{
    hc_json layers = hc_option(o, "layers");
    return !hc_option_flag(o, "timm_model_name") && layers.type != HC_JSON_ARRAY;
}

/* Hugging Face's. */
static const hc_name_rule HUGGING_FACE[] = {
    HC_RULE("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    HC_RULE("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    HC_RULE("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    HC_RULE("visual.ln_pre.*", "vision_model.pre_layrnorm.*"),
    HC_RULE("visual.ln_post.*", "vision_model.post_layernorm.*"),
    HC_LINEAR_RULE("visual.proj", "visual_projection.weight"),
    HC_RULE("visual.transformer.resblocks.#.ln_1.*", "vision_model.encoder.layers.#.layer_norm1.*"),
    HC_RULE("visual.transformer.resblocks.#.ln_2.*", "vision_model.encoder.layers.#.layer_norm2.*"),
    HC_RULE("visual.transformer.resblocks.#.attn.in_proj_weight",
            "vision_model.encoder.layers.#.self_attn.@_proj.weight"),
    HC_RULE("visual.transformer.resblocks.#.attn.in_proj_bias", "vision_model.encoder.layers.#.self_attn.@_proj.bias"),
    HC_RULE("visual.transformer.resblocks.#.attn.out_proj.*", "vision_model.encoder.layers.#.self_attn.out_proj.*"),
    HC_RULE("visual.transformer.resblocks.#.mlp.c_fc.*", "vision_model.encoder.layers.#.mlp.fc1.*"),
    HC_RULE("visual.transformer.resblocks.#.mlp.c_proj.*", "vision_model.encoder.layers.#.mlp.fc2.*"),
    {0}};

static const hc_name_rule AS_IS[] = {HC_RULE("visual.*", "visual.*"), {0}};
static const hc_name_rule BARE[] = {HC_RULE("visual.*", "*"), {0}};

#define ANCHORS .anchors = {"visual.class_embedding", "visual.conv1.weight"}

const hc_family hc_vision_transformer = {
    "OpenCLIP's VisionTransformer",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's CLIP, CustomTextCLIP and CoCa; OpenAI; CLIP4Clip. */
        {ANCHORS, .owned = {"visual."}, .unused = {"visual.conv1.weight"}, .rules = AS_IS},
        /* A VisionTransformer's own state dict. */
        {ANCHORS, .owned = {""}, .rules = BARE},
        /* Hugging Face's CLIPModel, CLIPVisionModel and CLIPVisionModelWithProjection. */
        {ANCHORS, .owned = {"vision_model.", "visual_projection."}, .rules = HUGGING_FACE},
    }};
