/* modified_resnet.c: OpenCLIP's ModifiedResNet (RN50 and its kin), after "Learning Transferable Visual Models From
 * Natural Language Supervision" (Radford et al., 2021) and open_clip/modified_resnet.py: a stem of three convolutions,
 * strides by average pooling, attention as the last pooling. */
#include "families/family.h"
#include "families/keys.h"
#include "families/openclip.h"

/* torch's nn.BatchNorm2d's. */
static const float EPS = 1e-5f;

enum { STAGES = 4, EXPANSION = 4, MOST_BLOCKS = 64 };

typedef struct config {
    int embed_dim, width, heads, image_size;
    int blocks[STAGES];
} config;

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static void read_layers(hc_options *o, config *c)
{
    hc_json layers = hc_option(o, "layers");
    if (hc_option_list(o, "layers", c->blocks, STAGES, MOST_BLOCKS) != STAGES)
        hc_fail(o->problem, HC_MODEL_CONFIG, "vision_cfg.layers is %t, expected the blocks of %d stages", layers.text,
                layers.length, (int)STAGES);
}

static void read(hc_options *o, config *c)
{
    hc_options_check_keys(o, &o->section, o->section_name, HC_VISION_KEYS);
    read_layers(o, c);
    c->width = hc_option_integer(o, "width", 64, 2, HC_MAX_WIDTH / 32);
    c->image_size = hc_option_integer(o, "image_size", 224, 32, HC_MAX_SIDE / 4);
    int features = 32 * c->width, head_width = hc_option_integer(o, "head_width", 64, 1, HC_MAX_WIDTH);
    c->heads = features / head_width;
    if (c->heads < 1 || features % c->heads)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "vision_cfg.head_width is %d, which makes %d heads of %d features, expected a number that divides them",
                head_width, c->heads, features);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

/* A convolution without a bias, with BatchNorm `norm`. */
static hc_value conv(hc_network *net, const char *name, const char *norm, hc_value x, hc_conv_options o)
{
    o.fold = hc_batch_norm(net, norm, o.n, EPS);
    return hc_conv(net, name, x, o);
}

static hc_value stem(hc_network *net, const config *c)
{
    int half = c->width / 2;
    hc_value x = conv(
        net, "conv1.", "bn1.", hc_pixels(net),
        (hc_conv_options){.n = half, .kernel = 3, .stride = 2, .padding = 1, .keep_half = 1, .activation = HC_RELU});
    x = conv(net, "conv2.", "bn2.", x, (hc_conv_options){.n = half, .kernel = 3, .padding = 1, .activation = HC_RELU});
    x = conv(net, "conv3.", "bn3.", x,
             (hc_conv_options){.n = c->width, .kernel = 3, .padding = 1, .activation = HC_RELU});
    return hc_average_pool(net, x, (hc_pool_options){.size = 2, .stride = 2});
}

static hc_value bottleneck(hc_network *net, hc_value x, int planes, int stride)
{
    int n = planes * EXPANSION, shrinks = stride > 1 || net->values[x].width != n;
    hc_value out = conv(net, "conv1.", "bn1.", x, (hc_conv_options){.n = planes, .activation = HC_RELU});
    out = conv(net, "conv2.", "bn2.", out,
               (hc_conv_options){.n = planes, .kernel = 3, .padding = 1, .activation = HC_RELU});
    if (stride > 1) {
        hc_pool_options pool = {.size = stride, .stride = stride};
        out = hc_average_pool(net, out, pool);
        x = hc_average_pool(net, x, pool);
    }
    if (shrinks) x = conv(net, "downsample.0.", "downsample.1.", x, (hc_conv_options){.n = n});
    return conv(net, "conv3.", "bn3.", out,
                (hc_conv_options){.n = n, .add = x, .activation = HC_RELU, .activate_last = 1});
}

/* AttentionPool2d: the mean of all pixels looks at them, and at itself. */
static hc_value attention_pool(hc_network *net, const config *c, hc_value x)
{
    int features = net->values[x].width;
    hc_value seen = hc_mean_first(net, "positional_embedding", 0, x);
    hc_value q = hc_linear(net, "q_proj.", hc_pick(net, seen), (hc_linear_options){.n = features});
    hc_value k = hc_linear(net, "k_proj.", seen, (hc_linear_options){.n = features});
    hc_value v = hc_linear(net, "v_proj.", seen, (hc_linear_options){.n = features});
    hc_value pooled = hc_attend(net, q, k, v, (hc_attention_options){.heads = c->heads});
    return hc_linear(net, "c_proj.", pooled, (hc_linear_options){.n = c->embed_dim, .keep_half = 1});
}

static void build(hc_network *net, hc_options *o)
{
    config c = {.embed_dim = hc_embed_dim(o)};
    read(o, &c);
    if (o->problem->status != HC_OK) return;
    net->image_height = net->image_width = c.image_size;
    HC_IN(net, "visual.", 0)
    {
        hc_value x = stem(net, &c);
        for (int stage = 0; stage < STAGES; stage++)
            for (int block = 0; block < c.blocks[stage]; block++) HC_IN(net, "layer%d.", stage + 1)
        HC_IN(net, "%d.", block)
        x = bottleneck(net, x, c.width << stage, stage && !block ? 2 : 1);
        int side = c.image_size / 32, height = net->values[x].height;
        if (height != side)
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                    "vision_cfg.image_size is %d, whose last grid has %d rows, expected %d: OpenCLIP has positions for "
                    "image_size / 32",
                    c.image_size, height, side);
        HC_IN(net, "attnpool.", 0) hc_result(net, attention_pool(net, &c, x));
    }
}

static int answers(const hc_options *o)
{
    hc_json layers = hc_option(o, "layers");
    return !hc_option_flag(o, "timm_model_name") && layers.type == HC_JSON_ARRAY;
}

static const hc_name_rule AS_IS[] = {HC_RULE("visual.*", "visual.*"), {0}};
static const hc_name_rule BARE[] = {HC_RULE("visual.*", "*"), {0}};

#define ANCHORS .anchors = {"visual.layer1.0.conv1.weight", "visual.attnpool.c_proj.weight"}

const hc_family hc_modified_resnet = {
    "OpenCLIP's ModifiedResNet",
    HC_IMAGE,
    answers,
    build,
    {
        /* OpenCLIP's CLIP and CustomTextCLIP; OpenAI; CLIP4Clip. */
        {ANCHORS, .owned = {"visual."}, .rules = AS_IS, .unused = {"num_batches_tracked"}},
        /* A ModifiedResNet's own state dict. */
        {ANCHORS, .owned = {""}, .rules = BARE, .unused = {"num_batches_tracked"}},
    }};
