/* eva.c: timm's class Eva (timm/models/eva.py): EVA (Fang et al., 2022), EVA-02 and EVA-CLIP (Fang et al., Sun et al.,
 * 2023), Meta's Perception Encoder (Bolya et al., 2025) and DINOv3 (Siméoni et al., 2025), and ViTs with axial rotary
 * positions (Heo et al., 2024). */
#include "families/family.h"
#include "families/timm_blocks.h"

/* What a name stands for beside sizes. */
enum {
    CLASS_TOKEN = 1 << 0,
    NO_POSITIONS = 1 << 1, /* no learned ones                                                              */
    PRE_NORM = 1 << 2,     /* a LayerNorm before the blocks, and no bias of the patches                    */
    SPLIT_QKV = 1 << 3,    /* q_proj, k_proj and v_proj, of which k_proj has no bias; else one matrix, …   */
    QV_BIAS = 1 << 4,      /* … with q_bias and v_bias                                                     */
    QKV_BIAS = 1 << 5,     /* … with one bias for all                                                      */
    SUB_NORM = 1 << 6,     /* a LayerNorm behind attention, before its projection                          */
    GLU = 1 << 7,          /* SwiGLU, of one matrix                                                        */
    SPLIT_GLU = 1 << 8,    /* SwiGLU, of two                                                               */
    MLP_NORM = 1 << 9,     /* a LayerNorm within the MLP, before its second matrix                         */
    POST_NORM = 1 << 10,   /* branches are normed before they are added, in place of their inputs          */
    LAYER_SCALE = 1 << 11,
    ROTARY = 1 << 12,
    X_FIRST = 1 << 13,         /* rope_grid_indexing 'xy'                                                      */
    FROM_ONE = 1 << 14,        /* rope_grid_offset 1                                                           */
    COLD = 1 << 15,            /* rope_temperature 100, and not 10000                                          */
    EPS_5 = 1 << 16,           /* LayerNorm's eps is 1e-5, and not 1e-6                                        */
    MAP = 1 << 17,             /* the pool that the name stands for; …                                         */
    TOKEN = 1 << 18,           /* … with neither flag avg                                                      */
    NO_FC_NORM = 1 << 19,      /* no LayerNorm after the pooling where that is avg; then there is one before … */
    NO_NORM = 1 << 20,         /* … unless there is none at all                                                */
    PATCH_POSITIONS = 1 << 21, /* no_embed_class: the class token and registers are without learned positions */
    WHOLE_TURNS = 1 << 22      /* rope_type dinov3, with rope_rotate_half                                      */
};

typedef struct config {
    const char *name; /* timm's; what follows is what it stands for */
    int width, layers, heads, mlp_width, patch_size, image_size, registers;
    int reference;                  /* ref_feat_shape: the grid that rotary positions are stretched to; 0: none */
    int pool_heads, pool_mlp_width; /* of the map pool */
    int align;                      /* swiglu_align_to: what divides mlp_width; or 1 */
    int flags;
} config;

