/* fastvit.c: timm's FastVit: "FastViT: A Fast Hybrid Vision Transformer using Structural Reparameterization" (Vasu et
 * al., 2023), and the image towers of MobileCLIP S0 to S4 (Vasu et al., 2024; Faghri et al., 2025). Convolutions are
 * trained as several branches; a file has these, or what they add up to ("reparam_conv"). */
#include "families/family.h"
#include "families/timm.h"

static const float EPS = 1e-5f;

enum { STAGES = 5, HEAD_DIM = 32, LARGE = 7, EXPANSION = 2 };

typedef struct config {
    const char *name;
    int stages, layers[STAGES], widths[STAGES];
    int mlp_ratio;
    int attention_from; /* the first stage that has attention, and positions before it; `stages`: none     */
    int excite_from;    /* the first one whose downsampling has squeeze-and-excitation; `stages`: none     */
    int activates;      /* whether downsampling activates after its large kernel                           */
    int layer_norm;     /* before attention, in place of BatchNorm                                         */
    int stem_scale;     /* whether the stem is trained with 1 × 1 branches                                 */
} config;

static const config SIZES[] = {
#include "families/fastvit_sizes.inc"
};

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static const config *find(const hc_options *o)
{
    return hc_timm_find(o, SIZES, sizeof SIZES / sizeof *SIZES, sizeof *SIZES);
}

/* A list with a number for each stage, in place of those of the name. */
static void read_stages(hc_options *args, const char *key, int stages, int high, int *to)
{
    hc_json list = hc_option(args, key);
    if (hc_option_given(args, key) && hc_option_list(args, key, to, stages, high) != stages)
        hc_fail(args->problem, HC_MODEL_CONFIG, "vision_cfg.timm_model_args.%s is %t, expected %d numbers", key,
                list.text, list.length, stages);
}

