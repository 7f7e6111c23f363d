/* test_config.c: every config of OpenCLIP gives the tensors that OpenCLIP builds from it, and every option that it
 * refuses, or that no tower here computes, is refused by name. */
#include "check.h"
#include "checkpoint/json.h"
#include "loading.h"
#include "sha256.h"
#include "tower/tower.h"

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The SHA-256 of the sorted lines "name 2x3\n" of a tower's tensors; also how many tensors and numbers they are. */
static void describe(const hc_config *config, size_t *count, uint64_t *parameters, char hex[65])
{
    hc_weights weights = {.blocks = calloc((size_t)config->layers, sizeof(hc_block))};
    *count = hc_tower_tensors(config, &weights, NULL, 0);
    hc_tensor *tensors = calloc(*count, sizeof *tensors);
    char **lines = calloc(*count, sizeof *lines), *text = calloc(*count, 160);
    hc_tower_tensors(config, &weights, tensors, *count);
    *parameters = 0;
    for (size_t i = 0; i < *count; i++) {
        uint64_t numbers = 1;
        lines[i] = calloc(1, 160);
        size_t length = (size_t)snprintf(lines[i], 160, "%s ", tensors[i].name);
        for (int d = 0; d < tensors[i].rank; d++) {
            length += (size_t)snprintf(lines[i] + length, 160 - length, "%s%u", d ? "x" : "", tensors[i].shape[d]);
            numbers *= tensors[i].shape[d];
        }
        snprintf(lines[i] + length, 160 - length, "\n");
        *parameters += numbers;
    }
    qsort(lines, *count, sizeof *lines, by_text);
    for (size_t i = 0; i < *count; i++) {
        strcat(text, lines[i]);
        free(lines[i]);
    }
    sha256(text, hex);
    free(lines);
    free(text);
    free(tensors);
    free(weights.blocks);
}