static const config SIZES[] = {
#include "families/eva_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static int has(const config *c, int flag) { return (c->flags & flag) != 0; }

/* The pool, and where the last norm is. */
static void read_pool(const hc_options *o, config *c, hc_timm *t)
{
    hc_timm_pool own = has(c, MAP) ? HC_TIMM_MAP : has(c, TOKEN) ? HC_TIMM_TOKEN : HC_TIMM_AVG;
    hc_timm_pool made = hc_timm_made_with(o, t, own);
    if (made != HC_TIMM_AVG) c->flags |= NO_FC_NORM;
    int possible = t->pool == HC_TIMM_AVG || (t->pool == HC_TIMM_TOKEN && has(c, CLASS_TOKEN)) ||
                   (t->pool == HC_TIMM_MAP && own == HC_TIMM_MAP && made == HC_TIMM_MAP);
    if (!possible)
        hc_timm_refuse(o, has(c, CLASS_TOKEN) ? "timm_pool token, avg or, where the name stands for that, map"
                                              : "timm_pool avg or, where the name stands for that, map");
}

/* The next multiple of `align`. */
static int aligned(int width, int align) { return (width + align - 1) / align * align; }

/* The width of an MLP of a tower of another width. */
static int scaled(const config *c, int mlp_width, int width) { return (int)((int64_t)mlp_width * width / c->width); }

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "patch_size", NULL};
    hc_timm_read(o, c->image_size, keys, t);
    hc_options *args = &t->args;
    int width = hc_option_integer(args, "embed_dim", c->width, 1, HC_MAX_WIDTH);
    c->mlp_width = hc_option_given(args, "mlp_ratio") ? hc_timm_mlp_width(t, width, 1) : scaled(c, c->mlp_width, width);
    c->mlp_width = aligned(c->mlp_width, c->align);
    c->pool_mlp_width = scaled(c, c->pool_mlp_width, width);
    c->width = width;
    c->layers = hc_option_integer(args, "depth", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(args, "num_heads", c->heads, 1, HC_MAX_WIDTH);
    c->patch_size = hc_option_integer(args, "patch_size", c->patch_size, 1, HC_MAX_SIDE);
    hc_timm_check_sizes(t, c->width, c->heads, c->mlp_width, c->patch_size);
    read_pool(o, c, t);
    if (o->problem->status != HC_OK) return;
    if (t->pool == HC_TIMM_MAP) hc_timm_check_sizes(t, c->width, c->pool_heads, c->pool_mlp_width, c->patch_size);
    if (has(c, ROTARY) && c->width / c->heads % 4)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg: heads of %d channels, which rotary positions need 4 to divide", c->width / c->heads);
    if (has(c, QV_BIAS) && c->width % HC_PANEL)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: a width of %d, expected one that %d divides", c->width,
                (int)HC_PANEL);
}

/* ---- blocks -------------------------------------------------------------------------------------------------------
 */

/* What blocks need to know. */
typedef struct trunk {
    config c;
    float eps;
    int prefix; /* tokens before those of the grid */
    hc_rotary grid;
    hc_value table; /* of rotary positions */
} trunk;

/* Queries (0), keys (1) or values (2) of x. */
static hc_value project(hc_network *net, const trunk *t, const hc_tensor_id tensors[4], int which, hc_value x)
{
    static const char *const names[] = {"attn.q_proj.", "attn.k_proj.", "attn.v_proj."};
    int width = t->c.width, first = which * width;
    hc_value made;
    if (has(&t->c, SPLIT_QKV))
        made = hc_linear(net, names[which], x, (hc_linear_options){.n = width, .plain = which == 1});
    else
        made = hc_multiply(net, "attn.qkv.", x, tensors[3], tensors[which], first, width,
                           (hc_finish){.bias_first = has(&t->c, QV_BIAS) ? -first : 0});
    return made;
}

static hc_value turned(hc_network *net, const trunk *t, hc_value x)
{
    return has(&t->c, ROTARY) ? hc_rotate_heads(net, t->table, x, t->c.heads, t->prefix, t->grid) : x;
}

/* Attention of x; with `pick` of the first row of each input alone, which no position turns. */
static hc_value attend(hc_network *net, const trunk *t, hc_value x, int pick)
{
    hc_tensor_id tensors[4] = {0};
    int width = t->c.width;
    if (!has(&t->c, SPLIT_QKV))
        tensors[3] = hc_weight(net, "attn.qkv.weight", 3 * width, width, (hc_matrix_options){0});
    if (has(&t->c, QV_BIAS)) {
        tensors[0] = hc_vector(net, "attn.q_bias", width);
        tensors[2] = hc_vector(net, "attn.v_bias", width);
    }
    if (has(&t->c, QKV_BIAS)) tensors[0] = tensors[1] = tensors[2] = hc_vector(net, "attn.qkv.bias", 3 * width);
    hc_value k = turned(net, t, project(net, t, tensors, 1, x)), v = project(net, t, tensors, 2, x);
    hc_value q = project(net, t, tensors, 0, pick ? hc_pick(net, x) : x);
    if (!pick) q = turned(net, t, q);
    hc_value seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = t->c.heads});
    return has(&t->c, SUB_NORM) ? hc_norm(net, "attn.norm.", seen, t->eps) : seen;
}

