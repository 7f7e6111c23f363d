/* swin.c: timm's SwinTransformer, after "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (Liu
 * et al., 2021): attention within windows of a grid, which every other block shifts by half their size, and grids that
 * merge to half their sides from stage to stage. */
#include "families/family.h"
#include "families/timm.h"

#include <string.h>

static const float EPS = 1e-5f;

enum { STAGES = HC_WINDOW_STAGES, MOST_BLOCKS = 64 };

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

/* A window's side for a grid of another side: it grows with the grid. */
static int scaled(int window, int side, int own_side)
{
    int64_t size = (int64_t)window * side / own_side;
    return size > HC_MAX_SIDE ? HC_MAX_SIDE : size > 1 ? (int)size : 1;
}

/* timm's calc_stage_window_sizes. */
static void put_resized(const hc_network *net, int height, int width, char text[HC_WINDOWS_TEXT])
{
    const hc_stage_windows *w = &net->stage_windows;
    int patch = w->patch_size, rows = net->image_height / patch, columns = net->image_width / patch;
    size_t at = 0;
    for (int i = 0; i < w->stages; i++, at += strlen(text + at))
        hc_format(text + at, HC_WINDOWS_TEXT - at, "%s[%d,%d]%s", i ? "," : "[",
                  scaled(w->height[i], height / patch, rows), scaled(w->across[i], width / patch, columns),
                  i + 1 < w->stages ? "" : "]");
}

static int read_side(hc_timm *t, const hc_json *value)
{
    return hc_option_integer_of(&t->args, "vision_cfg.timm_model_args.", "window_size", value, 1, HC_MAX_SIDE);
}

/* The first `room` integers of a list. Returns how many it has. */
static int read_sizes(hc_timm *t, const hc_json *list, int *sizes, int room)
{
    const char *cursor = NULL;
    hc_json value;
    int count = 0;
    for (; hc_json_next(list, &cursor, NULL, &value); count++)
        if (count < room) sizes[count] = read_side(t, &value);
    return count;
}

/* Windows of all stages, an integer or [height, across], or a list with one of these for each. */
static void read_windows(hc_timm *t, const config *c, hc_stage_windows *w)
{
    hc_json given = hc_option(&t->args, "window_size"), value;
    const char *cursor = NULL;
    int count = 0, sizes[2] = {1, 1}, is_list = given.type == HC_JSON_ARRAY, pairs = 0, entries = 0;
    while (is_list && hc_json_next(&given, &cursor, NULL, &value)) entries++, pairs += value.type == HC_JSON_ARRAY;
    int is_pair = is_list && entries == 2 && !pairs, wrong = is_list && !is_pair && entries != c->stages;
    cursor = NULL;
    for (; count < c->stages && !wrong; count++) {
        if (is_list && !is_pair) hc_json_next(&given, &cursor, NULL, &value);
        else value = given;
        if (value.type == HC_JSON_ARRAY) {
            wrong = read_sizes(t, &value, sizes, 2) != 2;
            w->height[count] = sizes[0];
            w->across[count] = sizes[1];
        } else {
            w->height[count] = value.type == HC_JSON_ABSENT ? c->windows[count] : read_side(t, &value);
            w->across[count] = w->height[count];
        }
    }
    if (wrong)
        hc_fail(t->args.problem, HC_MODEL_CONFIG,
                "vision_cfg.timm_model_args.window_size is %t, expected an integer, [height, width], or one of these "
                "for each of %d stages",
                given.text, given.length, c->stages);
}

static void read(hc_options *o, config *c, hc_timm *t, hc_stage_windows *w)
{
    static const char *const keys[] = {"embed_dim",   "depths",     "num_heads", "mlp_ratio",
                                       "window_size", "patch_size", NULL};
    hc_timm_read(o, c->image_size, keys, t);
    hc_options *args = &t->args;
    c->width = hc_option_integer(args, "embed_dim", c->width, 1, HC_MAX_WIDTH >> (STAGES - 1));
    c->patch_size = hc_option_integer(args, "patch_size", c->patch_size, 1, HC_MAX_SIDE);
    c->stages = hc_timm_list(t, "depths", c->blocks, 1, STAGES, MOST_BLOCKS);
    hc_timm_list(t, "num_heads", c->heads, c->stages, c->stages, HC_MAX_WIDTH);
    *w = (hc_stage_windows){.stages = c->stages, .patch_size = c->patch_size, .put_resized = put_resized};
    read_windows(t, c, w);
    for (int i = 0; i < c->stages && o->problem->status == HC_OK; i++) {
        int width = c->width << i, mlp_width = hc_timm_mlp_width(t, width, c->mlp_ratio);
        hc_timm_check_sizes(t, width, c->heads[i], mlp_width, c->patch_size);
    }
    hc_timm_check_mean(o, t);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

enum { MOST_DISTANCES = 512 }; /* for which time is taken to resize a table */

/* Of the distances within a window, a row each. */
static hc_value bias_table(hc_network *net, hc_windows w, int heads)
{
    int height = 2 * w.height - 1, across = 2 * w.across - 1;
    hc_value table = hc_parameter(net, "attn.relative_position_bias_table", 2, height * across, height * across, heads);
    if (height < MOST_DISTANCES && across < MOST_DISTANCES)
        net->tensors[net->values[table].tensor].places =
            (hc_places){HC_PLACES_GRID, 0, height, across, 1, hc_distance_made};
    return table;
}

/* Attention within windows of a normed grid. */
static hc_value attend(hc_network *net, const config *c, hc_value x, int stage, int shifted)
{
    hc_value_info grid = net->values[x];
    int width = grid.width, heads = c->heads[stage];
    if (net->problem->status != HC_OK) return x;
    hc_windows w = hc_windows_of(net, x, net->stage_windows.height[stage], net->stage_windows.across[stage], shifted);
    int grows = w.spare_rows || w.spare_columns;
    if (grows) x = hc_reframe(net, x, w.rows, w.columns);
    hc_value all = hc_linear(net, "attn.qkv.", x, (hc_linear_options){.n = 3 * width});
    hc_attention_options options = {
        .heads = heads, .bias = hc_window_bias(net, bias_table(net, w, heads), w), .windows = w};
    x = hc_attend(net, hc_columns(net, all, 0, width), hc_columns(net, all, width, width),
                  hc_columns(net, all, 2 * width, width), options);
    return grows ? hc_reframe(net, x, grid.height, grid.across) : x;
}

static hc_value block(hc_network *net, hc_timm *t, const config *c, hc_value x, int stage, int shifted)
{
    int width = net->values[x].width;
    hc_value seen = attend(net, c, hc_norm(net, "norm1.", x, EPS), stage, shifted);
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
    read(o, &c, &t, &net->stage_windows);
    if (o->problem->status != HC_OK) return;
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
