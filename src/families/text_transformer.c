/* text_transformer.c: OpenCLIP's TextTransformer, which its `CLIP` class has without a name. */
#include "families/family.h"
#include "families/keys.h"
#include "families/openclip.h"

void hc_text_read(hc_options *o, hc_openclip_config *c)
{
    hc_text_rows *text = &c->text;
    hc_json family = hc_option(o, "hf_model_name"), custom = hc_json_get(&o->model, "custom_text"),
            proj = hc_option(o, "proj_type");
    hc_options_check_keys(o, &o->section, o->section_name, HC_TEXT_KEYS);
    c->width = hc_option_integer(o, "width", 512, 1, HC_MAX_WIDTH);
    c->layers = hc_option_integer(o, "layers", 12, 1, HC_MAX_LAYERS);
    c->heads = hc_option_integer(o, "heads", 8, 1, HC_MAX_WIDTH);
    hc_openclip_read_blocks(o, c);
    text->context_length = hc_option_integer(o, "context_length", 77, 1, HC_MAX_POSITIONS - 1);
    text->vocab_size = hc_option_integer(o, "vocab_size", 49408, 1, HC_MAX_VOCABULARY);
    text->pad_id = hc_option_integer(o, "pad_id", 0, -INT32_MAX, INT32_MAX);
    text->eos_id = hc_option_integer(o, "eos_id", 2, -INT32_MAX, INT32_MAX);
    c->causal = text->causal = !hc_option_flag(o, "no_causal_mask");

    static const char *const names[] = {"argmax", "first", "last", "eos", "none", NULL};
    static const hc_text_pool pools[] = {HC_TEXT_ARGMAX, HC_TEXT_FIRST, HC_TEXT_LAST, HC_TEXT_EOS, HC_TEXT_ALL};
    text->pool = pools[hc_option_choice(o, "pool_type", names, "argmax, first, last, eos or none")];

    /* The mere presence of hf_model_name makes the factory build CustomTextCLIP. */
    text->class_row = hc_option_flag(o, "embed_cls");
    if (text->class_row && !hc_json_truthy(&custom) && family.type == HC_JSON_ABSENT)
        hc_fail(
            o->problem, HC_MODEL_UNSUPPORTED,
            "text_cfg.embed_cls is on without custom_text: OpenCLIP's CLIP class adds %d positions to %d tokens and "
            "fails",
            text->context_length + 1, text->context_length);
    if (text->class_row) text->pool = HC_TEXT_LAST;
    c->proj = hc_json_is(&proj, "none")        ? HC_PROJ_NONE
              : hc_option_flag(o, "proj_bias") ? HC_PROJ_LINEAR
                                               : HC_PROJ_MATRIX;
    hc_openclip_check_sizes(o, c, text->context_length + text->class_row);
}

static void build(hc_network *net, hc_options *o)
{
    hc_openclip_config c = {.embed_dim = hc_embed_dim(o)};
    hc_text_read(o, &c);
    if (o->problem->status != HC_OK) return;
    net->text = c.text;
    hc_value x = hc_tokens(net, "token_embedding.weight",
                           (hc_tokens_options){.width = c.width,
                                               .positions = "positional_embedding",
                                               .position_count = c.text.context_length + c.text.class_row,
                                               .resized = 1,
                                               .class_embedding = c.text.class_row ? "cls_emb" : NULL});
    x = hc_openclip_blocks(net, &c, "transformer.resblocks.%d.", x, c.text.pool != HC_TEXT_ALL);
    x = hc_norm(net, "ln_final.", x, c.eps);
    if (c.proj == HC_PROJ_NONE) {
        hc_result(net, x);
        return;
    }
    int biased = c.proj == HC_PROJ_LINEAR;
    hc_tensor_id proj = hc_weight(net, biased ? "text_projection.weight" : "text_projection", c.embed_dim, c.width,
                                  (hc_matrix_options){.transposed = !biased, .keep_half = 1});
    hc_tensor_id bias = biased ? hc_vector(net, "text_projection.bias", c.embed_dim) : 0;
    hc_result(net, hc_multiply(net, "text_projection", x, proj, bias, 0, c.embed_dim, (hc_finish){0}));
}

