/* convnext.c: timm's ConvNeXt, after "A ConvNet for the 2020s" (Liu et al., 2022) and "ConvNeXt V2" (Woo et al., 2023):
 * each block a depthwise convolution of 7 x 7 or less and an MLP of each pixel, in four stages, each at half the sides.
 */
#include "families/family.h"
#include "families/timm.h"
#include "operations/real.h"

enum { STAGES = 4, MOST_BLOCKS = 64, MLP_RATIO = 4 };

static const float RESPONSE_EPS = 1e-6f; /* timm's GlobalResponseNorm's */

typedef enum stem_kind { PATCHES, OVERLAP, OVERLAP_TIERED, OVERLAP_ACTIVATED } stem_kind;

typedef enum norm_kind { LAYER_NORM, RMS_NORM, SIMPLE_NORM } norm_kind;

typedef struct config {
    const char *name; /* timm's; what follows is what it stands for */
    int image_size;
    int blocks[STAGES], widths[STAGES];
    int kernels[STAGES]; /* height and width of the windows */
    stem_kind stem;
    norm_kind norm;
    float eps;
    hc_activation activation;
    int conv_mlp;        /* weights of an MLP are those of convolutions of 1 x 1 */
    int response;        /* V2's Global Response Normalization                   */
    int layer_scale;     /* V1's                                                 */
    int head_norm_first; /* before the average in place of after it              */
    int head_hidden;     /* width of the head's hidden layer; 0: there is none   */
} config;

static const config SIZES[] = {
#include "families/convnext_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"depths", "dims", "head_hidden_size", NULL};
    hc_timm_read(o, c->image_size, keys, t);
    hc_timm_list(t, "depths", c->blocks, STAGES, STAGES, MOST_BLOCKS);
    hc_timm_list(t, "dims", c->widths, STAGES, STAGES, HC_MAX_WIDTH);
    if (hc_option_given(&t->args, "head_hidden_size"))
        c->head_hidden = hc_option_integer(&t->args, "head_hidden_size", 0, 1, HC_MAX_WIDTH);
    for (int i = 0; i < STAGES; i++) hc_timm_check_sizes(t, c->widths[i], 1, MLP_RATIO * c->widths[i], 4);
    if (t->image_height < 32 || t->image_width < 32)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "vision_cfg.image_size is %d by %d, expected 32 or more",
                t->image_height, t->image_width);
    if (c->norm == SIMPLE_NORM)
        for (int i = 0; i < STAGES; i++)
            if (c->widths[i] < 2)
                hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                        "vision_cfg: a width of 1, of which no deviation can be taken");
    int width = c->widths[STAGES - 1];
    hc_timm_check_grid(o, t, width);
    if (hc_timm_attends(t) && c->head_hidden && c->head_hidden != width)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.timm_pool is attention behind a hidden layer of %d channels, expected %d, those before it",
                c->head_hidden, width);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

/* timm's make_divisible(width / 2): to a multiple of 8, and not much less. */
static int half_width(int width)
{
    int half = width / 2, rounded = (half + 4) / 8 * 8;
    if (rounded < 8) rounded = 8;
    return 10 * rounded < 9 * half ? rounded + 8 : rounded;
}

/* The norm that the name stands for, done by whatever reads the value. */
static hc_value norm(hc_network *net, const config *c, const char *name, hc_value x)
{
    switch (c->norm) {
    case RMS_NORM: return hc_rms_norm_of(net, name, x, c->eps);
    case SIMPLE_NORM: return hc_simple_norm(net, name, x, c->eps);
    case LAYER_NORM: break;
    }
    return hc_norm(net, name, x, c->eps);
}

static hc_value stem(hc_network *net, const config *c)
{
    int width = c->widths[0];
    if (c->stem == PATCHES) {
        hc_patches_options patches = {.width = width, .patch_height = 4, .patch_width = 4, .bias = 1};
        return hc_real(net, norm(net, c, "stem.1.", hc_patches(net, "stem.0.", patches)));
    }
    int activated = c->stem == OVERLAP_ACTIVATED;
    hc_conv_options first = {.n = c->stem == OVERLAP_TIERED ? half_width(width) : width,
                             .kernel = 3,
                             .stride = 2,
                             .padding = 1,
                             .keep_half = 1,
                             .activation = activated ? c->activation : HC_IDENTITY},
                    second = {.n = width, .kernel = 3, .stride = 2, .padding = 1};
    hc_value x = hc_conv(net, "stem.0.", hc_pixels(net), first);
    x = hc_conv(net, activated ? "stem.2." : "stem.1.", x, second);
    return hc_real(net, norm(net, c, activated ? "stem.3." : "stem.2.", x));
}