static void compare(const char *name, hc_tower tower, const char *json, size_t length, const hc_json *expected)
{
    char message[512], hex[65];
    hc_config config;
    hc_status status = hc_config_parse(&config, tower, json, length, message, sizeof message);
    hc_json family = hc_json_get(expected, "family"), tensors = hc_json_get(expected, "tensors"),
            parameters = hc_json_get(expected, "parameters");
    hc_json hash = hc_json_get(expected, "sha256");
    if (!hc_json_is(&family, "openclip")) {
        const char *word = hc_json_is(&family, "timm")     ? "timm"
                           : hc_json_is(&family, "resnet") ? "ResNet"
                                                           : "Hugging Face";
        CHECK(status == HC_MODEL_UNSUPPORTED && strstr(message, word), "%s: %s", name, message);
        return;
    }
    CHECK(status == HC_OK, "%s: %s", name, message);
    if (status != HC_OK) return;
    size_t count;
    uint64_t numbers;
    describe(&config, &count, &numbers, hex);
    CHECK(count == (size_t)hc_json_number(&tensors) && numbers == (uint64_t)hc_json_number(&parameters),
          "%s: %zu tensors, %llu numbers", name, count, (unsigned long long)numbers);
    CHECK(hc_json_is(&hash, hex), "%s: other names or shapes than OpenCLIP's", name);
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

static hc_status parse(hc_config *config, hc_tower tower, const char *model, const char *vision, const char *text,
                       char message[512])
{
    char json[1024];
    snprintf(json, sizeof json, "{\"embed_dim\": 64%s, \"vision_cfg\": {%s}, \"text_cfg\": {%s}}", model, vision, text);
    return hc_config_parse(config, tower, json, strlen(json), message, 512);
}

static hc_config image(const char *model, const char *vision)
{
    hc_config config;
    char message[512];
    hc_status status = parse(&config, HC_IMAGE, model, vision, "\"unknown_in_the_other_tower\": 1", message);
    CHECK(status == HC_OK, "%s: %s", vision, message);
    return config;
}

static hc_config text(const char *model, const char *section)
{
    hc_config config;
    char message[512];
    hc_status status = parse(&config, HC_TEXT, model, "\"timm_model_name\": \"of_the_other_tower\"", section, message);
    CHECK(status == HC_OK, "%s: %s", section, message);
    return config;
}

static void test_defaults(void)
{
    hc_config c = image("", "");
    CHECK(c.width == 768 && c.layers == 12 && c.heads == 12 && c.head_dim == 64 && c.mlp_width == 3072 &&
              c.activation == HC_GELU,
          "the transformer");
    CHECK(c.image_height == 224 && c.image_width == 224 && c.patch_height == 16 && c.grid_height == 14 &&
              c.positions == 197,
          "the grid");
    CHECK(c.pool == HC_POOL_TOK && c.ln_pre && !c.final_ln_after_pool && !c.attn_pool && !c.layer_scale &&
              c.dim == 64 && c.tokens_out == 1,
          "the ends");
    CHECK(c.eps == 1e-5f && c.proj == HC_PROJ_MATRIX && c.embed_dim == 64, "eps and projection");
    c = text("", "");
    CHECK(c.width == 512 && c.layers == 12 && c.heads == 8 && c.mlp_width == 2048 && c.context_length == 77 &&
              c.vocab_size == 49408,
          "the transformer");
    CHECK(c.causal && c.pool == HC_POOL_ARGMAX && !c.embed_cls && c.positions == 77 && c.proj == HC_PROJ_MATRIX &&
              c.dim == 64 && c.eos_id == 2,
          "the ends");
}

static void test_image_options(void)
{
    CHECK(image("", "\"width\": 96, \"head_width\": 40").heads == 2, "floor division, as width // head_width");
    CHECK(image("", "\"width\": 95, \"head_width\": 48").heads == 1, "floor division once more");
    CHECK(image("", "\"width\": 30, \"head_width\": 15, \"mlp_ratio\": 4.9231").mlp_width == 147, "int(30 * 4.9231)");
    CHECK(image("", "\"width\": 1664, \"head_width\": 104, \"mlp_ratio\": 4.9231").mlp_width == 8192,
          "int(1664 * 4.9231), ViT-bigG-14");
    CHECK(image("", "\"width\": 1408, \"head_width\": 88, \"mlp_ratio\": 4.3637").mlp_width == 6144,
          "int(1408 * 4.3637), ViT-g-14");
    hc_config c = image("", "\"image_size\": [32, 50], \"patch_size\": [7, 9]");
    CHECK(c.image_height == 32 && c.image_width == 50 && c.grid_height == 4 && c.grid_width == 5 && c.positions == 21,
          "height before width");
    CHECK(image("", "\"pos_embed_type\": \"sin_cos_2d\"").positions == 197, "positions come from the file");
    CHECK(image("", "\"pool_type\": \"avg\", \"final_ln_after_pool\": true, \"no_ln_pre\": 1").ln_pre == 0,
          "truth as in Python");
    CHECK(image("", "\"pool_type\": \"avg\", \"final_ln_after_pool\": true").final_ln_after_pool,
          "final_ln_after_pool");
    CHECK(image("", "\"pool_type\": \"none\"").tokens_out == 197, "a vector a token");
    CHECK(image("", "\"patch_dropout\": 0.5, \"output_tokens\": true, \"ls_init_value\": 1e-5").layer_scale,
          "layer scale; dropout is idle");
    CHECK(image(", \"quick_gelu\": true", "\"act_kwargs\": {}").activation == HC_QUICK_GELU, "quick_gelu");
    CHECK(image("", "\"act_kwargs\": {\"approximate\": \"tanh\"}").activation == HC_GELU_TANH, "tanh");
    CHECK(image("", "\"act_kwargs\": {\"approximate\": \"none\"}").activation == HC_GELU, "none");
    CHECK(image("", "\"norm_kwargs\": {\"eps\": 1e-06}").eps == 1e-6f && image("", "\"norm_kwargs\": {}").eps == 1e-5f,
          "eps");
    c = image(
        "",
        "\"attentional_pool\": true, \"final_ln_after_pool\": true, \"attn_pooler_heads\": 4, \"pool_type\": \"none\"");
    CHECK(c.attn_pool == HC_ATTN_POOL_YES && c.attn_pooler_queries == 256 && c.attn_pooler_heads == 4 &&
              c.tokens_out == 256 && !c.final_ln_after_pool,
          "a pooled query a vector");
    c = image("", "\"width\": 64, \"head_width\": 16, \"attentional_pool\": \"cascade\"");
    CHECK(c.attn_pool == HC_ATTN_POOL_CASCADE && c.pool == HC_POOL_NONE && c.tokens_out == 1, "one vector");
    c = image("", "\"qk_norm\": true, \"scale_heads\": true, \"scale_attn_inner\": true, \"scale_attn\": true, "
                  "\"scale_fc\": true");
    CHECK(c.qk_norm && c.scale_heads && c.scale_attn_inner && c.scale_attn && c.scale_fc && !c.scaled_cosine_attn,
          "the custom block");
    c = image("", "\"block_type\": \"default\", \"qk_norm\": true, \"scaled_cosine_attn\": true, \"scale_fc\": true");
    CHECK(!c.qk_norm && !c.scale_fc, "the default block has no such parts");
    CHECK(image("", "\"block_type\": \"custom\", \"scaled_cosine_attn\": true").scaled_cosine_attn, "cosine attention");
    CHECK(image("", "\"width\": 12, \"width\": 128").width == 128, "of two keys the last counts");
}

static void test_text_options(void)
{
    static const struct {
        const char *name;
        hc_pool pool;
    } pools[] = {{"argmax", HC_POOL_ARGMAX},
                 {"first", HC_POOL_FIRST},
                 {"last", HC_POOL_LAST},
                 {"eos", HC_POOL_EOS},
                 {"none", HC_POOL_NONE}};
    for (size_t i = 0; i < 5; i++) {
        char section[64];
        snprintf(section, sizeof section, "\"pool_type\": \"%s\", \"eos_id\": 49407", pools[i].name);
        hc_config c = text("", section);
        CHECK(c.pool == pools[i].pool && c.eos_id == 49407 && c.tokens_out == (pools[i].pool == HC_POOL_NONE ? 77 : 1),
              "%s", section);
    }
    CHECK(text("", "\"no_causal_mask\": true").causal == 0, "bidirectional");
    hc_config c = text("", "\"proj_type\": \"none\", \"proj_bias\": true");
    CHECK(c.proj == HC_PROJ_NONE && c.dim == 512, "as wide as the tower");
    CHECK(text("", "\"proj_bias\": true").proj == HC_PROJ_LINEAR &&
              text("", "\"proj_type\": null").proj == HC_PROJ_MATRIX,
          "projections");
    c = text(", \"custom_text\": true, \"multimodal_cfg\": {\"anything\": 1}",
             "\"embed_cls\": true, \"context_length\": 76, \"pad_id\": 3, \"pool_type\": \"none\"");
    CHECK(c.embed_cls && c.positions == 77 && c.context_length == 76 && c.pad_id == 3 && c.tokens_out == 1,
          "a class token at the end");
    CHECK(text("", "\"embed_cls\": true, \"hf_model_name\": null").embed_cls, "the key alone makes CustomTextCLIP");
    CHECK(text("", "\"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"clean\": \"canonicalize\"}, "
                   "\"final_ln_after_pool\": true")
                  .width == 512,
          "options of others");
}

static void test_wrapping(void)
{
    hc_config c;
    char message[512];
    const char *wrapped = "{\"preprocess_cfg\": {\"size\": 9}, \"model_cfg\": {\"embed_dim\": 32, \"text_cfg\": "
                          "{\"heads\": 4}}, \"more\": 1}";
    CHECK(hc_config_parse(&c, HC_TEXT, wrapped, strlen(wrapped), message, sizeof message) == HC_OK && c.heads == 4,
          "%s", message);
    bytes golden = golden_tower("image-wide", ".json");
    CHECK(hc_config_parse(&c, HC_IMAGE, (char *)golden.data, golden.size, message, sizeof message) == HC_OK &&
              c.image_height == 16 && c.image_width == 40,
          "%s", message);
    free(golden.data);
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
        {HC_MODEL_UNSUPPORTED, HC_IMAGE, "", "\"layers\": [3, 4, 6, 3]", "ResNet"},
        {HC_MODEL_UNSUPPORTED, HC_TEXT, "", "\"hf_model_name\": \"roberta-base\"", "roberta-base"},
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
    hc_config config;
    char message[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *section = cases[i].section;
        hc_status status = parse(&config, cases[i].tower, cases[i].model, cases[i].tower == HC_IMAGE ? section : "",
                                 cases[i].tower == HC_TEXT ? section : "", message);
        CHECK(status == cases[i].status && strstr(message, cases[i].word), "%s %s: %s \"%s\"", cases[i].model, section,
              hc_status_code(status), message);
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
        hc_status status =
            hc_config_parse(&config, HC_TEXT, documents[i], strlen(documents[i]), message, sizeof message);
        CHECK(status == HC_MODEL_CONFIG && *message, "%s: %s \"%s\"", documents[i], hc_status_code(status), message);
    }
    char shown[24];
    memset(shown, 'x', sizeof shown);
    hc_config_parse(&config, HC_TEXT, "{\"embed_dim\": 4}", 16, shown, 16);
    CHECK(strlen(shown) == 15 && shown[16] == 'x', "a short buffer is cut");
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
    test_preprocess();
    return check_result("config");
}
