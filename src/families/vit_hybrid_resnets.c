/* vit_hybrid_resnets.c: see vit_hybrid.h. */
#include "families/vit_hybrid.h"

enum { GROUPS = 32, STEM_PART = 4, BOTTLENECK = 4 };

static const float NORM_EPS = 1e-5f, STANDARD_EPS = 1e-8f;

static int stride_of(int stage, int block) { return stage && !block ? 2 : 1; }

/* ---- ResNetV2 -----------------------------------------------------------------------------------------------------
 */

static hc_value standard_conv(hc_network *net, const char *name, hc_value x, hc_conv_options o)
{
    o.same = o.plain = 1;
    o.standard_eps = STANDARD_EPS;
    return hc_conv(net, name, x, o);
}

static hc_value group_norm(hc_network *net, const char *name, hc_value x, hc_value add, hc_activation activation)
{
    hc_group_norm_options o = {.groups = GROUPS, .eps = NORM_EPS, .add = add, .activation = activation};
    return hc_group_norm(net, name, x, o);
}

static hc_value stem_v2(hc_network *net, int n, hc_value x)
{
    x = standard_conv(net, "conv.", x, (hc_conv_options){.n = n, .kernel = 7, .stride = 2, .keep_half = 1});
    x = group_norm(net, "norm.", x, 0, HC_RELU);
    return hc_max_pool(net, x, (hc_pool_options){.size = 3, .stride = 2, .same = 1});
}

static hc_value block_v2(hc_network *net, hc_value x, int n, int stride, int first)
{
    int narrow = n / BOTTLENECK;
    hc_value out = standard_conv(net, "conv1.", x, (hc_conv_options){.n = narrow});
    out = group_norm(net, "norm1.", out, 0, HC_RELU);
    out = standard_conv(net, "conv2.", out, (hc_conv_options){.n = narrow, .kernel = 3, .stride = stride});
    out = group_norm(net, "norm2.", out, 0, HC_RELU);
    if (first) {
        x = standard_conv(net, "downsample.conv.", x, (hc_conv_options){.n = n, .stride = stride});
        x = group_norm(net, "downsample.norm.", x, 0, HC_IDENTITY);
    }
    out = standard_conv(net, "conv3.", out, (hc_conv_options){.n = n});
    return group_norm(net, "norm3.", out, x, HC_RELU);
}

hc_value hc_resnet_v2(hc_network *net, const hc_resnet *r, hc_value x)
{
    /* The stem alone is not behind a name of its own. */
    HC_IN(net, r->stages ? "stem." : "", 0) x = stem_v2(net, r->channels[0] / STEM_PART, x);
    for (int stage = 0; stage < r->stages; stage++)
        for (int i = 0; i < r->blocks[stage]; i++) HC_IN(net, "stages.%d.", stage)
    HC_IN(net, "blocks.%d.", i) x = block_v2(net, x, r->channels[stage], stride_of(stage, i), !i);
    return x;
}

/* ---- ResNet-D -----------------------------------------------------------------------------------------------------
 */

/* With BatchNorm `norm`. */
static hc_value conv(hc_network *net, const char *name, const char *norm, hc_value x, hc_conv_options o)
{
    o.padding = o.kernel / 2;
    o.fold = hc_batch_norm(net, norm, o.n, NORM_EPS);
    return hc_conv(net, name, x, o);
}

static hc_value stem_d(hc_network *net, int n, hc_value x)
{
    hc_conv_options o = {.n = n / 2, .kernel = 3, .stride = 2, .keep_half = 1, .activation = HC_RELU};
    x = conv(net, "conv1.0.", "conv1.1.", x, o);
    o.stride = 1;
    o.keep_half = 0;
    x = conv(net, "conv1.3.", "conv1.4.", x, o);
    o.n = n;
    x = conv(net, "conv1.6.", "bn1.", x, o);
    return hc_max_pool(net, x, (hc_pool_options){.size = 3, .stride = 2, .padding = 1});
}

static hc_value block_d(hc_network *net, hc_value x, int n, int stride)
{
    int narrow = n / BOTTLENECK;
    hc_value out = conv(net, "conv1.", "bn1.", x, (hc_conv_options){.n = narrow, .activation = HC_RELU});
    out = conv(net, "conv2.", "bn2.", out,
               (hc_conv_options){.n = narrow, .kernel = 3, .stride = stride, .activation = HC_RELU});
    if (stride > 1 || net->values[x].width != n) {
        hc_pool_options halves = {.size = 2, .stride = 2, .same = 1};
        hc_value from = stride > 1 ? hc_average_pool(net, x, halves) : x;
        x = conv(net, "downsample.1.", "downsample.2.", from, (hc_conv_options){.n = n});
    }
    return conv(net, "conv3.", "bn3.", out,
                (hc_conv_options){.n = n, .add = x, .activation = HC_RELU, .activate_last = 1});
}

hc_value hc_resnet_d(hc_network *net, const hc_resnet *r, hc_value x)
{
    x = stem_d(net, r->channels[0] / STEM_PART, x);
    for (int stage = 0; stage < r->stages; stage++)
        for (int i = 0; i < r->blocks[stage]; i++) HC_IN(net, "layer%d.", stage + 1)
    HC_IN(net, "%d.", i) x = block_d(net, x, r->channels[stage], stride_of(stage, i));
    return x;
}
