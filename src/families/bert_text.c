/* bert_text.c: OpenCLIP's HFTextEncoder over Hugging Face's BERT (Devlin et al., 2018), RoBERTa (Liu et al., 2019) and
 * XLM-RoBERTa (Conneau et al., 2019): transformer blocks that normalise after they add, and see all tokens that are not
 * padding. */
#include "families/family.h"
#include "families/keys.h"
#include "families/openclip.h"

#include <string.h>

typedef enum pooler { MEAN, MOST, FIRST, FIRST_DENSE } pooler; /* of open_clip/hf_model.py's, by what they compute */
typedef enum projection { MLP, LINEAR, NONE } projection;

/* A Hugging Face model's config.json, as far as it is of interest. */
typedef struct config {
    const char *name, *model_type;
    int vocab_size, width, layers, heads, mlp_width, positions, token_types;
    float eps;
    int pad_id;
    hc_activation activation;
} config;

static const config SIZES[] = {
#include "families/hf_sizes.inc"
};

enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

/* What the classes have where a config.json is silent: BertConfig, and what the other two have otherwise. */
static const config DEFAULTS[] = {
    {"", "bert", 30522, 768, 12, 12, 3072, 512, 2, 1e-12f, 0, HC_GELU},
    {"", "roberta", 50265, 768, 12, 12, 3072, 512, 2, 1e-12f, 1, HC_GELU},
    {"", "xlm-roberta", 30522, 768, 12, 12, 3072, 512, 2, 1e-12f, 1, HC_GELU},
};

enum { CLASS_COUNT = sizeof DEFAULTS / sizeof *DEFAULTS };

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static int is_name(const hc_json *value, const char *name)
{
    static const char *const owners[] = {"", "FacebookAI/", "google-bert/"};
    int owned = memchr(name, '/', strlen(name)) != NULL;
    for (int i = 0; i < (owned ? 1 : 3); i++) {
        char whole[96];
        hc_format(whole, sizeof whole, "%s%s", owners[i], name);
        if (hc_json_is(value, whole)) return 1;
    }
    return 0;
}

/* The sizes that the section stands for: the class's defaults where it brings a config.json, else those of the name. */
static const config *find(const hc_options *o)
{
    hc_json given = hc_option(o, "hf_config"), type = hc_json_get(&given, "model_type"),
            name = hc_option(o, "hf_model_name");
    if (given.type == HC_JSON_OBJECT) {
        for (int i = 0; i < CLASS_COUNT; i++)
            if (hc_json_is(&type, DEFAULTS[i].model_type)) return &DEFAULTS[i];
        return NULL;
    }
    for (int i = 0; i < SIZE_COUNT; i++)
        if (is_name(&name, SIZES[i].name)) return &SIZES[i];
    return NULL;
}

static void read_activation(hc_options *o, config *c)
{
    static const struct {
        const char *name;
        hc_activation activation;
    } known[] = {{"gelu", HC_GELU},
                 {"gelu_python", HC_GELU},
                 {"gelu_new", HC_GELU_TANH},
                 {"gelu_fast", HC_GELU_TANH},
                 {"gelu_pytorch_tanh", HC_GELU_TANH},
                 {"gelu_python_tanh", HC_GELU_TANH},
                 {"gelu_accurate", HC_GELU_TANH},
                 {"quick_gelu", HC_QUICK_GELU},
                 {"relu", HC_RELU}};
    hc_json value = hc_option(o, "hidden_act");
    if (value.type == HC_JSON_ABSENT) return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (hc_json_is(&value, known[i].name)) {
            c->activation = known[i].activation;
            return;
        }
    hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.hidden_act is %t, expected gelu, gelu_new, quick_gelu or relu",
            o->section_name, value.text, value.length);
}

