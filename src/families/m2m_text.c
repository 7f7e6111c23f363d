/* m2m_text.c: OpenCLIP's HFTextEncoder over the encoder of M2M-100 (Fan et al., 2020) and NLLB-200 (NLLB Team, 2022),
 * as NLLB-CLIP (Visheratin, 2023) has it: scaled embeddings, positions by formula, norms before each half of a layer.
 */
#include "families/family.h"
#include "families/hf_text.h"

#include <math.h>

typedef struct config {
    hc_hf_row is;
    int vocab_size, width, mlp_width, layers, heads;
    /* the same in all: */
    int scaled, pad_id;
    hc_activation activation;
} config;

#define ROW(name, model_type, ...) {{name, model_type}, __VA_ARGS__, 1, 1, HC_RELU}
static const config SIZES[] = {
#include "families/m2m_sizes.inc"
};

/* M2M100Config. */
static const config DEFAULTS[] = {ROW("", "m2m_100", 128112, 1024, 4096, 12, 16)};

/* torch.nn.LayerNorm's. */
static const float EPS = 1e-5f;

static const config *find(const hc_options *o)
{
    static const char *const owners[] = {NULL};
    return hc_hf_find(o, DEFAULTS, sizeof DEFAULTS / sizeof *DEFAULTS, SIZES, sizeof SIZES / sizeof *SIZES,
                      sizeof *SIZES, owners);
}

static void read_config(hc_hf_text *t, config *c, hc_text_rows *rows)
{
    hc_options *given = &t->config;
    c->vocab_size = hc_option_integer(given, "vocab_size", c->vocab_size, 1, HC_MAX_VOCABULARY);
    c->width = hc_option_integer(given, "d_model", c->width, 4, HC_MAX_WIDTH);
    c->mlp_width = hc_option_integer(given, "encoder_ffn_dim", c->mlp_width, 1, HC_MAX_MLP_WIDTH);
    c->layers = hc_option_integer(given, "encoder_layers", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(given, "encoder_attention_heads", c->heads, 1, HC_MAX_WIDTH);
    c->pad_id = hc_option_integer(given, "pad_token_id", c->pad_id, 0, HC_MAX_POSITIONS);
    if (hc_option(given, "scale_embedding").type != HC_JSON_ABSENT)
        c->scaled = hc_option_flag(given, "scale_embedding");
    c->activation = hc_hf_activation(t, "activation_function", c->activation);
    rows->vocab_size = c->vocab_size;
    rows->pad_id = c->pad_id;
    rows->counted = 1;
    hc_hf_check(t, rows, c->width, c->width, c->mlp_width, c->heads, c->pad_id + 1 + rows->context_length);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

static hc_value layer(hc_network *net, const config *c, hc_value x, int pick)
{
    hc_linear_options wide = {.n = c->width};
    hc_value rows = pick ? hc_pick(net, x) : x, normed = hc_norm(net, "self_attn_layer_norm.", x, EPS);
    hc_value q = hc_linear(net, "self_attn.q_proj.", pick ? hc_norm_again(net, normed, rows) : normed, wide),
             k = hc_linear(net, "self_attn.k_proj.", normed, wide),
             v = hc_linear(net, "self_attn.v_proj.", normed, wide);
    hc_value seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = c->heads});
    rows = hc_linear(net, "self_attn.out_proj.", seen, (hc_linear_options){.n = c->width, .add = rows});
    hc_value hidden = hc_linear(net, "fc1.", hc_norm(net, "final_layer_norm.", rows, EPS),
                                (hc_linear_options){.n = c->mlp_width, .activation = c->activation});
    return hc_linear(net, "fc2.", hidden, (hc_linear_options){.n = c->width, .add = rows});
}

static hc_value transformer(hc_network *net, const config *c, const hc_hf_text *t)
{
    hc_value positions = hc_sinusoids(net, c->pad_id + 1 + net->text.context_length, c->width, c->pad_id);
    hc_value x =
        hc_tokens(net, "embed_tokens.weight",
                  (hc_tokens_options){
                      .width = c->width, .scale = c->scaled ? sqrtf((float)c->width) : 1, .position_rows = positions});
    for (int i = 0; i < c->layers; i++)
        HC_IN(net, "layers.%d.", i) x = layer(net, c, x, hc_hf_picks(t) && i == c->layers - 1);
    return hc_norm(net, "layer_norm.", x, EPS);
}

static void build(hc_network *net, hc_options *o)
{
    hc_hf_text t;
    config c = *find(o);
    hc_hf_read(o, HC_HF_FIRST, &t, &net->text);
    read_config(&t, &c, &net->text);
    if (o->problem->status != HC_OK) return;
    hc_value x = 0;
    HC_IN(net, "transformer.", 0) x = transformer(net, &c, &t);
    hc_hf_head(net, &t, x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

#define ANCHORS \
    .anchors = {"transformer.layers.0.self_attn_layer_norm.weight", "transformer.layers.0.final_layer_norm.weight"}
/* Older transformers stored the positions, too. */
#define UNUSED .unused = {"embed_positions.weights"}

const hc_family hc_m2m_text = {
    "Hugging Face's M2M-100 or NLLB",
    HC_TEXT,
    answers,
    build,
    {
        /* A shard of this package. */
        {ANCHORS, UNUSED, .owned = {"transformer.", "proj."}, .rules = HC_HF_AS_IS},
        /* OpenCLIP's. */
        {ANCHORS, UNUSED, .owned = {"text."}, .rules = HC_HF_IN_TEXT},
        /* Hugging Face's M2M100Model; and within a model for a task. */
        {ANCHORS, UNUSED, .owned = {"encoder.", "shared."}, .rules = HC_HF_SHARED},
        {ANCHORS, UNUSED, .owned = {"encoder."}, .rules = HC_HF_ENCODER},
        {ANCHORS, UNUSED, .owned = {"model.encoder.", "model.shared."}, .rules = HC_HF_SHARED, .prefix = "model."},
    }};