static void check_sizes(hc_options *args, const config *c)
{
    for (int i = 0; i < c->stages; i++) {
        int width = c->widths[i];
        if (i && width % c->widths[i - 1])
            hc_fail(args->problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg.timm_model_args.embed_dims: %d after %d, expected a multiple", width, c->widths[i - 1]);
        if (i >= c->attention_from && width % HEAD_DIM)
            hc_fail(args->problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg.timm_model_args.embed_dims: %d, expected a multiple of %d, the width of a head", width,
                    (int)HEAD_DIM);
    }
}

static void read(hc_options *o, config *c, hc_timm *t)
{
    static const char *const keys[] = {"layers", "embed_dims", NULL};
    hc_timm_read(o, 256, keys, t);
    read_stages(&t->args, "layers", c->stages, HC_MAX_LAYERS, c->layers);
    read_stages(&t->args, "embed_dims", c->stages, HC_MAX_WIDTH / EXPANSION, c->widths);
    hc_timm_check_grid(o, t, EXPANSION * c->widths[c->stages - 1]);
    check_sizes(&t->args, c);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

static hc_tensor_id layer_scale(hc_network *net, const char *name, int n)
{
    return hc_network_tensor(net, name, "", HC_FLOATS, 3, n, 1, 1, 0);
}

/* SqueezeExcite: channels by what all pixels have on average. */
static hc_value squeeze_excite(hc_network *net, hc_value x, int hidden, hc_activation activation)
{
    int n = net->values[x].width;
    hc_value gate = hc_mean(net, x, 0);
    gate = hc_conv(net, "se.fc1.", gate, (hc_conv_options){.n = hidden, .keep_half = 1, .activation = HC_RELU});
    return hc_excite(net, x, hc_conv(net, "se.fc2.", gate, (hc_conv_options){.n = n, .keep_half = 1}), activation);
}

/* MobileOneBlock: a convolution, a smaller one, and the identity where it fits, each with BatchNorm. */
static hc_value mobile_one(hc_network *net, hc_value x, hc_conv_options o, int depthwise, int scale)
{
    int fits = net->values[x].width == o.n && o.stride < 2;
    o.padding = o.kernel / 2;
    x = depthwise ? hc_depthwise_conv(net, "reparam_conv.", x, o) : hc_conv(net, "reparam_conv.", x, o);
    hc_trained_as(
        net, (hc_branch_options){.conv = "conv_kxk.0.conv.", .kernel = o.kernel, .norm = "conv_kxk.0.bn.", .eps = EPS});
    if (o.kernel > 1 && scale)
        hc_trained_as(
            net, (hc_branch_options){.conv = "conv_scale.conv.", .kernel = 1, .norm = "conv_scale.bn.", .eps = EPS});
    if (fits) hc_trained_as(net, (hc_branch_options){.norm = "identity.", .eps = EPS});
    return x;
}

static hc_value stem(hc_network *net, const config *c)
{
    hc_conv_options o = {.n = c->widths[0], .kernel = 3, .stride = 2, .keep_half = 1, .activation = HC_GELU};
    hc_value x = hc_pixels(net);
    HC_IN(net, "stem.0.", 0) x = mobile_one(net, x, o, 0, c->stem_scale);
    HC_IN(net, "stem.1.", 0) x = mobile_one(net, x, o, 1, c->stem_scale);
    o.kernel = o.stride = 1;
    o.keep_half = 0;
    HC_IN(net, "stem.2.", 0) x = mobile_one(net, x, o, 0, 0);
    return x;
}

/* PatchEmbed: ReparamLargeKernelConv, then all channels. */
static hc_value downsample(hc_network *net, const config *c, hc_value x, int stage)
{
    int n = c->widths[stage], excites = stage >= c->excite_from, hidden = (n / 4 + 4) / 8 * 8;
    hc_activation activation = c->activates ? HC_GELU : HC_IDENTITY;
    HC_IN(net, "downsample.proj.0.", 0)
    {
        x = hc_depthwise_conv(net, "reparam_conv.", x,
                              (hc_conv_options){.n = n,
                                                .kernel = LARGE,
                                                .stride = 2,
                                                .padding = LARGE / 2,
                                                .activation = excites ? HC_IDENTITY : activation});
        hc_trained_as(net, (hc_branch_options){
                               .conv = "large_conv.conv.", .kernel = LARGE, .norm = "large_conv.bn.", .eps = EPS});
        hc_trained_as(
            net, (hc_branch_options){.conv = "small_conv.conv.", .kernel = 3, .norm = "small_conv.bn.", .eps = EPS});
        if (excites) x = squeeze_excite(net, x, hidden < 8 ? 8 : hidden, activation);
    }
    HC_IN(net, "downsample.proj.1.", 0)
    x = mobile_one(net, x, (hc_conv_options){.n = n, .kernel = 1, .activation = HC_GELU}, 0, 0);
    return x;
}

/* RepConditionalPosEnc: positions as a convolution. */
static hc_value positions(hc_network *net, hc_value x)
{
    hc_conv_options o = {.n = net->values[x].width, .kernel = LARGE, .padding = LARGE / 2};
    HC_IN(net, "pos_emb.", 0)
    {
        x = hc_depthwise_conv(net, "reparam_conv.", x, o);
        hc_trained_as(net, (hc_branch_options){.conv = "pos_enc.", .kernel = LARGE, .biased = 1});
        hc_trained_as(net, (hc_branch_options){.kernel = 0});
    }
    return x;
}

/* RepMixer: x + layer_scale * (mixer(x) - norm(x)). */
static hc_value rep_mixer(hc_network *net, hc_value x)
{
    int n = net->values[x].width;
    HC_IN(net, "token_mixer.", 0)
    {
        hc_tensor_id gamma = layer_scale(net, "layer_scale.gamma", n);
        x = hc_depthwise_conv(net, "reparam_conv.", x, (hc_conv_options){.n = n, .kernel = 3, .padding = 1});
        hc_trained_as(net, (hc_branch_options){.kernel = 0});
        hc_trained_as(net, (hc_branch_options){.conv = "mixer.conv_kxk.0.conv.",
                                               .kernel = 3,
                                               .norm = "mixer.conv_kxk.0.bn.",
                                               .eps = EPS,
                                               .gamma = gamma});
        hc_trained_as(net, (hc_branch_options){.conv = "mixer.conv_scale.conv.",
                                               .kernel = 1,
                                               .norm = "mixer.conv_scale.bn.",
                                               .eps = EPS,
                                               .gamma = gamma});
        hc_trained_as(net, (hc_branch_options){.norm = "mixer.identity.", .eps = EPS, .gamma = gamma});
        hc_trained_as(net,
                      (hc_branch_options){.norm = "norm.identity.", .eps = EPS, .gamma = gamma, .is_taken_away = 1});
    }
    return x;
}

static hc_value attention(hc_network *net, const config *c, hc_value x)
{
    int n = net->values[x].width;
    hc_value normed = c->layer_norm ? hc_norm(net, "norm.", x, EPS) : hc_batch_normed(net, "norm.", x, EPS);
    hc_value all = hc_linear(net, "token_mixer.qkv.", normed, (hc_linear_options){.n = 3 * n, .plain = 1});
    hc_value seen = hc_attend(net, hc_columns(net, all, 0, n), hc_columns(net, all, n, n),
                              hc_columns(net, all, 2 * n, n), (hc_attention_options){.heads = n / HEAD_DIM});
    hc_tensor_id matrix = hc_weight(net, "token_mixer.proj.weight", n, n, (hc_matrix_options){0}),
                 bias = hc_vector(net, "token_mixer.proj.bias", n);
    return hc_multiply(net, "token_mixer.proj.", seen, matrix, bias, 0, n,
                       (hc_finish){.gamma = layer_scale(net, "layer_scale_1.gamma", n), .add = x});
}

static hc_value block(hc_network *net, const config *c, hc_value x, int attends)
{
    int n = net->values[x].width;
    x = attends ? attention(net, c, x) : rep_mixer(net, x);
    hc_value hidden = hc_depthwise_conv(
        net, "mlp.conv.conv.", x,
        (hc_conv_options){
            .n = n, .kernel = LARGE, .padding = LARGE / 2, .fold = hc_batch_norm(net, "mlp.conv.bn.", n, EPS)});
    hidden = hc_conv(net, "mlp.fc1.", hidden, (hc_conv_options){.n = n * c->mlp_ratio, .activation = HC_GELU});
    hc_tensor_id gamma = layer_scale(net, attends ? "layer_scale_2.gamma" : "layer_scale.gamma", n);
    return hc_conv(net, "mlp.fc2.", hidden, (hc_conv_options){.n = n, .gamma = gamma, .add = x});
}

static hc_value last(hc_network *net, hc_value x)
{
    int n = EXPANSION * net->values[x].width;
    HC_IN(net, "final_conv.", 0)
    {
        x = mobile_one(net, x, (hc_conv_options){.n = n, .kernel = 3}, 1, 1);
        x = squeeze_excite(net, x, n < 24 ? 1 : (n + 8) / 16, HC_GELU);
    }
    return x;
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
        for (int stage = 0; stage < c.stages; stage++) HC_IN(net, "stages.%d.", stage)
            {
                int attends = stage >= c.attention_from;
                if (stage) x = downsample(net, &c, x, stage);
                if (attends) x = positions(net, x);
                for (int i = 0; i < c.layers[stage]; i++) HC_IN(net, "blocks.%d.", i) x = block(net, &c, x, attends);
            }
        x = last(net, x);
        if (!hc_timm_attends(&t)) x = hc_mean(net, x, 0);
    }
    hc_timm_head(net, &t, "head.fc.", x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Apple's MobileCLIP, whose stages, downsampling and positions are one sequence, as timm's checkpoint_filter_fn reads
 * it. */
static const hc_name_rule APPLE[] = {HC_RULE("visual.trunk.stem.*", "patch_embed.*"),
                                     HC_RULE("visual.trunk.stages.0.blocks.*", "network.0.*"),
                                     HC_RULE("visual.trunk.stages.1.downsample.*", "network.1.*"),
                                     HC_RULE("visual.trunk.stages.1.blocks.*", "network.2.*"),
                                     HC_RULE("visual.trunk.stages.2.downsample.*", "network.3.*"),
                                     HC_RULE("visual.trunk.stages.2.blocks.*", "network.4.*"),
                                     HC_RULE("visual.trunk.stages.3.downsample.*", "network.5.*"),
                                     HC_RULE("visual.trunk.stages.3.pos_emb.pos_enc.*", "network.6.pe.*"),
                                     HC_RULE("visual.trunk.stages.3.blocks.*", "network.7.*"),
                                     HC_RULE("visual.trunk.stages.4.downsample.*", "network.8.*"),
                                     HC_RULE("visual.trunk.stages.4.pos_emb.pos_enc.*", "network.9.pe.*"),
                                     HC_RULE("visual.trunk.stages.4.blocks.*", "network.10.*"),
                                     HC_RULE("visual.trunk.final_conv.*", "conv_exp.*"),
                                     HC_LINEAR_RULE("visual.trunk.head.fc.weight", "head.proj"),
                                     HC_ZEROS_RULE("visual.trunk.head.fc.bias"),
                                     {0}};

static const char *const APPLE_PIECES[][2] = {{"conv_kxk", "rbr_conv"},
                                              {"conv_scale", "rbr_scale"},
                                              {"identity", "rbr_skip"},
                                              {"large_conv", "lkb_origin"},
                                              {".mlp.", ".convffn."},
                                              {"se.fc1", "se.reduce"},
                                              {"se.fc2", "se.expand"},
                                              {".gamma", ""},
                                              {NULL, NULL}};

#define ANCHORS .anchors = {"visual.trunk.final_conv.se.fc1.weight", "visual.trunk.stages.0.blocks.0.mlp.fc1.weight"}

const hc_family hc_fastvit = {
    "timm's FastVit",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's. */
        {ANCHORS, .owned = {"visual."}, .rules = HC_TIMM_AS_IS, .unused = {"num_batches_tracked"}},
        /* timm's own checkpoint. */
        {ANCHORS, .owned = {""}, .rules = HC_TIMM_BARE, .unused = {"num_batches_tracked"}},
        {ANCHORS, .owned = {"image_encoder."}, .rules = APPLE, .unused = {"num_batches_tracked"},
         .prefix = "image_encoder.model.", .pieces = APPLE_PIECES},
    }};
