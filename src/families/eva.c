/* eva.c: timm's class Eva (timm/models/eva.py): EVA (Fang et al., 2022), EVA-02 and EVA-CLIP (Fang et al., Sun et al.,
 * 2023), Meta's Perception Encoder (Bolya et al., 2025), DINOv3 (Siméoni et al., 2025) and Sapiens2, and ViTs with
 * rotary positions, axial or mixed (Heo et al., 2024). */
#include "families/eva.h"
#include "families/family.h"
#include "families/timm_blocks.h"

static const hc_eva_config SIZES[] = {
#include "families/eva_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const hc_eva_config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

/* The pool, and where the last norm is. */
static void read_pool(const hc_options *o, hc_eva_config *c, hc_timm *t)
{
    hc_timm_pool own = hc_eva_has(c, HC_EVA_MAP)     ? HC_TIMM_MAP
                       : hc_eva_has(c, HC_EVA_TOKEN) ? HC_TIMM_TOKEN
                                                     : HC_TIMM_AVG;
    hc_timm_pool made = hc_timm_made_with(o, t, own);
    if (made != HC_TIMM_AVG) c->flags |= HC_EVA_NO_FC_NORM;
    int possible = t->pool == HC_TIMM_AVG || (t->pool == HC_TIMM_TOKEN && hc_eva_has(c, HC_EVA_CLASS_TOKEN)) ||
                   (t->pool == HC_TIMM_MAP && own == HC_TIMM_MAP && made == HC_TIMM_MAP);
    if (!possible)
        hc_timm_refuse(o, hc_eva_has(c, HC_EVA_CLASS_TOKEN)
                              ? "timm_pool token, avg or, where the name stands for that, map"
                              : "timm_pool avg or, where the name stands for that, map");
}

/* The next multiple of `align`. */
static int aligned(int width, int align) { return (width + align - 1) / align * align; }

/* The width of an MLP of a tower of another width. */
static int scaled(const hc_eva_config *c, int mlp_width, int width)
{
    return (int)((int64_t)mlp_width * width / c->width);
}

/* num_kv_heads, a list of a number for each block: of the name's, the first and the last have as many as of queries. */
static void read_kv_heads(hc_eva_trunk *k, hc_timm *t)
{
    enum { WHOLE = 8 };
    const hc_eva_config *c = &k->c;
    for (int i = 0; i < c->layers; i++)
        k->kv_heads[i] = c->kv_heads && i >= WHOLE && i < c->layers - WHOLE ? c->kv_heads : c->heads;
    if (c->kv_heads) hc_timm_list(t, "num_kv_heads", k->kv_heads, c->layers, c->layers, HC_MAX_WIDTH);
    else if (hc_option_given(&t->args, "num_kv_heads"))
        hc_fail(t->args.problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.timm_model_args.num_kv_heads: such towers have as many as num_heads");
    for (int i = 0; i < c->layers; i++)
        if (c->heads % k->kv_heads[i])
            hc_fail(t->args.problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg: %d heads of keys and values in block %d, which do not divide %d", k->kv_heads[i], i,
                    c->heads);
}

static void read(hc_options *o, hc_eva_trunk *k, hc_timm *t)
{
    static const char *const keys[] = {"embed_dim",  "depth",        "num_heads", "mlp_ratio",
                                       "patch_size", "num_kv_heads", NULL};
    hc_eva_config *c = &k->c;
    hc_timm_read(o, c->image_size, keys, t);
    if (hc_eva_has(c, HC_EVA_PORTRAIT) && !hc_option_given(o, "image_size")) t->image_width = t->image_height / 4 * 3;
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
    read_kv_heads(k, t);
    if (o->problem->status != HC_OK) return;
    if (t->pool == HC_TIMM_MAP) hc_timm_check_sizes(t, c->width, c->pool_heads, c->pool_mlp_width, c->patch_size);
    if ((hc_eva_has(c, HC_EVA_ROTARY) || hc_eva_has(c, HC_EVA_MIXED)) && c->width / c->heads % 4)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg: heads of %d channels, which rotary positions need 4 to divide", c->width / c->heads);
    if (hc_eva_has(c, HC_EVA_QV_BIAS) && c->width % HC_PANEL)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg: a width of %d, expected one that %d divides", c->width,
                (int)HC_PANEL);
}

/* ---- around them --------------------------------------------------------------------------------------------------
 */

/* Patches, the tokens before them, and positions. */
static hc_value embed(hc_network *net, const hc_eva_config *c)
{
    const char *with_class = hc_eva_has(c, HC_EVA_CLASS_TOKEN) ? "cls_token" : NULL,
               *positions = hc_eva_has(c, HC_EVA_NO_POSITIONS) ? NULL : "pos_embed";
    hc_patches_options o = {.width = c->width,
                            .patch_height = c->patch_size,
                            .patch_width = c->patch_size,
                            .rank = 3,
                            .bias = !hc_eva_has(c, HC_EVA_PRE_NORM)};
    int apart = c->registers || hc_eva_has(c, HC_EVA_PATCH_POSITIONS);
    if (!apart) o.class_embedding = with_class, o.positions = positions;
    hc_value x = hc_patches(net, "patch_embed.proj.", o);
    if (!apart) return x;
    return hc_prepend(net, x,
                      (hc_prepend_options){.class_embedding = with_class,
                                           .registers = c->registers ? "reg_token" : NULL,
                                           .register_count = c->registers,
                                           .positions = positions,
                                           .positions_of_all = !hc_eva_has(c, HC_EVA_PATCH_POSITIONS)});
}

static void build(hc_network *net, hc_options *o)
{
    const double LOG_100 = 4.605170185988092;
    hc_eva_trunk t = {.c = *find(o)};
    hc_timm around;
    read(o, &t, &around);
    if (o->problem->status != HC_OK) return;
    t.eps = hc_eva_has(&t.c, HC_EVA_EPS_5) ? 1e-5f : 1e-6f;
    t.prefix = hc_eva_has(&t.c, HC_EVA_CLASS_TOKEN) + t.c.registers;
    t.grid = (hc_rotary){.height = around.image_height / t.c.patch_size,
                         .across = around.image_width / t.c.patch_size,
                         .reference = t.c.reference,
                         .offset = hc_eva_has(&t.c, HC_EVA_FROM_ONE),
                         .x_first = hc_eva_has(&t.c, HC_EVA_X_FIRST),
                         .whole_turns = hc_eva_has(&t.c, HC_EVA_WHOLE_TURNS),
                         .log_temperature = hc_eva_has(&t.c, HC_EVA_COLD) ? LOG_100 : 2 * LOG_100};
    net->image_height = around.image_height;
    net->image_width = around.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = embed(net, &t.c);
        if (hc_eva_has(&t.c, HC_EVA_PRE_NORM)) x = hc_eva_normed(net, &t, "norm_pre.", x);
        if (hc_eva_has(&t.c, HC_EVA_MIXED))
            t.frequencies = hc_mixed_frequencies(net, "rope.freqs", t.c.layers, t.c.heads, t.c.width / t.c.heads);
        else if (hc_eva_has(&t.c, HC_EVA_ROTARY)) t.table = hc_rotary_table(net, t.c.width / t.c.heads, t.grid);
        for (int i = 0; i < t.c.layers; i++) HC_IN(net, "blocks.%d.", i)
            {
                if (hc_eva_has(&t.c, HC_EVA_MIXED)) t.table = hc_mixed_table(net, t.frequencies, i, t.grid);
                x = hc_eva_block(net, &t, i, x, around.pool == HC_TIMM_TOKEN && i == t.c.layers - 1);
            }
        if (hc_eva_has(&t.c, HC_EVA_NO_FC_NORM) && !hc_eva_has(&t.c, HC_EVA_NO_NORM))
            x = hc_eva_norm(net, &t, "norm.", x);
        if (around.pool == HC_TIMM_MAP)
            x = hc_timm_map_pool(net, t.c.pool_heads, t.c.pool_mlp_width, HC_GELU, t.eps, 0, x);
        if (around.pool == HC_TIMM_AVG) x = hc_mean(net, x, t.prefix);
        if (!hc_eva_has(&t.c, HC_EVA_NO_FC_NORM)) x = hc_eva_norm(net, &t, "fc_norm.", x);
    }
    hc_timm_head(net, &around, "head.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Tables of rotary positions, and what only training needs. */
#define UNUSED  .unused = {"freqs_cos", "freqs_sin", "mask_token"}
#define ANCHORS .anchors = {"visual.trunk.patch_embed.proj.weight"}, UNUSED
#define DINO_ANCHORS                                                                       \
    .anchors = {"visual.trunk.reg_token"},                                                 \
    .unused = {"rope_embed.periods",    "mask_token",         "qkv.bias", "qkv.bias_mask", \
               "local_cls_norm.weight", "local_cls_norm.bias"}
#define SAPIENS_ANCHORS .anchors = {"visual.trunk.blocks.0.attn.k_norm.weight"}, UNUSED
#define PE_ANCHORS      .anchors = {"visual.trunk.attn_pool.latent", "visual.trunk.norm_pre.weight"}, UNUSED

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
                              {ANCHORS, .owned = {"visual."}, .rules = HC_EVA_CLIP, .prefix = "visual."},
                              {ANCHORS, .owned = {""}, .rules = HC_EVA_CLIP},
                              /* Meta's of DINOv3. */
                              {DINO_ANCHORS, .owned = {""}, .rules = HC_DINO},
                              {DINO_ANCHORS, .owned = {""}, .rules = HC_DINO_GATED},
                              /* Meta's of Sapiens2. */
                              {SAPIENS_ANCHORS, .owned = {""}, .rules = HC_SAPIENS},
                              /* Meta's of the Perception Encoder: both towers, or the image tower alone. */
                              {PE_ANCHORS, .owned = {"visual."}, .rules = HC_PERCEPTION_ENCODER, .prefix = "visual."},
                              {PE_ANCHORS, .owned = {""}, .rules = HC_PERCEPTION_ENCODER},
                          }};