static hc_value block(hc_network *net, const config *c, hc_value x, int width, int kernel)
{
    hc_value seen =
        hc_depthwise_conv(net, "conv_dw.", x, (hc_conv_options){.n = width, .kernel = kernel, .padding = kernel / 2});
    hc_value hidden =
        hc_linear(net, "mlp.fc1.", norm(net, c, "norm.", seen),
                  (hc_linear_options){.n = MLP_RATIO * width, .convolution = c->conv_mlp, .activation = c->activation});
    if (c->response) hidden = hc_response_norm(net, "mlp.grn.", hidden, RESPONSE_EPS);
    return hc_linear(net, "mlp.fc2.", hidden,
                     (hc_linear_options){
                         .n = width, .convolution = c->conv_mlp, .gamma = c->layer_scale ? "gamma" : NULL, .add = x});
}

static hc_value stage(hc_network *net, const config *c, hc_value x, int number)
{
    int width = c->widths[number];
    if (number)
        x = hc_conv(net, "downsample.1.", norm(net, c, "downsample.0.", x),
                    (hc_conv_options){.n = width, .kernel = 2, .stride = 2});
    for (int i = 0; i < c->blocks[number]; i++)
        HC_IN(net, "blocks.%d.", i) x = block(net, c, x, width, c->kernels[number]);
    return x;
}

/* What timm's ClassifierHead and NormMlpClassifierHead do before the classifier; of each pixel where all are looked at
 * afterwards. */
static hc_value head(hc_network *net, const config *c, hc_value x, int is_grid)
{
    if (c->head_norm_first) {
        x = norm(net, c, "norm_pre.", x);
        return is_grid ? x : hc_mean(net, x, 0);
    }
    x = norm(net, c, "head.norm.", is_grid ? x : hc_mean(net, x, 0));
    if (!c->head_hidden) return x;
    return hc_linear(net, "head.pre_logits.fc.", x,
                     (hc_linear_options){.n = c->head_hidden, .convolution = is_grid, .activation = HC_GELU});
}

static void build(hc_network *net, hc_options *o)
{
    config c = *find(o);
    hc_timm t;
    read(o, &c, &t);
    if (o->problem->status != HC_OK) return;
    net->image_height = t.image_height;
    net->image_width = t.image_width;
    hc_value x;
    HC_IN(net, "visual.trunk.", 0)
    {
        x = stem(net, &c);
        for (int i = 0; i < STAGES; i++) HC_IN(net, "stages.%d.", i) x = stage(net, &c, x, i);
        x = head(net, &c, x, hc_timm_attends(&t));
    }
    hc_timm_head(net, &t, "head.fc.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Facebook's, the authors'. */
#define STAGE(number)                                                                              \
    HC_RULE("visual.trunk.stages." number ".blocks.#.conv_dw.*", "stages." number ".#.dwconv.*"),  \
        HC_RULE("visual.trunk.stages." number ".blocks.#.mlp.fc*", "stages." number ".#.pwconv*"), \
        HC_RULE("visual.trunk.stages." number ".blocks.#.*", "stages." number ".#.*")
static const hc_name_rule FACEBOOK[] = {HC_RULE("visual.trunk.stem.*", "downsample_layers.0.*"),
                                        HC_RULE("visual.trunk.stages.#.downsample.*", "downsample_layers.#.*"),
                                        STAGE("0"),
                                        STAGE("1"),
                                        STAGE("2"),
                                        STAGE("3"),
                                        HC_RULE("visual.trunk.head.norm.*", "norm.*"),
                                        HC_RULE("visual.trunk.head.fc.*", "head.*"),
                                        {0}};

#define ANCHORS .anchors = {"visual.trunk.stages.0.blocks.0.conv_dw.weight"}

const hc_family hc_convnext = {"timm's ConvNeXt",
                               HC_IMAGE,
                               answers,
                               build,
                               {
                                   /* OpenCLIP's. */
                                   {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS},
                                   /* timm's own checkpoint. */
                                   {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE},
                                   {ANCHORS, .owned = {""}, .rules = FACEBOOK},
                               }};
