/* test_activation.c: which of GELU and QuickGELU a tower computes, where the model, a shard and what else the file
 * holds say it, leave it open, or contradict one another. */
#include "check.h"
#include "loading.h"
#include "inside.h"

static const hc_tower TOWERS[] = {HC_IMAGE, HC_TEXT};

static const char OPEN[] = "", IS_NULL[] = "\"quick_gelu\":null,", QUICK[] = "\"quick_gelu\":true,",
                  PLAIN[] = "\"quick_gelu\":false,";

/* The golden model's config, with another statement about the activation, as a config on its own or as
 * open_clip_config.json nests it. */
static char *config_with(const char *statement, int nested)
{
    bytes config = golden_tower("clip", ".json");
    hc_json root, model;
    hc_json_error error;
    CHECK(hc_json_parse((char *)config.data, config.size, &root, &error), "%s", error.reason);
    model = hc_json_get(&root, "model_cfg");
    size_t size = config.size + 100;
    char *text = malloc(size);
    snprintf(text, size, "%s{%s%.*s%s", nested ? "{\"model_cfg\":" : "", statement, (int)model.length - 1,
             model.text + 1, nested ? "}" : "");
    free(config.data);
    return text;
}

/* The golden checkpoint with a prefix before every name, and with more tensors, whose names end with a NULL. */
static bytes file_with(const char *prefix, const char *const *names)
{
    size_t count;
    bytes file = golden_tower("clip", ".safetensors");
    part *parts = take_apart(file, &count), *all = calloc(count + 8, sizeof *all);
    memcpy(all, parts, count * sizeof *all);
    for (size_t i = 0; i < count; i++) snprintf(all[i].name, sizeof all[i].name, "%s%s", prefix, parts[i].name);
    for (; *names; names++) {
        all[count] = all[0];
        snprintf(all[count++].name, sizeof all->name, "%s", *names);
    }
    bytes built = build_file(all, count, NULL);
    free(all);
    free(parts);
    free(file.data);
    return built;
}

/* Loads with the statement in the model; expects this activation, also of the shard that is written, or a failure whose
 * message has the word. */
static void expect(bytes file, const char *statement, hc_activation expected, const char *word, const char *label)
{
    for (int nested = 0; nested < 2; nested++)
        for (int t = 0; t < 2; t++) {
            char *config = config_with(statement, nested);
            outcome end;
            hc_encoder *encoder = load_bytes(TOWERS[t], file, config, HC_FP32, 1000, 1, &end);
            free(config);
            if (word) {
                CHECK(!encoder && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, "quick_gelu") &&
                          strstr(end.message, word) && !end.pushed,
                      "%s, model with %s: %s", label, statement, end.message);
                hc_encoder_free(encoder);
                continue;
            }
            CHECK(encoder && activation_of(encoder) == expected, "%s, model with %s: %s", label, statement,
                  end.message);
            if (!encoder) continue;
            CHECK(!strstr(hc_encoder_config(encoder), "\"quick_gelu\":true") == (expected != HC_QUICK_GELU), "%s: %s",
                  label, hc_encoder_config(encoder));
            bytes shard = shard_of(encoder);
            hc_encoder_free(encoder);
            encoder = load_bytes(TOWERS[t], shard, NULL, HC_AUTO, 1000, 1, &end);
            CHECK(encoder && activation_of(encoder) == expected, "%s: the shard: %s", label, end.message);
            hc_encoder_free(encoder);
            free(shard.data);
        }
}

static void test_checkpoints(void)
{
    static const struct {
        const char *prefix, *names[4];
        int quick;
    } files[] = {
        {"", {NULL}, 0},
        {"clip.", {NULL}, 0}, /* anybody may call it so */
        {"", {"vocab_size", NULL}, 0},
        {"", {"transformerClip.x", NULL}, 0},
        {"", {"input_resolution", "context_length", "vocab_size", NULL}, 1},
        {"module.", {"module.input_resolution", "module.context_length", "module.vocab_size", NULL}, 1},
        {"module._orig_mod.", {"module._orig_mod.context_length", "module._orig_mod.vocab_size", NULL}, 1},
        {"clip.", {"frame_position_embeddings.weight", NULL}, 1},
        {"clip.", {"transformerClip.resblocks.0.ln_1.weight", NULL}, 1},
        {"clip.", {"lstm_visual.weight_ih_l0", NULL}, 1},
        {"clip.", {"cross.pooler.dense.weight", NULL}, 1},
        {"module.clip.", {"module.similarity_dense.weight", NULL}, 1},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bytes file = file_with(files[i].prefix, files[i].names);
        const char *label = files[i].names[0] ? files[i].names[0] : files[i].prefix;
        expect(file, OPEN, files[i].quick ? HC_QUICK_GELU : HC_GELU, NULL, label);
        expect(file, IS_NULL, files[i].quick ? HC_QUICK_GELU : HC_GELU, NULL, label);
        expect(file, QUICK, HC_QUICK_GELU, NULL, label);
        expect(file, PLAIN, HC_GELU, files[i].quick ? i < 7 ? "OpenAI" : "CLIP4Clip" : NULL, label);
        free(file.data);
    }
}

/* A shard says it in its own config, where leaving it out is saying GELU, as in OpenCLIP. */
static void test_shards(void)
{
    bytes file = file_with("", (const char *const[]){NULL});
    for (int quick = 0; quick < 2; quick++)
        for (int t = 0; t < 2; t++) {
            outcome end;
            char *config = config_with(quick ? QUICK : OPEN, 1);
            hc_encoder *encoder = load_bytes(TOWERS[t], file, config, HC_INT8, 1000, 1, &end);
            bytes shard = shard_of(encoder);
            hc_encoder_free(encoder);
            free(config);
            static const char *const statements[] = {OPEN, IS_NULL, QUICK, PLAIN};
            for (int i = 0; i < 4; i++) {
                int fits = i < 2 || (i == 2) == quick;
                config = config_with(statements[i], i % 2);
                encoder = load_bytes(TOWERS[t], shard, config, HC_AUTO, 1000, 1, &end);
                if (fits)
                    CHECK(encoder && activation_of(encoder) == (quick ? HC_QUICK_GELU : HC_GELU), "%s: %s",
                          statements[i], end.message);
                else
                    CHECK(!encoder && end.status == HC_WEIGHTS_MISMATCH &&
                              strstr(end.message, quick ? "computes QuickGELU" : "computes GELU"),
                          "%s: %s", statements[i], end.message);
                hc_encoder_free(encoder);
                free(config);
            }
            free(shard.data);
        }
    free(file.data);
}

int main(void)
{
    test_checkpoints();
    test_shards();
    return check_result("activation");
}
