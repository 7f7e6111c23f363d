/* vitamin.c: timm's ViTamin (Chen et al., "ViTamin: Designing Scalable Vision Models in the Vision-Language Era",
 * 2024): a stem and two stages of MBConv blocks with LayerNorm, then a VisionTransformer with GEGLU
 * (timm/models/vitamin.py). */
#include "families/family.h"
#include "families/timm_blocks.h"

static const float EPS = 1e-6f;

/* No matrix of the stages is larger than it may be, then. */
enum { STAGES = 2, MOST_BLOCKS = 64, MOST_WIDTH = HC_MAX_WIDTH / 8 };

typedef struct config {
    const char *name;
    int stem_width, widths[STAGES], depths[STAGES];
    hc_timm_vit_config vit;
} config;

static const config SIZES[] = {
#include "families/vitamin_sizes.inc"
};

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- options ------------------------------------------------------------------------------------------------------
 */

/* Numbers of the stages, and one more. */
static void read_stages(hc_options *o, const char *key, int numbers[STAGES + 1], int most)
{
    hc_json list = hc_option(o, key);
    if (hc_option_given(o, key) && hc_option_list(o, key, numbers, STAGES + 1, most) != STAGES + 1)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.%s is %t, expected %d numbers", o->section_name, key, list.text,
                list.length, STAGES + 1);
}

/* embed_cfg, timm's VitCfg: the stem's width, and the widths and numbers of blocks of the stages. The last of its
 * widths is the transformer's, and the last of its numbers of blocks is not looked at. */
static void read_stem(hc_timm *t, config *c)
{
    static const char *const keys[] = {"stem_width", "embed_dim", "depths", NULL};
    int widths[STAGES + 1] = {c->widths[0], c->widths[1], c->vit.width},
                        depths[STAGES + 1] = {c->depths[0], c->depths[1], 1};
    hc_options o = t->args;
    o.section = hc_option(&t->args, "embed_cfg");
    o.section_name = "vision_cfg.timm_model_args.embed_cfg";
    if (!hc_option_given(&t->args, "embed_cfg")) return;
    if (o.section.type != HC_JSON_OBJECT) {
        hc_fail(o.problem, HC_MODEL_CONFIG, "%s is %t, expected an object", o.section_name, o.section.text,
                o.section.length);
        return;
    }
    hc_options_check_keys(&o, &o.section, o.section_name, keys);
    c->stem_width = hc_option_integer(&o, "stem_width", c->stem_width, 1, MOST_WIDTH);
    read_stages(&o, "embed_dim", widths, HC_MAX_WIDTH);
    read_stages(&o, "depths", depths, MOST_BLOCKS);
    for (int i = 0; i < STAGES; i++) {
        c->widths[i] = widths[i];
        c->depths[i] = depths[i];
        if (widths[i] > MOST_WIDTH)
            hc_fail(o.problem, HC_MODEL_UNSUPPORTED, "%s.embed_dim has a stage of %d channels, expected at most %d",
                    o.section_name, widths[i], (int)MOST_WIDTH);
    }
    if (widths[STAGES] != c->vit.width)
        hc_fail(o.problem, HC_MODEL_UNSUPPORTED, "%s.embed_dim ends with %d channels, the transformer has %d",
                o.section_name, widths[STAGES], c->vit.width);
}

/* ---- the stages ---------------------------------------------------------------------------------------------------
 */

static hc_value conv(hc_network *net, const char *name, hc_value x, int n, int stride, int first)
{
    return hc_conv(net, name, x,
                   (hc_conv_options){.n = n, .kernel = 3, .stride = stride, .padding = 1, .keep_half = first});
}

static hc_value stem(hc_network *net, const config *c)
{
    hc_value x = conv(net, "conv1.", hc_pixels(net), c->stem_width, 2, 1);
    x = hc_activated(net, hc_norm(net, "norm1.", x, EPS), HC_GELU);
    return conv(net, "conv2.", x, c->stem_width, 1, 0);
}

/* MbConvLNBlock: wider by a factor of four, rounded to eighths, in between. */
static hc_value mb_conv(hc_network *net, hc_value x, int n, int stride)
{
    int hidden = (4 * n + 4) / 8 * 8;
    hc_value shortcut =
        stride > 1 ? hc_average_pool(net, x, (hc_pool_options){.size = 3, .stride = stride, .padding = 1}) : x;
    if (net->values[x].width != n) shortcut = hc_conv(net, "shortcut.expand.", shortcut, (hc_conv_options){.n = n});
    x = hc_conv(net, "conv1_1x1.", hc_norm(net, "pre_norm.", x, EPS),
                (hc_conv_options){.n = hidden, .activation = HC_GELU});
    x = hc_depthwise_conv(
        net, "conv2_kxk.", x,
        (hc_conv_options){.n = hidden, .kernel = 3, .stride = stride, .padding = 1, .activation = HC_GELU});
    return hc_conv(net, "conv3_1x1.", x, (hc_conv_options){.n = n, .add = shortcut});
}

static hc_value stages(hc_network *net, const config *c)
{
    hc_value x;
    HC_IN(net, "stem.", 0) x = stem(net, c);
    for (int stage = 0; stage < STAGES; stage++)
        for (int block = 0; block < c->depths[stage]; block++) HC_IN(net, "stages.%d.", stage)
    HC_IN(net, "%d.", block)
    x = mb_conv(net, x, c->widths[stage], block ? 1 : 2);
    HC_IN(net, "pool.", 0) x = conv(net, "proj.", hc_norm(net, "norm.", x, EPS), c->vit.width, 2, 0);
    return x;
}

static void build(hc_network *net, hc_options *o)
{
    static const char *const keys[] = {"embed_dim", "depth", "num_heads", "mlp_ratio", "embed_cfg", NULL};
    config c = *find(o);
    hc_timm t;
    hc_timm_vit_read(o, &c.vit, keys, &t);
    read_stem(&t, &c);
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        HC_IN(net, "patch_embed.backbone.", 0) x = stages(net, &c);
        if (!(c.vit.flags & HC_VIT_NO_POSITIONS))
            x = hc_prepend(net, x, (hc_prepend_options){.positions = "pos_embed"});
        x = hc_timm_vit_blocks(net, &c.vit, &t, x);
    }
    hc_timm_vit_finish(net, &c.vit, &t, x);
}

#define ANCHORS .anchors = {"visual.trunk.patch_embed.backbone.pool.proj.weight"}

const hc_family hc_vitamin = {"timm's ViTamin",
                              HC_IMAGE,
                              answers,
                              build,
                              {
                                  {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS},
                                  {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE},
                              }};
