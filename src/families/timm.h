/* timm.h: what OpenCLIP's TimmModel (open_clip/timm_model.py) puts around a trunk of timm's: the options of vision_cfg
 * that say so, and the projection after the trunk. Each family of timm's has its trunk in a file of its own. */
#ifndef HC_TIMM_H
#define HC_TIMM_H

#include "checkpoint/names.h"
#include "checkpoint/options.h"
#include "operations/operations.h"

typedef enum hc_timm_pool {
    HC_TIMM_AVG,
    HC_TIMM_OWN, /* '': what the name stands for */
    HC_TIMM_TOKEN,
    HC_TIMM_MAP,
    HC_TIMM_ABS_ATTN,
    HC_TIMM_ROT_ATTN
} hc_timm_pool;

typedef enum hc_timm_proj {
    HC_TIMM_LINEAR,
    HC_TIMM_MLP,
    HC_TIMM_NONE,
    HC_TIMM_CLASSIFIER /* null: the trunk's own classifier, of embed_dim classes */
} hc_timm_proj;

typedef struct hc_timm {
    int embed_dim;
    int image_height, image_width;
    hc_timm_pool pool;
    hc_timm_proj proj;
    int proj_bias;
    hc_options args; /* timm_model_args: timm's own arguments, over what the name stands for */
} hc_timm;

/* The row, of `size` bytes, of a table of sizes whose name the section asks for: the rows begin with their names. NULL
 * if it asks for none of them. */
const void *hc_timm_find(const hc_options *o, const void *rows, size_t count, size_t size);

/* Reads the section. `image_size` is what the name stands for; `keys`, which end with NULL, are the arguments of timm's
 * that the family computes: others are refused. */
void hc_timm_read(hc_options *o, int image_size, const char *const *keys, hc_timm *t);

/* Says that of such towers only some are computed, as "timm_pool avg or token". */
void hc_timm_refuse(const hc_options *o, const char *computed);

/* The pool that TimmModel makes the trunk with: with a projection of its own, or where timm_pool is null, it is the
 * name's `own`; a projection's trunk gets the pool that is asked for afterwards. Where that is the name's, t->pool is
 * `own` from here on. */
hc_timm_pool hc_timm_made_with(const hc_options *o, hc_timm *t, hc_timm_pool own);

/* Checks that what comes out of the trunk is the mean of the last grid: timm_pool avg, or '' where the name stands for
 * that and a projection of OpenCLIP's follows. */
void hc_timm_check_mean(const hc_options *o, const hc_timm *t);

/* The same, or the grid itself, of `width` channels, for attention: timm_pool abs_attn or rot_attn. */
void hc_timm_check_grid(const hc_options *o, const hc_timm *t, int width);

/* Whether timm_pool is abs_attn or rot_attn. */
int hc_timm_attends(const hc_timm *t);

/* A list of timm's arguments, from `least` to `most` integers up to `high`, over what `values` holds. Returns how many
 * it has; `most` where it is not given. */
int hc_timm_list(hc_timm *t, const char *key, int *values, int least, int most, int high);

/* int(width * mlp_ratio), the ratio that of the arguments or `ratio`. */
int hc_timm_mlp_width(hc_timm *t, int width, double ratio);

/* Checks the sizes that transformers have: that `heads` divide the width, and that no matrix or count of positions is
 * larger than may be. */
void hc_timm_check_sizes(hc_timm *t, int width, int heads, int mlp_width, int patch_size);

/* x + gamma * linear(f), of x's width and with no bias where it is `plain`; `gamma` NULL: 1. With `norm` what is added
 * is normed before. */
hc_value hc_timm_add(hc_network *net, const char *name, const char *gamma, const char *norm, float eps, int plain,
                     hc_value f, hc_value x);

/* LayerNorm of x, or with `rms` RMSNorm: left to whoever reads it, done at once, or of each head's part in place. */
hc_value hc_timm_norm(hc_network *net, int rms, const char *name, hc_value x, float eps);
hc_value hc_timm_normed(hc_network *net, int rms, const char *name, hc_value x, float eps);
hc_value hc_timm_norm_heads(hc_network *net, int rms, const char *name, hc_value x, int heads, float eps);

/* GluMlp up to its last matrix: activation(a) * b, a and b of n numbers each from "mlp.fc1." of x. */
hc_value hc_timm_glu(hc_network *net, hc_value x, int n, hc_activation activation);

/* SwiGLU up to its last matrix: the same of two matrices, "mlp.fc1_g." and "mlp.fc1_x.". */
hc_value hc_timm_split_glu(hc_network *net, hc_value x, int n, hc_activation activation, int plain);

/* AttentionPoolLatent of x, "attn_pool.": one learned query looks at all tokens. With `rms` its norm is an RMSNorm. */
hc_value hc_timm_map_pool(hc_network *net, int heads, int mlp_width, hc_activation activation, float eps, int rms,
                          hc_value x);

/* From the pooled rows of the trunk to the result: visual.head.proj, visual.head.mlp, nothing, or the trunk's
 * classifier, whose name in the trunk is `classifier` ("head."). Where timm_pool is abs_attn or rot_attn, x is the grid
 * that visual.head.pool looks at first. */
void hc_timm_head(hc_network *net, const hc_timm *t, const char *classifier, hc_value x);

/* OpenCLIP's names, and those of a bare checkpoint of timm's. */
extern const hc_name_rule HC_TIMM_AS_IS[], HC_TIMM_BARE[];

#endif
