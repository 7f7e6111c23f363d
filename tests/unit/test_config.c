/* test_config.c: every config of OpenCLIP gives the tensors that OpenCLIP builds from it, and every option that it
 * refuses, or that no tower here computes, is refused by name. */
#include "check.h"
#include "checkpoint/json.h"
#include "loading.h"
#include "sha256.h"
#include "families/family.h"
#include "families/openclip.h"

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The SHA-256 of the sorted lines "name 2x3\n" of a tower's tensors; also how many tensors and numbers they are. */
static void describe(const hc_network *net, size_t *count, uint64_t *parameters, char hex[65])
{
    size_t most = (size_t)net->tensor_count - 1, i = 0;
    char **lines = calloc(most, sizeof *lines), *text = calloc(most, 160);
    for (const hc_tensor *t = net->tensors + 1; t < net->tensors + net->tensor_count; t++) {
        if (t->sum) continue; /* OpenCLIP trains its branches */
        lines[i] = calloc(1, 160);
        size_t length = (size_t)snprintf(lines[i], 160, "%s ", t->name);
        for (int d = 0; d < t->rank; d++)
            length += (size_t)snprintf(lines[i] + length, 160 - length, "%s%u", d ? "x" : "", t->shape[d]);
        snprintf(lines[i++] + length, 160 - length, "\n");
    }
    *count = i;
    *parameters = hc_network_parameters(net);
    qsort(lines, *count, sizeof *lines, by_text);
    for (i = 0; i < *count; i++) {
        strcat(text, lines[i]);
        free(lines[i]);
    }
    sha256(text, hex);
    free(lines);
    free(text);
}

static void compare(const char *name, hc_tower tower, const char *json, size_t length, const hc_json *expected)
{
    char hex[65];
    hc_problem problem = {.status = HC_OK};
    hc_network net;
    hc_network_init(&net, tower, &problem);
    hc_family_build(&net, json, length);
    hc_json family = hc_json_get(expected, "family"), tensors = hc_json_get(expected, "tensors"),
            parameters = hc_json_get(expected, "parameters");
    hc_json hash = hc_json_get(expected, "sha256");
    if (hash.type == HC_JSON_ABSENT) {
        const char *word = hc_json_is(&family, "timm") ? "timm" : "Hugging Face";
        CHECK(problem.status == HC_MODEL_UNSUPPORTED && strstr(problem.message, word), "%s: %s", name, problem.message);
    } else {
        size_t count;
        uint64_t numbers;
        describe(&net, &count, &numbers, hex);
        CHECK(problem.status == HC_OK, "%s: %s", name, problem.message);
        CHECK(count == (size_t)hc_json_number(&tensors) && numbers == (uint64_t)hc_json_number(&parameters),
              "%s: %zu tensors, %llu numbers", name, count, (unsigned long long)numbers);
        CHECK(hc_json_is(&hash, hex), "%s: other names or shapes than OpenCLIP's", name);
    }
    hc_network_free(&net);
}

/* Lines `  "name": {…},` of the module that holds OpenCLIP's configs. */
static void test_known_models(void)
{
    bytes module = read_bytes("web/models/architectures.js"), golden = read_bytes("tests/golden/parameters.json");
    hc_json root, key;
    hc_json_error error;
    int models = 0;
    CHECK(hc_json_parse((char *)golden.data, golden.size, &root, &error), "%s", error.reason);
    for (char *line = strtok((char *)module.data, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, "\": {"), name[128] = "";
        if (strncmp(line, "  \"", 3) || !colon || colon - line > 120) continue;
        memcpy(name, line + 3, (size_t)(colon - line) - 3);
        key = hc_json_get(&root, name);
        if (key.type == HC_JSON_ABSENT) continue;
        char *json = colon + 3;
        size_t length = strlen(json);
        if (json[length - 1] == ',') length--;
        hc_json image = hc_json_get(&key, "image"), text = hc_json_get(&key, "text");
        compare(name, HC_IMAGE, json, length, &image);
        compare(name, HC_TEXT, json, length, &text);
        models++;
    }
    CHECK(models == 144, "%d of OpenCLIP's 144 models", models);
    free(module.data);
    free(golden.data);
}