static hc_value hidden_of(hc_network *net, const trunk *t, hc_value x)
{
    int n = t->c.mlp_width;
    hc_value hidden;
    if (has(&t->c, SPLIT_GLU)) {
        hidden = hc_timm_split_glu(net, x, n, HC_SILU, 0);
    } else if (has(&t->c, GLU)) {
        hidden = hc_timm_glu(net, x, n, HC_SILU);
    } else {
        hidden = hc_linear(net, "mlp.fc1.", x, (hc_linear_options){.n = n, .activation = HC_GELU});
    }
    return has(&t->c, MLP_NORM) ? hc_norm(net, "mlp.norm.", hidden, t->eps) : hidden;
}

/* x + gamma * f times a matrix, normed before it is added where that is so. */
static hc_value add(hc_network *net, const trunk *t, const char *name, const char *norm, const char *gamma, hc_value f,
                    hc_value x)
{
    return hc_timm_add(net, name, has(&t->c, LAYER_SCALE) ? gamma : NULL, has(&t->c, POST_NORM) ? norm : NULL, t->eps,
                       0, f, x);
}

static hc_value block(hc_network *net, const trunk *t, hc_value x, int pick)
{
    int post = has(&t->c, POST_NORM);
    hc_value seen = attend(net, t, post ? x : hc_normed(net, "norm1.", x, t->eps), pick);
    x = add(net, t, "attn.proj.", "norm1.", "gamma_1", seen, pick ? hc_pick(net, x) : x);
    hc_value hidden = hidden_of(net, t, post ? x : hc_norm(net, "norm2.", x, t->eps));
    return add(net, t, "mlp.fc2.", "norm2.", "gamma_2", hidden, x);
}

/* ---- around them --------------------------------------------------------------------------------------------------
 */

/* Patches, the tokens before them, and positions. */
static hc_value embed(hc_network *net, const config *c)
{
    const char *with_class = has(c, CLASS_TOKEN) ? "cls_token" : NULL,
               *positions = has(c, NO_POSITIONS) ? NULL : "pos_embed";
    hc_patches_options o = {.width = c->width,
                            .patch_height = c->patch_size,
                            .patch_width = c->patch_size,
                            .rank = 3,
                            .bias = !has(c, PRE_NORM)};
    int apart = c->registers || has(c, PATCH_POSITIONS);
    if (!apart) o.class_embedding = with_class, o.positions = positions;
    hc_value x = hc_patches(net, "patch_embed.proj.", o);
    if (!apart) return x;
    return hc_prepend(net, x,
                      (hc_prepend_options){.class_embedding = with_class,
                                           .registers = c->registers ? "reg_token" : NULL,
                                           .register_count = c->registers,
                                           .positions = positions,
                                           .positions_of_all = !has(c, PATCH_POSITIONS)});
}