static int answers(const hc_options *o)
{
    return !hc_option_flag(o, "hf_model_name") && !hc_option_given(o, "hf_config");
}

/* Hugging Face's. */
static const hc_name_rule HUGGING_FACE[] = {
    HC_RULE("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    HC_RULE("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    HC_RULE("ln_final.*", "text_model.final_layer_norm.*"),
    HC_LINEAR_RULE("text_projection", "text_projection.weight"),
    HC_RULE("text_projection.*", "text_projection.*"),
    HC_RULE("transformer.resblocks.#.ln_1.*", "text_model.encoder.layers.#.layer_norm1.*"),
    HC_RULE("transformer.resblocks.#.ln_2.*", "text_model.encoder.layers.#.layer_norm2.*"),
    HC_RULE("transformer.resblocks.#.attn.in_proj_weight", "text_model.encoder.layers.#.self_attn.@_proj.weight"),
    HC_RULE("transformer.resblocks.#.attn.in_proj_bias", "text_model.encoder.layers.#.self_attn.@_proj.bias"),
    HC_RULE("transformer.resblocks.#.attn.out_proj.*", "text_model.encoder.layers.#.self_attn.out_proj.*"),
    HC_RULE("transformer.resblocks.#.mlp.c_fc.*", "text_model.encoder.layers.#.mlp.fc1.*"),
    HC_RULE("transformer.resblocks.#.mlp.c_proj.*", "text_model.encoder.layers.#.mlp.fc2.*"),
    {0}};

/* Apple's MobileCLIP (open_clip/convert.py). */
static const hc_name_rule APPLE[] = {
    HC_RULE("token_embedding.weight", "embedding_layer.weight"),
    HC_RULE("positional_embedding", "positional_embedding.pos_embed.pos_embed"),
    HC_RULE("ln_final.*", "final_layer_norm.*"),
    HC_RULE("text_projection", "projection_layer"),
    HC_RULE("transformer.resblocks.#.ln_1.*", "transformer.#.pre_norm_mha.0.*"),
    HC_RULE("transformer.resblocks.#.ln_2.*", "transformer.#.pre_norm_ffn.0.*"),
    HC_RULE("transformer.resblocks.#.attn.in_proj_weight", "transformer.#.pre_norm_mha.1.qkv_proj.weight"),
    HC_RULE("transformer.resblocks.#.attn.in_proj_bias", "transformer.#.pre_norm_mha.1.qkv_proj.bias"),
    HC_RULE("transformer.resblocks.#.attn.out_proj.*", "transformer.#.pre_norm_mha.1.out_proj.*"),
    HC_RULE("transformer.resblocks.#.mlp.c_fc.*", "transformer.#.pre_norm_ffn.1.*"),
    HC_RULE("transformer.resblocks.#.mlp.c_proj.*", "transformer.#.pre_norm_ffn.4.*"),
    {0}};

static const hc_name_rule AS_IS[] = {HC_RULE("*", "*"), {0}};
static const hc_name_rule IN_TEXT[] = {HC_RULE("*", "text.*"), {0}};

#define ANCHORS .anchors = {"token_embedding.weight", "ln_final.weight"}

const hc_family hc_text_transformer = {
    "OpenCLIP's TextTransformer",
    HC_TEXT,
    answers,
    build,
    {
        /* OpenCLIP's CLIP; OpenAI; CLIP4Clip. */
        {ANCHORS,
         .owned = {"transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection",
                   "cls_emb"},
         .rules = AS_IS},
        /* OpenCLIP's CustomTextCLIP and CoCa. */
        {ANCHORS, .owned = {"text."}, .rules = IN_TEXT},
        /* Hugging Face's CLIPModel, CLIPTextModel and CLIPTextModelWithProjection. */
        {ANCHORS, .owned = {"text_model.", "text_projection."}, .rules = HUGGING_FACE},
        /* Apple's MobileCLIP. */
        {ANCHORS, .owned = {"text_encoder."}, .rules = APPLE, .prefix = "text_encoder."},
    }};
