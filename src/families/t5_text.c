/* t5_text.c: OpenCLIP's HFTextEncoder over the encoder of T5 (Raffel et al., 2020) and mT5 (Xue et al., 2021):
 * distances between tokens in place of positions, RMSNorm, scores that are not scaled, and, from version 1.1 on, gated
 * hidden layers (Shazeer, 2020). */
#include "families/family.h"
#include "families/hf_text.h"

typedef struct config {
    hc_hf_row is;
    int vocab_size, width, head_width, mlp_width, layers, heads;
    hc_activation activation;
    int gated;
    int buckets, farthest, pad_id;
    float eps;
} config;

/* The last four are the same in all of them. */
#define ROW(name, model_type, ...) {{name, model_type}, __VA_ARGS__, 32, 128, 0, 1e-6f}
static const config SIZES[] = {
#include "families/t5_sizes.inc"
};

/* T5Config and MT5Config. */
static const config DEFAULTS[] = {
    ROW("", "t5", 32128, 512, 64, 2048, 6, 8, HC_RELU, 0),
    ROW("", "mt5", 250112, 512, 64, 1024, 8, 6, HC_GELU_TANH, 1),
};

static const config *find(const hc_options *o)
{
    static const char *const owners[] = {"google-t5/", NULL};
    return hc_hf_find(o, DEFAULTS, sizeof DEFAULTS / sizeof *DEFAULTS, SIZES, sizeof SIZES / sizeof *SIZES,
                      sizeof *SIZES, owners);
}

/* feed_forward_proj, in which "gated-gelu" is with tanh and "gelu" without. Two more options, which transformers writes
 * beside it, count above it. */
static void read_hidden_layers(hc_hf_text *t, config *c)
{
    static const char *const names[] = {"relu",       "gelu",           "gelu_new",   "silu", "gated-relu",
                                        "gated-gelu", "gated-gelu_new", "gated-silu", NULL};
    static const hc_activation activations[] = {HC_RELU, HC_GELU,      HC_GELU_TANH, HC_SILU,
                                                HC_RELU, HC_GELU_TANH, HC_GELU_TANH, HC_SILU};
    if (hc_option_given(&t->config, "feed_forward_proj")) {
        int choice = hc_option_choice(&t->config, "feed_forward_proj", names,
                                      "relu, gelu, gelu_new or silu, with or without gated- before it");
        c->activation = activations[choice];
        c->gated = choice >= 4;
    }
    c->activation = hc_hf_activation(t, "dense_act_fn", c->activation);
    if (hc_option_given(&t->config, "is_gated_act")) c->gated = hc_option_flag(&t->config, "is_gated_act");
}

static void read_config(hc_hf_text *t, config *c, hc_text_rows *rows)
{
    hc_options *given = &t->config;
    c->vocab_size = hc_option_integer(given, "vocab_size", c->vocab_size, 1, HC_MAX_VOCABULARY);
    c->width = hc_option_integer(given, "d_model", c->width, 1, HC_MAX_WIDTH);
    c->head_width = hc_option_integer(given, "d_kv", c->head_width, 1, HC_MAX_WIDTH);
    c->mlp_width = hc_option_integer(given, "d_ff", c->mlp_width, 1, HC_MAX_MLP_WIDTH);
    c->layers = hc_option_integer(given, "num_layers", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(given, "num_heads", c->heads, 1, HC_MAX_WIDTH);
    c->buckets = hc_option_integer(given, "relative_attention_num_buckets", c->buckets, 4, HC_MAX_POSITIONS);
    c->farthest = hc_option_integer(given, "relative_attention_max_distance", c->farthest, 2, INT32_MAX);
    c->pad_id = hc_option_integer(given, "pad_token_id", c->pad_id, 0, HC_MAX_VOCABULARY);
    c->eps = hc_hf_eps(t, "layer_norm_epsilon", c->eps);
    read_hidden_layers(t, c);
    if (c->buckets % 4 || c->farthest <= c->buckets / 4)
        hc_fail(
            given->problem, HC_MODEL_UNSUPPORTED,
            "text_cfg.hf_config: %d relative_attention_num_buckets for distances up to %d "
            "(relative_attention_max_distance), expected a multiple of 4 and a distance of more than a quarter of it",
            c->buckets, c->farthest);
    if ((int64_t)c->heads * c->head_width > HC_MAX_MLP_WIDTH)
        hc_fail(given->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.hf_config: %d heads of %d, expected at most %d together", c->heads, c->head_width,
                (int)HC_MAX_MLP_WIDTH);
    rows->vocab_size = c->vocab_size;
    rows->pad_id = c->pad_id;
    rows->measured = 1;
    if (given->problem->status == HC_OK)
        hc_hf_check(t, rows, c->width, c->heads * c->head_width, c->mlp_width, c->heads, c->buckets);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

/* The first layer's, for all. */
static hc_value relative_bias(hc_network *net, const config *c)
{
    hc_value bias = 0;
    HC_IN(net, "block.0.layer.0.SelfAttention.", 0)
    bias = hc_bucket_bias(net, hc_parameter(net, "relative_attention_bias.weight", 2, c->buckets, c->buckets, c->heads),
                          net->text.context_length, c->farthest);
    return bias;
}

static hc_value attention(hc_network *net, const config *c, hc_value x, hc_value bias, int pick)
{
    hc_linear_options inner = {.n = c->heads * c->head_width, .plain = 1};
    hc_value rows = pick ? hc_pick(net, x) : x, normed = hc_rms_norm_of(net, "layer_norm.", x, c->eps), seen = 0;
    HC_IN(net, "SelfAttention.", 0)
    {
        hc_value q = hc_linear(net, "q.", pick ? hc_norm_again(net, normed, rows) : normed, inner),
                 k = hc_linear(net, "k.", normed, inner), v = hc_linear(net, "v.", normed, inner);
        seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = c->heads, .bias = bias, .scale = 1});
        seen = hc_linear(net, "o.", seen, (hc_linear_options){.n = c->width, .plain = 1, .add = rows});
    }
    return seen;
}