static void build(hc_network *net, hc_options *o)
{
    const double LOG_100 = 4.605170185988092;
    trunk t = {.c = *find(o)};
    hc_timm around;
    read(o, &t.c, &around);
    if (o->problem->status != HC_OK) return;
    t.eps = has(&t.c, EPS_5) ? 1e-5f : 1e-6f;
    t.prefix = has(&t.c, CLASS_TOKEN) + t.c.registers;
    t.grid = (hc_rotary){.height = around.image_height / t.c.patch_size,
                         .across = around.image_width / t.c.patch_size,
                         .reference = t.c.reference,
                         .offset = has(&t.c, FROM_ONE),
                         .x_first = has(&t.c, X_FIRST),
                         .whole_turns = has(&t.c, WHOLE_TURNS),
                         .log_temperature = has(&t.c, COLD) ? LOG_100 : 2 * LOG_100};
    net->image_height = around.image_height;
    net->image_width = around.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = embed(net, &t.c);
        if (has(&t.c, PRE_NORM)) x = hc_normed(net, "norm_pre.", x, t.eps);
        if (has(&t.c, ROTARY)) t.table = hc_rotary_table(net, t.c.width / t.c.heads, t.grid);
        for (int i = 0; i < t.c.layers; i++) HC_IN(net, "blocks.%d.", i)
        x = block(net, &t, x, around.pool == HC_TIMM_TOKEN && i == t.c.layers - 1);
        if (has(&t.c, NO_FC_NORM) && !has(&t.c, NO_NORM)) x = hc_norm(net, "norm.", x, t.eps);
        if (around.pool == HC_TIMM_MAP)
            x = hc_timm_map_pool(net, t.c.pool_heads, t.c.pool_mlp_width, HC_GELU, t.eps, 0, x);
        if (around.pool == HC_TIMM_AVG) x = hc_mean(net, x, t.prefix);
        if (!has(&t.c, NO_FC_NORM)) x = hc_norm(net, "fc_norm.", x, t.eps);
    }
    hc_timm_head(net, &around, "head.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* EVA-CLIP's own files: what is not named here they name as timm does. */
static const hc_name_rule EVA_CLIP[] = {HC_RULE("visual.trunk.blocks.#.attn.q_proj.bias", "blocks.#.attn.q_bias"),
                                        HC_RULE("visual.trunk.blocks.#.attn.v_proj.bias", "blocks.#.attn.v_bias"),
                                        HC_RULE("visual.trunk.blocks.#.attn.norm.*", "blocks.#.attn.inner_attn_ln.*"),
                                        HC_RULE("visual.trunk.blocks.#.mlp.fc1_g.*", "blocks.#.mlp.w1.*"),
                                        HC_RULE("visual.trunk.blocks.#.mlp.fc1_x.*", "blocks.#.mlp.w2.*"),
                                        HC_RULE("visual.trunk.blocks.#.mlp.norm.*", "blocks.#.mlp.ffn_ln.*"),
                                        HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "blocks.#.mlp.w3.*"),
                                        HC_RULE("visual.trunk.*", "*"),
                                        {0}};

/* Meta's own files of DINOv3, of which some have biases of keys, zeros; with a gate or without. */
#define DINO_RULES                                                                            \
    HC_RULE("visual.trunk.reg_token", "storage_tokens"),                                      \
        HC_RULE("visual.trunk.blocks.#.gamma_1", "blocks.#.ls1.gamma"),                       \
        HC_RULE("visual.trunk.blocks.#.gamma_2", "blocks.#.ls2.gamma"),                       \
        HC_PART_RULE("visual.trunk.blocks.#.attn.q_bias", "blocks.#.attn.qkv.bias", 0, 1, 3), \
        HC_PART_RULE("visual.trunk.blocks.#.attn.v_bias", "blocks.#.attn.qkv.bias", 2, 1, 3)
static const hc_name_rule DINO[] = {DINO_RULES, HC_RULE("visual.trunk.*", "*"), {0}},
                          DINO_GATED[] = {DINO_RULES,
                                          HC_RULE("visual.trunk.blocks.#.mlp.fc1_g.*", "blocks.#.mlp.w1.*"),
                                          HC_RULE("visual.trunk.blocks.#.mlp.fc1_x.*", "blocks.#.mlp.w2.*"),
                                          HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "blocks.#.mlp.w3.*"),
                                          HC_RULE("visual.trunk.*", "*"),
                                          {0}};