/* ---- options ------------------------------------------------------------------------------------------------------
 */

/* What a config gives: its options as they were read, and what the network is. */
typedef struct parsed {
    hc_openclip_config c;
    int dim, tokens_out;
} parsed;

static parsed parse(hc_tower tower, const char *json, size_t length, hc_problem *problem)
{
    parsed p = {.dim = 0};
    hc_network net;
    hc_json document;
    hc_json_error error;
    *problem = (hc_problem){.status = HC_OK};
    hc_network_init(&net, tower, problem);
    if (hc_family_build(&net, json, length) && hc_json_parse(json, length, &document, &error)) {
        hc_options o = {.model = hc_options_model(&document), .problem = problem};
        o.section_name = tower == HC_IMAGE ? "vision_cfg" : "text_cfg";
        o.section = hc_json_get(&o.model, o.section_name);
        p.c.embed_dim = hc_embed_dim(&o);
        if (tower == HC_IMAGE) hc_vision_read(&o, &p.c);
        else hc_text_read(&o, &p.c);
        p.dim = net.dim;
        p.tokens_out = net.tokens_out;
    }
    hc_network_free(&net);
    return p;
}

static parsed parse_sections(hc_tower tower, const char *model, const char *vision, const char *text,
                             hc_problem *problem)
{
    char json[1024];
    snprintf(json, sizeof json, "{\"embed_dim\": 64%s, \"vision_cfg\": {%s}, \"text_cfg\": {%s}}", model, vision, text);
    return parse(tower, json, strlen(json), problem);
}

static parsed image(const char *model, const char *vision)
{
    hc_problem problem;
    parsed p = parse_sections(HC_IMAGE, model, vision, "\"unknown_in_the_other_tower\": 1", &problem);
    CHECK(problem.status == HC_OK, "%s: %s", vision, problem.message);
    return p;
}

static parsed text(const char *model, const char *section)
{
    hc_problem problem;
    parsed p = parse_sections(HC_TEXT, model, "\"timm_model_name\": \"of_the_other_tower\"", section, &problem);
    CHECK(problem.status == HC_OK, "%s: %s", section, problem.message);
    return p;
}

static void test_defaults(void)
{
    parsed p = image("", "");
    CHECK(p.c.width == 768 && p.c.layers == 12 && p.c.heads == 12 && p.c.mlp_width == 3072 && p.c.activation == HC_GELU,
          "the transformer");
    CHECK(p.c.image_height == 224 && p.c.image_width == 224 && p.c.patch_height == 16 && p.c.positions == 197,
          "the grid");
    CHECK(p.c.pool == HC_POOL_TOK && p.c.ln_pre && !p.c.final_ln_after_pool && !p.c.attn_pool && !p.c.layer_scale &&
              p.dim == 64 && p.tokens_out == 1,
          "the ends");
    CHECK(p.c.eps == 1e-5f && p.c.embed_dim == 64, "eps and the width");
    p = text("", "");
    CHECK(p.c.width == 512 && p.c.layers == 12 && p.c.heads == 8 && p.c.mlp_width == 2048 &&
              p.c.text.context_length == 77 && p.c.text.vocab_size == 49408,
          "the transformer");
    CHECK(p.c.causal && p.c.text.pool == HC_TEXT_ARGMAX && !p.c.text.class_row && p.c.proj == HC_PROJ_MATRIX &&
              p.dim == 64 && p.c.text.eos_id == 2,
          "the ends");
}