static hc_value hidden_layer(hc_network *net, const config *c, hc_value x)
{
    hc_linear_options wide = {.n = c->mlp_width, .plain = 1}, active = wide;
    hc_value normed = hc_rms_norm_of(net, "layer_norm.", x, c->eps), hidden = 0;
    active.activation = c->activation;
    HC_IN(net, "DenseReluDense.", 0)
    {
        hidden = hc_linear(net, c->gated ? "wi_0." : "wi.", normed, active);
        if (c->gated) hidden = hc_times(net, hidden, hc_linear(net, "wi_1.", normed, wide));
        hidden = hc_linear(net, "wo.", hidden, (hc_linear_options){.n = c->width, .plain = 1, .add = x});
    }
    return hidden;
}

static hc_value transformer(hc_network *net, const config *c, const hc_hf_text *t)
{
    hc_value x = hc_tokens(net, "embed_tokens.weight", (hc_tokens_options){.width = c->width}),
             bias = relative_bias(net, c);
    for (int i = 0; i < c->layers; i++) HC_IN(net, "block.%d.layer.", i)
        {
            int pick = hc_hf_picks(t) && i == c->layers - 1;
            HC_IN(net, "0.", 0) x = attention(net, c, x, bias, pick);
            HC_IN(net, "1.", 0) x = hidden_layer(net, c, x);
        }
    return hc_rms_norm_of(net, "final_layer_norm.", x, c->eps);
}

static void build(hc_network *net, hc_options *o)
{
    hc_hf_text t;
    config c = *find(o);
    hc_hf_read(o, HC_HF_MEAN, &t, &net->text);
    read_config(&t, &c, &net->text);
    if (o->problem->status != HC_OK) return;
    hc_value x = 0;
    HC_IN(net, "transformer.", 0) x = transformer(net, &c, &t);
    hc_hf_head(net, &t, x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

#define ANCHORS .anchors = {"transformer.block.0.layer.0.layer_norm.weight", "transformer.final_layer_norm.weight"}

const hc_family hc_t5_text = {"Hugging Face's T5",
                              HC_TEXT,
                              answers,
                              build,
                              {
                                  /* A shard of this package. */
                                  {ANCHORS, .owned = {"transformer.", "proj."}, .rules = HC_HF_AS_IS},
                                  /* OpenCLIP's. */
                                  {ANCHORS, .owned = {"text."}, .rules = HC_HF_IN_TEXT},
                                  /* Hugging Face's T5EncoderModel, and T5Model and its likes with their decoder. */
                                  {ANCHORS, .owned = {"encoder.", "shared."}, .rules = HC_HF_SHARED},
                                  {ANCHORS, .owned = {"encoder.", "shared."}, .rules = HC_HF_ENCODER},
                              }};
