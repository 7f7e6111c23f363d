/* bert_text.c: OpenCLIP's HFTextEncoder over Hugging Face's BERT (Devlin et al., 2018), RoBERTa (Liu et al., 2019) and
 * XLM-RoBERTa (Conneau et al., 2019): transformer blocks that normalise after they add, and see all tokens that are not
 * padding. Chinese-CLIP's text tower (Yang et al., 2022) is a BERT. */
#include "families/family.h"
#include "families/hf_text.h"

#include <string.h>

/* A Hugging Face model's config.json, as far as it is of interest. */
typedef struct config {
    hc_hf_row is;
    int vocab_size, width, layers, heads, mlp_width, positions, token_types;
    float eps;
    int pad_id;
    hc_activation activation;
} config;

#define ROW(name, model_type, ...) {{name, model_type}, __VA_ARGS__}
static const config SIZES[] = {
#include "families/bert_sizes.inc"
};

/* What the classes have where a config.json is silent: BertConfig, and what the other two have otherwise. */
static const config DEFAULTS[] = {
    ROW("", "bert", 30522, 768, 12, 12, 3072, 512, 2, 1e-12f, 0, HC_GELU),
    ROW("", "roberta", 50265, 768, 12, 12, 3072, 512, 2, 1e-12f, 1, HC_GELU),
    ROW("", "xlm-roberta", 30522, 768, 12, 12, 3072, 512, 2, 1e-12f, 1, HC_GELU),
};

static const config *find(const hc_options *o)
{
    static const char *const owners[] = {"FacebookAI/", "google-bert/", NULL};
    return hc_hf_find(o, DEFAULTS, sizeof DEFAULTS / sizeof *DEFAULTS, SIZES, sizeof SIZES / sizeof *SIZES,
                      sizeof *SIZES, owners);
}

/* Positions count from the padding's id on, and leave padding out: fairseq's. */
static int is_counted(const config *c) { return strcmp(c->is.model_type, "bert") != 0; }