static void test_image_options(void)
{
    CHECK(image("", "\"width\": 96, \"head_width\": 40").c.heads == 2, "floor division, as width // head_width");
    CHECK(image("", "\"width\": 95, \"head_width\": 48").c.heads == 1, "floor division once more");
    CHECK(image("", "\"width\": 30, \"head_width\": 15, \"mlp_ratio\": 4.9231").c.mlp_width == 147, "int(30 * 4.9231)");
    CHECK(image("", "\"width\": 1664, \"head_width\": 104, \"mlp_ratio\": 4.9231").c.mlp_width == 8192,
          "int(1664 * 4.9231), ViT-bigG-14");
    CHECK(image("", "\"width\": 1408, \"head_width\": 88, \"mlp_ratio\": 4.3637").c.mlp_width == 6144,
          "int(1408 * 4.3637), ViT-g-14");
    parsed p = image("", "\"image_size\": [32, 50], \"patch_size\": [7, 9]");
    CHECK(p.c.image_height == 32 && p.c.image_width == 50 && p.c.positions == 21, "height before width");
    CHECK(image("", "\"pos_embed_type\": \"sin_cos_2d\"").c.positions == 197, "positions come from the file");
    CHECK(image("", "\"pool_type\": \"avg\", \"final_ln_after_pool\": true, \"no_ln_pre\": 1").c.ln_pre == 0,
          "truth as in Python");
    CHECK(image("", "\"pool_type\": \"avg\", \"final_ln_after_pool\": true").c.final_ln_after_pool,
          "final_ln_after_pool");
    CHECK(image("", "\"pool_type\": \"none\"").tokens_out == 197, "a vector a token");
    CHECK(image("", "\"patch_dropout\": 0.5, \"output_tokens\": true, \"ls_init_value\": 1e-5").c.layer_scale,
          "layer scale; dropout is idle");
    CHECK(image(", \"quick_gelu\": true", "\"act_kwargs\": {}").c.activation == HC_QUICK_GELU, "quick_gelu");
    CHECK(image("", "\"act_kwargs\": {\"approximate\": \"tanh\"}").c.activation == HC_GELU_TANH, "tanh");
    CHECK(image("", "\"act_kwargs\": {\"approximate\": \"none\"}").c.activation == HC_GELU, "none");
    CHECK(image("", "\"norm_kwargs\": {\"eps\": 1e-06}").c.eps == 1e-6f &&
              image("", "\"norm_kwargs\": {}").c.eps == 1e-5f,
          "eps");
    p = image(
        "",
        "\"attentional_pool\": true, \"final_ln_after_pool\": true, \"attn_pooler_heads\": 4, \"pool_type\": \"none\"");
    CHECK(p.c.attn_pool == HC_ATTN_POOL_YES && p.c.attn_pooler_queries == 256 && p.c.attn_pooler_heads == 4 &&
              p.tokens_out == 256 && !p.c.final_ln_after_pool,
          "a pooled query a vector");
    p = image("", "\"width\": 64, \"head_width\": 16, \"attentional_pool\": \"cascade\"");
    CHECK(p.c.attn_pool == HC_ATTN_POOL_CASCADE && p.c.pool == HC_POOL_NONE && p.tokens_out == 1, "one vector");
    p = image("", "\"qk_norm\": true, \"scale_heads\": true, \"scale_attn_inner\": true, \"scale_attn\": true, "
                  "\"scale_fc\": true");
    CHECK(p.c.qk_norm && p.c.scale_heads && p.c.scale_attn_inner && p.c.scale_attn && p.c.scale_fc &&
              !p.c.scaled_cosine_attn,
          "the custom block");
    p = image("", "\"block_type\": \"default\", \"qk_norm\": true, \"scaled_cosine_attn\": true, \"scale_fc\": true");
    CHECK(!p.c.qk_norm && !p.c.scale_fc, "the default block has no such parts");
    CHECK(image("", "\"block_type\": \"custom\", \"scaled_cosine_attn\": true").c.scaled_cosine_attn,
          "cosine attention");
    CHECK(image("", "\"width\": 12, \"width\": 128").c.width == 128, "of two keys the last counts");
}