/* Meta's own files of the Perception Encoder, whose projection has no bias. */
static const hc_name_rule PERCEPTION_ENCODER[] = {
    HC_RULE("visual.trunk.patch_embed.proj.*", "conv1.*"),
    HC_RULE("visual.trunk.pos_embed", "positional_embedding"),
    HC_RULE("visual.trunk.cls_token", "class_embedding"),
    HC_RULE("visual.trunk.norm_pre.*", "ln_pre.*"),
    HC_RULE("visual.trunk.norm.*", "ln_post.*"),
    HC_RULE("visual.trunk.blocks.#.norm1.*", "transformer.resblocks.#.ln_1.*"),
    HC_RULE("visual.trunk.blocks.#.norm2.*", "transformer.resblocks.#.ln_2.*"),
    HC_RULE("visual.trunk.blocks.#.gamma_1", "transformer.resblocks.#.ls_1.gamma"),
    HC_RULE("visual.trunk.blocks.#.gamma_2", "transformer.resblocks.#.ls_2.gamma"),
    HC_RULE("visual.trunk.blocks.#.attn.qkv.*", "transformer.resblocks.#.attn.in_proj_*"),
    HC_RULE("visual.trunk.blocks.#.attn.proj.*", "transformer.resblocks.#.attn.out_proj.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc1.*", "transformer.resblocks.#.mlp.c_fc.*"),
    HC_RULE("visual.trunk.blocks.#.mlp.fc2.*", "transformer.resblocks.#.mlp.c_proj.*"),
    HC_RULE("visual.trunk.attn_pool.latent", "attn_pool.probe"),
    HC_PART_RULE("visual.trunk.attn_pool.q.*", "attn_pool.attn.in_proj_*", 0, 1, 3),
    HC_PART_RULE("visual.trunk.attn_pool.kv.*", "attn_pool.attn.in_proj_*", 1, 2, 3),
    HC_RULE("visual.trunk.attn_pool.proj.*", "attn_pool.attn.out_proj.*"),
    HC_RULE("visual.trunk.attn_pool.norm.*", "attn_pool.layernorm.*"),
    HC_RULE("visual.trunk.attn_pool.mlp.fc1.*", "attn_pool.mlp.c_fc.*"),
    HC_RULE("visual.trunk.attn_pool.mlp.fc2.*", "attn_pool.mlp.c_proj.*"),
    HC_LINEAR_RULE("visual.trunk.head.weight", "proj"),
    HC_ZEROS_RULE("visual.trunk.head.bias"),
    {0}};

/* Tables of rotary positions, and what only training needs. */
#define UNUSED  .unused = {"freqs_cos", "freqs_sin", "mask_token"}
#define ANCHORS .anchors = {"visual.trunk.patch_embed.proj.weight"}, UNUSED
#define DINO_ANCHORS                                                                       \
    .anchors = {"visual.trunk.reg_token"},                                                 \
    .unused = {"rope_embed.periods",    "mask_token",         "qkv.bias", "qkv.bias_mask", \
               "local_cls_norm.weight", "local_cls_norm.bias"}
#define PE_ANCHORS .anchors = {"visual.trunk.attn_pool.latent", "visual.trunk.norm_pre.weight"}, UNUSED

const hc_family hc_eva = {"timm's Eva",
                          HC_IMAGE,
                          answers,
                          build,
                          {
                              /* OpenCLIP's. */
                              {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS},
                              /* timm's own checkpoint. */
                              {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE},
                              /* EVA-CLIP's, of which EVA01 has no other names than these. */
                              {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_BARE, .prefix = "visual."},
                              {ANCHORS, .owned = {"visual."}, .rules = EVA_CLIP, .prefix = "visual."},
                              {ANCHORS, .owned = {""}, .rules = EVA_CLIP},
                              /* Meta's of DINOv3. */
                              {DINO_ANCHORS, .owned = {""}, .rules = DINO},
                              {DINO_ANCHORS, .owned = {""}, .rules = DINO_GATED},
                              /* Meta's of the Perception Encoder: both towers, or the image tower alone. */
                              {PE_ANCHORS, .owned = {"visual."}, .rules = PERCEPTION_ENCODER, .prefix = "visual."},
                              {PE_ANCHORS, .owned = {""}, .rules = PERCEPTION_ENCODER},
                          }};