/* Of the config.json's options those that change what is computed. */
static void read_config(hc_hf_text *t, config *c, hc_text_rows *rows)
{
    static const char *const absolute[] = {"absolute", NULL};
    hc_options *given = &t->config;
    c->vocab_size = hc_option_integer(given, "vocab_size", c->vocab_size, 1, HC_MAX_VOCABULARY);
    c->width = hc_option_integer(given, "hidden_size", c->width, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(given, "num_hidden_layers", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(given, "num_attention_heads", c->heads, 1, HC_MAX_WIDTH);
    c->mlp_width = hc_option_integer(given, "intermediate_size", c->mlp_width, 1, HC_MAX_MLP_WIDTH);
    c->positions = hc_option_integer(given, "max_position_embeddings", c->positions, 1, HC_MAX_POSITIONS);
    c->token_types = hc_option_integer(given, "type_vocab_size", c->token_types, 1, HC_MAX_WIDTH);
    c->pad_id = hc_option_integer(given, "pad_token_id", c->pad_id, 0, HC_MAX_VOCABULARY);
    c->eps = hc_hf_eps(t, "layer_norm_eps", c->eps);
    hc_option_choice(given, "position_embedding_type", absolute, "absolute");
    c->activation = hc_hf_activation(t, "hidden_act", c->activation);
    rows->vocab_size = c->vocab_size;
    rows->pad_id = c->pad_id;
    rows->counted = is_counted(c);
    hc_hf_check(t, rows, c->width, c->width, c->mlp_width, c->heads, c->positions);
    int before = rows->counted ? c->pad_id + 1 : 0, most = before < c->positions ? c->positions - before : 0;
    if (rows->context_length > most)
        hc_fail(given->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.context_length is %d, but the tower has positions for %d tokens", rows->context_length, most);
}

/* ---- the tower ----------------------------------------------------------------------------------------------------
 */

static hc_value layer(hc_network *net, const config *c, hc_value x, int pick)
{
    hc_linear_options wide = {.n = c->width};
    hc_value rows = pick ? hc_pick(net, x) : x;
    hc_value k = hc_linear(net, "attention.self.key.", x, wide), v = hc_linear(net, "attention.self.value.", x, wide);
    hc_value q = hc_linear(net, "attention.self.query.", rows, wide);
    hc_value seen = hc_attend(net, q, k, v, (hc_attention_options){.heads = c->heads});
    seen = hc_linear(net, "attention.output.dense.", seen, (hc_linear_options){.n = c->width, .add = rows});
    rows = hc_normed(net, "attention.output.LayerNorm.", seen, c->eps);
    hc_value hidden = hc_linear(net, "intermediate.dense.", rows,
                                (hc_linear_options){.n = c->mlp_width, .activation = c->activation});
    hidden = hc_linear(net, "output.dense.", hidden, (hc_linear_options){.n = c->width, .add = rows});
    return hc_normed(net, "output.LayerNorm.", hidden, c->eps);
}

static hc_value transformer(hc_network *net, const config *c, const hc_hf_text *t)
{
    hc_value x = hc_tokens(net, "embeddings.word_embeddings.weight",
                           (hc_tokens_options){.width = c->width,
                                               .positions = "embeddings.position_embeddings.weight",
                                               .position_count = c->positions,
                                               .types = "embeddings.token_type_embeddings.weight",
                                               .type_count = c->token_types});
    x = hc_normed(net, "embeddings.LayerNorm.", x, c->eps);
    for (int i = 0; i < c->layers; i++)
        HC_IN(net, "encoder.layer.%d.", i) x = layer(net, c, x, hc_hf_picks(t) && i == c->layers - 1);
    if (t->pooler != HC_HF_FIRST_DENSE) return x;
    return hc_tanh(net, hc_linear(net, "pooler.dense.", x, (hc_linear_options){.n = c->width}));
}

static void build(hc_network *net, hc_options *o)
{
    hc_hf_text t;
    config c = *find(o);
    hc_hf_read(o, is_counted(&c) ? HC_HF_MEAN : HC_HF_FIRST, &t, &net->text);
    read_config(&t, &c, &net->text);
    if (o->problem->status != HC_OK) return;
    hc_value x = 0;
    HC_IN(net, "transformer.", 0) x = transformer(net, &c, &t);
    hc_hf_head(net, &t, x);
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static const hc_name_rule BARE[] = {HC_RULE("transformer.*", "*"), {0}},
                          CHINESE_CLIP[] = {HC_RULE("transformer.*", "text_model.*"),
                                            HC_RULE("proj.*", "text_projection.*"),
                                            {0}},
                          OFA[] = {HC_RULE("transformer.*", "bert.*"),
                                   HC_LINEAR_RULE("proj.weight", "text_projection"),
                                   {0}};

#define ANCHORS .anchors = {"transformer.embeddings.word_embeddings.weight", "transformer.embeddings.LayerNorm.weight"}
/* What the class has for other tasks. */
#define UNUSED .unused = {"pooler.dense.weight", "pooler.dense.bias"}

const hc_family hc_bert_text = {
    "Hugging Face's BERT or RoBERTa",
    HC_TEXT,
    answers,
    build,
    {
        /* A shard of this package. */
        {ANCHORS, UNUSED, .owned = {"transformer.", "proj."}, .rules = HC_HF_AS_IS},
        /* OpenCLIP's. */
        {ANCHORS, UNUSED, .owned = {"text."}, .rules = HC_HF_IN_TEXT},
        /* Hugging Face's BertModel and the like; and within models for a task. */
        {ANCHORS, UNUSED, .owned = {"embeddings.", "encoder."}, .rules = BARE},
        {ANCHORS, UNUSED, .owned = {"bert."}, .rules = BARE, .prefix = "bert."},
        {ANCHORS, UNUSED, .owned = {"roberta."}, .rules = BARE, .prefix = "roberta."},
        /* Hugging Face's ChineseCLIPModel, and what it was converted from. */
        {ANCHORS, UNUSED, .owned = {"text_model.", "text_projection."}, .rules = CHINESE_CLIP},
        {ANCHORS, UNUSED, .owned = {"bert.", "text_projection"}, .rules = OFA},
    }};