static void test_text_options(void)
{
    static const struct {
        const char *name;
        hc_text_pool pool;
    } pools[] = {{"argmax", HC_TEXT_ARGMAX},
                 {"first", HC_TEXT_FIRST},
                 {"last", HC_TEXT_LAST},
                 {"eos", HC_TEXT_EOS},
                 {"none", HC_TEXT_ALL}};
    for (size_t i = 0; i < 5; i++) {
        char section[64];
        snprintf(section, sizeof section, "\"pool_type\": \"%s\", \"eos_id\": 49407", pools[i].name);
        parsed p = text("", section);
        CHECK(p.c.text.pool == pools[i].pool && p.c.text.eos_id == 49407 &&
                  p.tokens_out == (pools[i].pool == HC_TEXT_ALL ? 77 : 1),
              "%s", section);
    }
    CHECK(text("", "\"no_causal_mask\": true").c.causal == 0, "bidirectional");
    parsed p = text("", "\"proj_type\": \"none\", \"proj_bias\": true");
    CHECK(p.c.proj == HC_PROJ_NONE && p.dim == 512, "as wide as the tower");
    CHECK(text("", "\"proj_bias\": true").c.proj == HC_PROJ_LINEAR &&
              text("", "\"proj_type\": null").c.proj == HC_PROJ_MATRIX,
          "projections");
    p = text(", \"custom_text\": true, \"multimodal_cfg\": {\"anything\": 1}",
             "\"embed_cls\": true, \"context_length\": 76, \"pad_id\": 3, \"pool_type\": \"none\"");
    CHECK(p.c.text.class_row && p.c.text.context_length == 76 && p.c.text.pad_id == 3 && p.tokens_out == 1,
          "a class token at the end");
    CHECK(text("", "\"embed_cls\": true, \"hf_model_name\": null").c.text.class_row,
          "the key alone makes CustomTextCLIP");
    CHECK(text("", "\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"clean\": \"canonicalize\"}, "
                   "\"final_ln_after_pool\": true")
                  .c.width == 512,
          "options of others");
}

static void test_wrapping(void)
{
    hc_problem problem;
    const char *wrapped = "{\"preprocess_cfg\": {\"size\": 9}, \"model_cfg\": {\"embed_dim\": 32, \"text_cfg\": "
                          "{\"heads\": 4}}, \"more\": 1}";
    parsed p = parse(HC_TEXT, wrapped, strlen(wrapped), &problem);
    CHECK(problem.status == HC_OK && p.c.heads == 4, "%s", problem.message);
    bytes golden = golden_tower("image-wide", ".json");
    p = parse(HC_IMAGE, (char *)golden.data, golden.size, &problem);
    CHECK(problem.status == HC_OK && p.c.image_height == 16 && p.c.image_width == 40, "%s", problem.message);
    free(golden.data);
}

/* Names of timm's whose towers are those of another name's, or behind other layers. */
static void test_names(void)
{
    static const char *const names[] = {"eva_large_patch14_336", "vit_base_r50_s16_224", "vit_small_r26_s32_384",
                                        "vit_base_resnet26d_224", "vit_tiny_r_s16_p8_224"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char section[96];
        snprintf(section, sizeof section, "\"timm_model_name\": \"%s\"", names[i]);
        image("", section);
    }
}