/* hf_config: of its options those that change what is computed. */
static void read_hf_config(hc_options *o, config *c)
{
    static const char *const absolute[] = {"absolute", NULL};
    hc_options given = *o;
    given.section = hc_option(o, "hf_config");
    given.section_name = "text_cfg.hf_config";
    if (given.section.type == HC_JSON_ABSENT || given.section.type == HC_JSON_NULL) return;
    if (given.section.type != HC_JSON_OBJECT) {
        hc_fail(o->problem, HC_MODEL_CONFIG, "text_cfg.hf_config is %t, expected an object", given.section.text,
                given.section.length);
        return;
    }
    c->vocab_size = hc_option_integer(&given, "vocab_size", c->vocab_size, 1, HC_MAX_VOCABULARY);
    c->width = hc_option_integer(&given, "hidden_size", c->width, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(&given, "num_hidden_layers", c->layers, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(&given, "num_attention_heads", c->heads, 1, HC_MAX_WIDTH);
    c->mlp_width = hc_option_integer(&given, "intermediate_size", c->mlp_width, 1, HC_MAX_MLP_WIDTH);
    c->positions = hc_option_integer(&given, "max_position_embeddings", c->positions, 1, HC_MAX_POSITIONS);
    c->token_types = hc_option_integer(&given, "type_vocab_size", c->token_types, 1, HC_MAX_WIDTH);
    c->pad_id = hc_option_integer(&given, "pad_token_id", c->pad_id, 0, HC_MAX_VOCABULARY);
    c->eps = (float)hc_option_number(&given, "layer_norm_eps", c->eps);
    if (!(c->eps >= 0 && c->eps <= 1))
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "text_cfg.hf_config.layer_norm_eps is not a number from 0 to 1");
    hc_option_choice(&given, "position_embedding_type", absolute, "absolute");
    if (hc_option_flag(&given, "is_decoder"))
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "text_cfg.hf_config.is_decoder is on, expected an encoder");
    read_activation(&given, c);
}

/* As hf_model.py chooses it: null is the class's own, which for BERT is the first token's row as it is. */
static pooler read_pooler(hc_options *o, const config *c)
{
    static const char *const names[] = {"mean_pooler", "max_pooler", "cls_last_hidden_state_pooler", "cls_pooler",
                                        NULL};
    static const pooler poolers[] = {MEAN, MOST, FIRST, FIRST_DENSE};
    hc_json value = hc_option(o, "hf_pooler_type");
    if (value.type == HC_JSON_NULL) return strcmp(c->model_type, "bert") ? MEAN : FIRST;
    return poolers[hc_option_choice(o, "hf_pooler_type", names,
                                    "mean_pooler, max_pooler, cls_pooler or cls_last_hidden_state_pooler")];
}

static projection read_projection(hc_options *o)
{
    static const char *const names[] = {"mlp", "linear", NULL};
    hc_json value = hc_option(o, "hf_proj_type");
    if (value.type == HC_JSON_NULL) return NONE;
    return hc_option_choice(o, "hf_proj_type", names, "mlp, linear or null") ? LINEAR : MLP;
}

static void check(hc_options *o, const config *c, int context_length, int counted)
{
    int before = counted ? c->pad_id + 1 : 0, most = before < c->positions ? c->positions - before : 0;
    if (context_length > most)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.context_length is %d, but the tower has positions for %d tokens", context_length, most);
    if (c->width % c->heads)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "text_cfg: a width of %d, which %d heads do not divide", c->width,
                c->heads);
    if (c->pad_id >= c->vocab_size)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "text_cfg: the padding is token %d, of a vocabulary of %d", c->pad_id,
                c->vocab_size);
    if ((int64_t)c->width * c->mlp_width > HC_MAX_MATRIX || (int64_t)c->width * c->width > HC_MAX_MATRIX ||
        (int64_t)c->vocab_size * c->width > HC_MAX_TABLE || (int64_t)c->positions * c->width > HC_MAX_MATRIX)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "text_cfg: sizes that are more than a tower may have here");
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

