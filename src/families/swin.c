/* swin.c: timm's SwinTransformer, after "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (Liu
 * et al., 2021): attention within windows of a grid, which every other block shifts by half their size, and grids that
 * merge to half their sides from stage to stage. */
#include "families/family.h"
#include "families/timm.h"

static const float EPS = 1e-5f;

enum { STAGES = 4, MOST_BLOCKS = 64 };

typedef struct config {
    const char *name; /* timm's; what follows is what it stands for */
    int image_size, patch_size, width, stages;
    int blocks[STAGES], heads[STAGES], windows[STAGES];
    double mlp_ratio;
} config;

static const config SIZES[] = {
#include "families/swin_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

/* One size of windows, or one a stage. */
static void read_windows(hc_timm *t, config *c)
{
    hc_json given = hc_option(&t->args, "window_size");
    if (given.type == HC_JSON_ARRAY) {
        hc_timm_list(t, "window_size", c->windows, c->stages, c->stages, HC_MAX_SIDE);
        return;
    }
    for (int i = 0; i < c->stages; i++)
        c->windows[i] = hc_option_integer(&t->args, "window_size", c->windows[i], 1, HC_MAX_SIDE);
}

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"embed_dim",   "depths",     "num_heads", "mlp_ratio",
                                       "window_size", "patch_size", NULL};
    hc_timm_read(o, c->image_size, keys, t);
    hc_options *args = &t->args;
    c->width = hc_option_integer(args, "embed_dim", c->width, 1, HC_MAX_WIDTH >> (STAGES - 1));
    c->patch_size = hc_option_integer(args, "patch_size", c->patch_size, 1, HC_MAX_SIDE);
    c->stages = hc_timm_list(t, "depths", c->blocks, 1, STAGES, MOST_BLOCKS);
    hc_timm_list(t, "num_heads", c->heads, c->stages, c->stages, HC_MAX_WIDTH);
    read_windows(t, c);
    for (int i = 0; i < c->stages && o->problem->status == HC_OK; i++) {
        int width = c->width << i, mlp_width = hc_timm_mlp_width(t, width, c->mlp_ratio);
        hc_timm_check_sizes(t, width, c->heads[i], mlp_width, c->patch_size);
    }
    hc_timm_check_mean(o, t);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

static int smaller(int a, int b) { return a < b ? a : b; }

/* The windows of a grid: no larger than it is, and shifted only where they are smaller. */
static hc_windows windows_of(hc_network *net, hc_value x, int size, int shifted)
{
    hc_value_info v = net->values[x];
    hc_windows w = {smaller(size, v.height), smaller(size, v.across), 0, 0};
    if (shifted && v.height > w.height) w.down = size / 2;
    if (shifted && v.across > w.across) w.right = size / 2;
    if (net->problem->status != HC_OK) return w;
    if (v.height % w.height || v.across % w.across)
        hc_fail(net->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.image_size makes a grid of %d by %d, which windows of %d by %d do not divide", v.height,
                v.across, w.height, w.across);
    return w;
}

static hc_value block(hc_network *net, hc_timm *t, const config *c, hc_value x, int stage, int shifted)
{
    int width = net->values[x].width, heads = c->heads[stage];
    hc_windows w = windows_of(net, x, c->windows[stage], shifted);
    if (net->problem->status != HC_OK) return x;
    int distances = (2 * w.height - 1) * (2 * w.across - 1);
    hc_value all = hc_linear(net, "attn.qkv.", hc_norm(net, "norm1.", x, EPS), (hc_linear_options){.n = 3 * width});
    hc_value table = hc_parameter(net, "attn.relative_position_bias_table", 2, distances, distances, heads);
    hc_attention_options options = {.heads = heads, .bias = hc_window_bias(net, table, w), .windows = w};
    hc_value seen = hc_attend(net, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                              hc_columns(net, all, 2 * width, width), options);
    x = hc_linear(net, "attn.proj.", seen, (hc_linear_options){.n = width, .add = x});
    hc_value hidden =
        hc_linear(net, "mlp.fc1.", hc_norm(net, "norm2.", x, EPS),
                  (hc_linear_options){.n = hc_timm_mlp_width(t, width, c->mlp_ratio), .activation = HC_GELU});
    return hc_linear(net, "mlp.fc2.", hidden, (hc_linear_options){.n = width, .add = x});
}

static void build(hc_network *net, hc_options *o)
{
    config c = *find(o);
    hc_timm t;
    read(o, &c, &t);
    if (o->problem->status != HC_OK) return;
    net->own_size = 1; /* timm would choose other windows, and resize what is known of them */
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        hc_patches_options patches = {
            .width = c.width, .patch_height = c.patch_size, .patch_width = c.patch_size, .bias = 1};
        x = hc_normed(net, "patch_embed.norm.", hc_patches(net, "patch_embed.proj.", patches), EPS);
        for (int stage = 0; stage < c.stages; stage++) HC_IN(net, "layers.%d.", stage)
            {
                if (stage)
                    x = hc_linear(net, "downsample.reduction.", hc_norm(net, "downsample.norm.", hc_merge(net, x), EPS),
                                  (hc_linear_options){.n = c.width << stage, .plain = 1});
                for (int i = 0; i < c.blocks[stage]; i++)
                    HC_IN(net, "blocks.%d.", i) x = block(net, &t, &c, x, stage, i % 2);
            }
        x = hc_mean(net, hc_norm(net, "norm.", x, EPS), 0);
    }
    hc_timm_head(net, &t, "head.fc.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Microsoft's, which merge at the end of a stage: its number is one less. */
static const hc_name_rule MICROSOFT[] = {HC_RULE("visual.trunk.layers.1.downsample.*", "layers.0.downsample.*"),
                                         HC_RULE("visual.trunk.layers.2.downsample.*", "layers.1.downsample.*"),
                                         HC_RULE("visual.trunk.layers.3.downsample.*", "layers.2.downsample.*"),
                                         HC_RULE("visual.trunk.head.fc.*", "head.*"),
                                         HC_RULE("visual.trunk.*", "*"),
                                         {0}};

#define UNUSED .unused = {"relative_position_index", "attn_mask"}

const hc_family hc_swin = {
    "timm's SwinTransformer",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's. */
        {.anchors = {"visual.trunk.layers.0.blocks.0.attn.relative_position_bias_table"},
         .owned = {"visual."},
         .rules = HC_TIMM_AS_IS,
         UNUSED},
        /* timm's own checkpoint. */
        {.anchors = {"visual.trunk.layers.0.blocks.0.attn.relative_position_bias_table"},
         .owned = {""},
         .rules = HC_TIMM_BARE,
         UNUSED},
        {.anchors = {"visual.trunk.layers.1.downsample.norm.weight"}, .owned = {""}, .rules = MICROSOFT, UNUSED},
    }};