/* Each refused by a message that has the word. */
static void test_refused(void)
{
    static const struct {
        hc_status status;
        hc_tower tower;
        const char *model, *section, *word;
    } cases[] = {
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"timm_model_name\": \"vit_x\"", "timm"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_r26_s32_224\", \"timm_model_args\": {\"channels\": [128, 192, 256, 256]}",
         "192, expected a multiple of 128"},
        {HC_MODEL_CONFIG, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_r50_s16_224\", \"timm_model_args\": {\"layers\": [1, 1, 1, 1]}",
         "expected 3 to 3 integers"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_tiny_r_s16_p8_224\", \"timm_model_args\": {\"layers\": []}", "layers"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_resnet50d_224\", \"image_size\": [32, 31]", "32 by 31"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"timm_model_name\": \"vit_tiny_r_s16_p8_224\", \"image_size\": 240",
         "60 by 60"},
        {HC_MODEL_CONFIG, HC_IMAGE, "",
         "\"timm_model_name\": \"swin_s3_tiny_224\", \"timm_model_args\": {\"window_size\": [7, 7, [7]]}",
         "for each of 4 stages"},
        {HC_MODEL_CONFIG, HC_IMAGE, "",
         "\"timm_model_name\": \"swin_s3_tiny_224\", \"timm_model_args\": {\"window_size\": [7, 7, 7, [7, 7, 7]]}",
         "for each of 4 stages"},
        /* Where OpenCLIP cannot compute it either. */
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"timm_model_name\": \"swin_s3_tiny_224\", \"timm_pool\": \"abs_attn\"",
         "swin_s3_tiny_224"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_tiny_patch16_224\", \"timm_pool\": \"rot_attn\"", "timm_pool"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"eva02_tiny_patch14_224\", \"timm_pool\": \"abs_attn\"", "timm_pool"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"deit_tiny_distilled_patch16_224\", \"timm_pool\": \"avg\"", "timm_pool token"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"deit_tiny_distilled_patch16_224\", \"timm_pool\": \"\", \"timm_proj\": \"none\"",
         "timm_pool token"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_dwee_patch16_reg1_gap_256\", \"timm_model_args\": {\"embed_dim\": 20, "
         "\"num_heads\": 4}",
         "heads of 5 channels"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_patch16_sapiens2\", \"timm_pool\": \"token\", \"timm_model_args\": "
         "{\"depth\": 2, \"num_kv_heads\": [12, 5]}",
         "5 heads of keys and values in block 1"},
        {HC_MODEL_CONFIG, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_patch16_sapiens2\", \"timm_pool\": \"token\", \"timm_model_args\": "
         "{\"depth\": 2, \"num_kv_heads\": [12]}",
         "expected 2 to 2 integers"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"vit_base_patch16_dinov3\", \"timm_model_args\": {\"num_kv_heads\": [1]}",
         "as many as num_heads"},
        /* A pool that the name stands for no heads of. */
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"eva02_tiny_patch14_224\", \"timm_pool\": \"map\", \"timm_proj\": \"none\"",
         "timm_pool"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"convnext_atto\", \"timm_pool\": \"rot_attn\", \"timm_model_args\": {\"dims\": "
         "[8, 8, 8, 96]}",
         "96 channels"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"convnext_large_mlp\", \"timm_pool\": \"abs_attn\", \"timm_model_args\": "
         "{\"head_hidden_size\": 64}",
         "expected 1536"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"timm_model_name\": \"fastvit_t8\", \"timm_pool\": \"abs_attn\", \"timm_model_args\": {\"embed_dims\": "
         "[8, 8, 8, 40]}",
         "80 channels"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"layers\": [3, 4, 6]", "4 stages"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_model_name\": \"google/mt6-base\"", "mt6-base"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_model_name\": \"x\", \"hf_config\": {\"model_type\": \"t6\"}",
         "model_type \"t6\""},
        {HC_MODEL_CONFIG, HC_TEXT, "", "\"hf_config\": 1", "hf_config is 1"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_model_name\": \"t5-base\", \"hf_proj_type\": null", "to be equal"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "",
         "\"hf_config\": {\"model_type\": \"t5\", \"relative_attention_num_buckets\": 6}", "multiple of 4"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "",
         "\"hf_config\": {\"model_type\": \"t5\", \"relative_attention_max_distance\": 8}", "max_distance"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_config\": {\"model_type\": \"mt5\", \"num_heads\": 8000}",
         "8000 heads of 64"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_config\": {\"model_type\": \"t5\", \"feed_forward_proj\": \"glu\"}",
         "feed_forward_proj"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_config\": {\"model_type\": \"t5\", \"is_decoder\": true}",
         "is_decoder"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "",
         "\"hf_config\": {\"model_type\": \"m2m_100\", \"encoder_attention_heads\": 3}", "3 heads"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_config\": {\"model_type\": \"m2m_100\", \"d_model\": 2}", "d_model"},
        {HC_MODEL_CONFIG, HC_TEXT, "", "\"hf_model_name\": \"roberta-base\", \"hf_config\": []", "hf_config is []"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "",
         "\"hf_model_name\": \"roberta-base\", \"hf_config\": {\"model_type\": \"roberta\", \"pad_token_id\": 9000}",
         "positions for 0 tokens"},
        /* As in Python, whatever is true asks for another library's tower. */
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"timm_model_name\": 5", "vision_cfg.timm_model_name is 5"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_model_name\": true", "text_cfg.hf_model_name is true"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"pool_type\": \"max\"", "tok, avg or none"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"pool_type\": \"tok\"", "argmax, first, last, eos or none"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"embed_cls\": true", "custom_text"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"new_option\": 1", "new_option"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"head_width\": 64", "head_width"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, ", \"surprise\": 1", "", "surprise"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, ", \"quick_gelu\": true", "\"act_kwargs\": {\"approximate\": \"tanh\"}",
         "QuickGELU"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"act_kwargs\": {\"approximate\": \"fast\"}", "tanh or none"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"act_kwargs\": {\"inplace\": true}", "inplace"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"norm_kwargs\": {\"elementwise_affine\": false}", "elementwise_affine"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"norm_kwargs\": {\"eps\": -1}", "eps"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"qk_norm\": true, \"scaled_cosine_attn\": true", "scaled_cosine_attn"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"pos_embed_type\": \"rope\"", "sin_cos_2d"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"pos_embed_type\": \"sin_cos_2d\", \"image_size\": [32, 64]", "square"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"attentional_pool\": \"serial\"", "cascade"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"attentional_pool\": \"parallel\"", "embed_dim"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"attentional_pool\": true, \"attn_pooler_heads\": 7", "7 heads"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "",
         "\"attentional_pool\": true, \"attn_pooler_queries\": 1, \"pool_type\": \"avg\"", "first query"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"width\": 100, \"head_width\": 30", "divide"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"width\": 32", "0 heads"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"heads\": 7", "7 heads"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"image_size\": 8", "larger than the picture"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"image_size\": 0", "image_size is 0"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"image_size\": 16384, \"patch_size\": 1024", "pixels"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"width\": -768", "width is -768"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"width\": 1e300", "width is 1e300"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"layers\": 0", "layers is 0"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"mlp_ratio\": 1e9", "mlp_ratio"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"mlp_ratio\": 0", "mlp_ratio"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"mlp_ratio\": -4", "mlp_ratio"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"patch_size\": 1, \"image_size\": 4096", "sequences"},
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"patch_dropout\": 1", "patch_dropout"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"width\": 8192, \"vocab_size\": 4000000, \"heads\": 1, \"mlp_ratio\": 1",
         "matrices"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"width\": 4096, \"vocab_size\": 4000000", "table"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"width\": \"wide\"", "integer"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"width\": 768.5", "integer"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"width\": null", "integer"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"image_size\": [224]", "[height, width]"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"image_size\": [224, 224, 3]", "[height, width]"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"mlp_ratio\": \"4\"", "mlp_ratio"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"norm_kwargs\": 3", "object"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"act_kwargs\": 3", "object"},
        {HC_MODEL_CONFIG, HC_IMAGE, "", "\"ls_init_value\": \"small\"", "ls_init_value"},
    };
    hc_problem problem;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *section = cases[i].section;
        parse_sections(cases[i].tower, cases[i].model, cases[i].tower == HC_IMAGE ? section : "",
                       cases[i].tower == HC_TEXT ? section : "", &problem);
        CHECK(problem.status == cases[i].status && strstr(problem.message, cases[i].word), "%s %s: %s \"%s\"",
              cases[i].model, section, hc_status_code(problem.status), problem.message);
    }
    static const char *const documents[] = {"",
                                            "nothing",
                                            "{",
                                            "[]",
                                            "null",
                                            "{}",
                                            "{\"embed_dim\": 4}",
                                            "{\"text_cfg\": {}}",
                                            "{\"embed_dim\": 4, \"text_cfg\": 1}",
                                            "{\"model_cfg\": 1}",
                                            "{\"embed_dim\": \"x\", \"text_cfg\": {}}",
                                            "{\"architectures\": [\"CLIPModel\"]}"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        parse(HC_TEXT, documents[i], strlen(documents[i]), &problem);
        CHECK(problem.status == HC_MODEL_CONFIG && *problem.message, "%s: %s \"%s\"", documents[i],
              hc_status_code(problem.status), problem.message);
    }
}