static hc_value transformer(hc_network *net, const config *c, pooler pooling)
{
    hc_value x = hc_tokens(net, "embeddings.word_embeddings.weight",
                           (hc_tokens_options){.width = c->width,
                                               .positions = "embeddings.position_embeddings.weight",
                                               .position_count = c->positions,
                                               .types = "embeddings.token_type_embeddings.weight",
                                               .type_count = c->token_types});
    int pick = pooling == FIRST || pooling == FIRST_DENSE;
    x = hc_normed(net, "embeddings.LayerNorm.", x, c->eps);
    for (int i = 0; i < c->layers; i++)
        HC_IN(net, "encoder.layer.%d.", i) x = layer(net, c, x, pick && i == c->layers - 1);
    if (pooling == MEAN) return hc_mean(net, x, 0);
    if (pooling == MOST) return hc_largest(net, x);
    if (pooling == FIRST) return x;
    return hc_tanh(net, hc_linear(net, "pooler.dense.", x, (hc_linear_options){.n = c->width}));
}

static hc_value project(hc_network *net, projection kind, hc_value x, int dim)
{
    int width = net->values[x].width;
    if (kind == NONE) return x;
    if (kind == MLP)
        x = hc_linear(net, "proj.0.", x,
                      (hc_linear_options){.n = (width + dim) / 2, .plain = 1, .activation = HC_GELU});
    return hc_linear(net, kind == MLP ? "proj.2." : "proj.", x,
                     (hc_linear_options){.n = dim, .plain = 1, .keep_half = 1});
}

static void build(hc_network *net, hc_options *o)
{
    int dim = hc_embed_dim(o);
    config c = *find(o);
    hc_options_check_keys(o, &o->section, o->section_name, HC_TEXT_KEYS);
    read_hf_config(o, &c);
    pooler pooling = read_pooler(o, &c);
    projection kind = read_projection(o);
    int counted = strcmp(c.model_type, "bert") != 0;
    net->text = (hc_text_rows){.context_length = hc_option_integer(o, "context_length", 77, 1, HC_MAX_POSITIONS - 1),
                               .vocab_size = c.vocab_size,
                               .pool = HC_TEXT_FIRST,
                               .pad_id = c.pad_id,
                               .unpadded = 1,
                               .counted = counted};
    check(o, &c, net->text.context_length, counted);
    if (kind == NONE && c.width != dim)
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED,
                "text_cfg.hf_proj_type is null, which needs embed_dim (%d) and the tower's width (%d) to be equal", dim,
                c.width);
    if (o->problem->status != HC_OK) return;
    hc_value x = 0;
    HC_IN(net, "transformer.", 0) x = transformer(net, &c, pooling);
    hc_result(net, project(net, kind, x, dim));
}

static int answers(const hc_options *o) { return find(o) != NULL; }

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static const hc_name_rule AS_IS[] = {HC_RULE("*", "*"), {0}}, IN_TEXT[] = {HC_RULE("*", "text.*"), {0}},
                          BARE[] = {HC_RULE("transformer.*", "*"), {0}};

#define ANCHORS .anchors = {"transformer.embeddings.word_embeddings.weight", "transformer.embeddings.LayerNorm.weight"}
/* What the class has for other tasks. */
#define UNUSED .unused = {"pooler.dense.weight", "pooler.dense.bias"}

const hc_family hc_bert_text = {"Hugging Face's BERT or RoBERTa",
                                HC_TEXT,
                                answers,
                                build,
                                {
                                    /* A shard of this package. */
                                    {ANCHORS, UNUSED, .owned = {"transformer.", "proj."}, .rules = AS_IS},
                                    /* OpenCLIP's. */
                                    {ANCHORS, UNUSED, .owned = {"text."}, .rules = IN_TEXT},
                                    /* Hugging Face's BertModel and the like; and within models for a task. */
                                    {ANCHORS, UNUSED, .owned = {"embeddings.", "encoder."}, .rules = BARE},
                                    {ANCHORS, UNUSED, .owned = {"bert."}, .rules = BARE, .prefix = "bert."},
                                    {ANCHORS, UNUSED, .owned = {"roberta."}, .rules = BARE, .prefix = "roberta."},
                                }};