/* ---- preprocessing ------------------------------------------------------------------------------------------------
 */

static void test_preprocess(void)
{
    static const struct {
        const char *json;
        hc_status status;
        hc_preprocess_cfg cfg;
    } cases[] = {
        {"{\"embed_dim\": 1, \"vision_cfg\": {}}",
         HC_OK,
         {224,
          224,
          {0.48145466f, 0.4578275f, 0.40821073f},
          {0.26862954f, 0.26130258f, 0.27577711f},
          HC_BICUBIC,
          HC_SHORTEST,
          0}},
        {"{\"model_cfg\": {\"vision_cfg\": {\"image_size\": [40, 48]}}, \"preprocess_cfg\": {\"size\": 99, \"mean\": "
         "[0.5, 0.25, 1e-1], \"std\": 0.5, \"interpolation\": \"bilinear\","
         " \"resize_mode\": \"squash\", \"fill_color\": 128}}",
         HC_OK,
         {40, 48, {0.5f, 0.25f, 0.1f}, {0.5f, 0.5f, 0.5f}, HC_BILINEAR, HC_SQUASH, 128}},
        {"{\"model_cfg\": {\"vision_cfg\": {\"image_size\": 64}}, \"preprocess_cfg\": {\"mean\": null, \"std\": 0, "
         "\"interpolation\": \"random\", \"resize_mode\": \"longest\", \"mode\": \"RGB\"}}",
         HC_OK,
         {64,
          64,
          {0.48145466f, 0.4578275f, 0.40821073f},
          {0.26862954f, 0.26130258f, 0.27577711f},
          HC_BICUBIC,
          HC_LONGEST,
          0}},
        {"{\"preprocess_cfg\": {\"size\": [8, 9], \"mean\": [0.0], \"std\": [1], \"interpolation\": \"lanczos\", "
         "\"resize_mode\": null}}",
         HC_OK,
         {8, 9, {0, 0, 0}, {1, 1, 1}, HC_LANCZOS, HC_SHORTEST, 0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"interpolation\": \"nearest\"}}", HC_MODEL_UNSUPPORTED, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"resize_mode\": \"crop\"}}", HC_MODEL_UNSUPPORTED, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"mode\": \"L\"}}", HC_MODEL_UNSUPPORTED, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"fill_color\": 256}}", HC_MODEL_UNSUPPORTED, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"std\": [1, 0, 1]}}", HC_MODEL_CONFIG, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"std\": [1, 1e99, 1]}}", HC_MODEL_CONFIG, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"mean\": [1, 2]}}", HC_MODEL_CONFIG, {0}},
        {"{\"vision_cfg\": {}, \"preprocess_cfg\": {\"mean\": \"grey\"}}", HC_MODEL_CONFIG, {0}},
        {"{\"vision_cfg\": {\"image_size\": \"big\"}}", HC_MODEL_CONFIG, {0}},
        {"{\"preprocess_cfg\": 1}", HC_MODEL_CONFIG, {0}},
        {"[]", HC_MODEL_CONFIG, {0}},
        {"", HC_MODEL_CONFIG, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hc_preprocess_cfg found;
        hc_status status = hc_preprocess_parse(cases[i].json, strlen(cases[i].json), &found);
        CHECK(status == cases[i].status, "%s: %s", cases[i].json, hc_status_code(status));
        if (status != HC_OK || cases[i].status != HC_OK) continue;
        const hc_preprocess_cfg *e = &cases[i].cfg;
        CHECK(found.height == e->height && found.width == e->width && found.interpolation == e->interpolation &&
                  found.resize_mode == e->resize_mode && found.fill_color == e->fill_color &&
                  !memcmp(found.mean, e->mean, sizeof e->mean) && !memcmp(found.std, e->std, sizeof e->std),
              "%s", cases[i].json);
    }
}

int main(void)
{
    test_known_models();
    test_defaults();
    test_image_options();
    test_text_options();
    test_wrapping();
    test_refused();
    test_names();
    test_preprocess();
    return check_result("config");
}
