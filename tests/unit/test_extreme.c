/* test_extreme.c: configs with numbers that no model has, each with the checkpoint that it asks for: load, embed,
 * dispose. All of them end in a vector or in an error with a code, and the next ordinary load works. With the argument
 * `list` it says how, a line of JSON for each: builds for 32 bits, in which sizes wrap, must say the same (`make
 * test-32`, tests/node/extreme.test.mjs). */
#include "check.h"
#include "made_up.h"

/* Files of more bytes than this are loaded up to their header only, and not at all where sizes have 64 bits: there they
 * would fit. */
enum { HUGE_BYTES = 48 << 20 };

/* An embedding that takes longer than this is left. */
enum { MOST_STEPS = 24 };
static const uint64_t STEP = 1 << 24;

typedef struct extreme {
    const char *name;
    hc_tower tower;
    const char *section; /* of its config, in the tower's section */
    int embed_dim;
    hc_dtype dtype;
    const char *expected; /* a word of the message; "": a vector; NULL: any of these */
} extreme;

static const extreme CASES[] = {
    {"ordinary picture", HC_IMAGE, "\"image_size\":32,\"patch_size\":8,\"width\":64,\"layers\":2", 32, HC_INT8, ""},
    {"ordinary text", HC_TEXT, "\"context_length\":16,\"vocab_size\":600,\"width\":64,\"heads\":2,\"layers\":2", 32,
     HC_INT8, ""},
    /* A batch of these was 2^32 bytes and a few. */
    {"large patches", HC_IMAGE,
     "\"image_size\":2365,\"patch_size\":1183,\"width\":1,\"head_width\":1,\"layers\":1,\"mlp_ratio\":1", 1, HC_INT8,
     ""},
    {"the largest picture in one patch", HC_IMAGE,
     "\"image_size\":4096,\"patch_size\":4096,\"width\":1,\"head_width\":1,\"layers\":1,\"mlp_ratio\":1", 1, HC_INT8,
     NULL},
    {"the largest picture, a small file", HC_IMAGE,
     "\"image_size\":4096,\"patch_size\":64,\"width\":1,\"head_width\":1,\"layers\":1,\"mlp_ratio\":1", 1, HC_INT8,
     "memory to compute"},
    {"a large picture in many patches", HC_IMAGE,
     "\"image_size\":2048,\"patch_size\":32,\"width\":8,\"head_width\":8,\"layers\":1", 8, HC_INT8, ""},
    {"as many positions as there may be", HC_IMAGE,
     "\"image_size\":[255,257],\"patch_size\":1,\"width\":4,\"head_width\":4,\"layers\":1", 4, HC_INT8, NULL},
    {"more positions", HC_IMAGE, "\"image_size\":[256,257],\"patch_size\":1,\"width\":4,\"head_width\":4,\"layers\":1",
     4, HC_INT8, "65793 tokens"},
    {"a picture of one row", HC_IMAGE,
     "\"image_size\":[1,16384],\"patch_size\":1,\"width\":2,\"head_width\":1,\"layers\":1,\"pool_type\":\"none\"", 2,
     HC_INT8, NULL},
    {"all tokens, and wide", HC_IMAGE,
     "\"image_size\":255,\"patch_size\":1,\"width\":1,\"head_width\":1,\"layers\":1,\"pool_type\":\"none\"", 8192,
     HC_INT8, "memory to compute"},
    {"the longest text", HC_TEXT,
     "\"context_length\":65535,\"vocab_size\":2,\"width\":1,\"heads\":1,\"layers\":1,\"mlp_ratio\":1", 1, HC_INT8,
     NULL},
    {"the longest text, all tokens, and wide", HC_TEXT,
     "\"context_length\":65535,\"vocab_size\":2,\"width\":1,\"heads\":1,\"layers\":1,\"pool_type\":\"none\"", 768,
     HC_INT8, "memory to compute"},
    {"the longest text, no mask, many layers", HC_TEXT,
     "\"context_length\":20000,\"vocab_size\":2,\"width\":1,\"heads\":1,\"layers\":64,\"no_causal_mask\":true", 1,
     HC_INT8, NULL},
    {"many queries", HC_IMAGE,
     "\"image_size\":8,\"patch_size\":8,\"width\":8,\"head_width\":8,\"layers\":1,\"attentional_pool\":true,\"attn_"
     "pooler_queries\":65536,\"attn_pooler_heads\":1",
     8, HC_INT8, NULL},
    {"a window that is the picture, many heads", HC_IMAGE,
     "\"timm_model_name\":\"swin_tiny_patch4_window7_224\",\"image_size\":64,\"timm_model_args\":{\"patch_size\":1,"
     "\"embed_dim\":512,\"depths\":[1],\"num_heads\":[512],\"window_size\":16384}",
     8, HC_INT8, "memory to compute"},
    {"windows of one pixel", HC_IMAGE,
     "\"timm_model_name\":\"swin_tiny_patch4_window7_224\",\"image_size\":[1,4096],\"timm_model_args\":{"
     "\"patch_size\":1,\"embed_dim\":2,\"depths\":[2,2],\"num_heads\":[1,2],\"window_size\":1}",
     8, HC_INT8, ""},
    {"windows that do not divide the grid", HC_IMAGE,
     "\"timm_model_name\":\"swin_tiny_patch4_window7_224\",\"image_size\":[9,1021],\"timm_model_args\":{"
     "\"patch_size\":1,\"embed_dim\":2,\"depths\":[2,2],\"num_heads\":[1,2],\"window_size\":[[7,12],[4,300]]}",
     8, HC_INT8, ""},
    {"windows of no pixels", HC_IMAGE,
     "\"timm_model_name\":\"swin_tiny_patch4_window7_224\",\"timm_model_args\":{\"window_size\":[7,0]}", 8, HC_INT8,
     "window_size is 0"},
    {"a picture that is as wide as can be", HC_IMAGE,
     "\"timm_model_name\":\"convnextv2_atto\",\"image_size\":[32,16384],\"timm_model_args\":{\"dims\":[1,1,1,1],"
     "\"depths\":[1,1,1,1]}",
     8, HC_INT8, ""},
    {"one row of pixels, branches to be summed", HC_IMAGE,
     "\"timm_model_name\":\"fastvit_mci0\",\"image_size\":[1,16384],\"timm_pool\":\"avg\",\"timm_proj\":null,"
     "\"timm_model_args\":{\"embed_dims\":[1,1,2,32],\"layers\":[1,1,1,1]}",
     8, HC_INT8, ""},
    {"one pixel, branches to be summed", HC_IMAGE,
     "\"timm_model_name\":\"fastvit_mci3\",\"image_size\":1,\"timm_pool\":\"avg\",\"timm_proj\":\"linear\","
     "\"timm_model_args\":{\"embed_dims\":[1,1,1,32,32],\"layers\":[1,1,1,1,1]}",
     8, HC_INT4, ""},
    {"stages that no convolution makes", HC_IMAGE,
     "\"timm_model_name\":\"fastvit_t8\",\"timm_pool\":\"avg\",\"timm_proj\":null,\"timm_model_args\":{"
     "\"embed_dims\":[2,3,6,12]}",
     8, HC_INT8, "expected a multiple"},
    {"a picture that is too small to halve", HC_IMAGE, "\"timm_model_name\":\"convnext_tiny\",\"image_size\":31", 8,
     HC_INT8, "expected 32 or more"},
    {"one row of pixels, turned by learned frequencies", HC_IMAGE,
     "\"timm_model_name\":\"vit_small_patch16_rope_mixed_224\",\"image_size\":[1,2048],\"timm_pool\":\"avg\","
     "\"timm_proj\":null,\"timm_model_args\":{\"embed_dim\":4,\"depth\":1,\"num_heads\":1,\"patch_size\":1}",
     8, HC_INT8, ""},
    {"halves of heads of one number", HC_IMAGE,
     "\"timm_model_name\":\"vit_dpwee_patch16_reg1_gap_256\",\"image_size\":[3,5],\"timm_pool\":\"avg\","
     "\"timm_proj\":null,\"timm_model_args\":{\"embed_dim\":6,\"depth\":2,\"num_heads\":3,\"patch_size\":1,"
     "\"mlp_ratio\":0.2}",
     8, HC_INT4, ""},
    {"many heads of queries, one of keys and values", HC_IMAGE,
     "\"timm_model_name\":\"vit_base_patch16_sapiens2\",\"image_size\":4,\"timm_pool\":\"token\","
     "\"timm_proj\":null,\"timm_model_args\":{\"embed_dim\":512,\"depth\":2,\"num_heads\":128,\"patch_size\":1,"
     "\"num_kv_heads\":[1,128]}",
     8, HC_INT8, ""},
    {"two class tokens and one patch", HC_IMAGE,
     "\"timm_model_name\":\"deit_tiny_distilled_patch16_224\",\"image_size\":1,\"timm_pool\":\"token\","
     "\"timm_proj\":null,\"timm_model_args\":{\"embed_dim\":1,\"depth\":1,\"num_heads\":1,\"patch_size\":1}",
     1, HC_INT8, ""},
    {"a pool that looks at one patch", HC_IMAGE,
     "\"timm_model_name\":\"vit_so150m_patch16_reg4_map_256\",\"image_size\":1,\"timm_pool\":\"map\","
     "\"timm_proj\":null,\"timm_model_args\":{\"embed_dim\":1,\"depth\":1,\"num_heads\":1,\"patch_size\":1}",
     8, HC_INT4, ""},
    {"a wide hidden layer", HC_TEXT,
     "\"context_length\":4,\"vocab_size\":9,\"width\":1,\"heads\":1,\"layers\":1,\"mlp_ratio\":65536", 1, HC_INT8, ""},
    {"many heads", HC_TEXT, "\"context_length\":600,\"vocab_size\":9,\"width\":512,\"heads\":512,\"layers\":1", 8,
     HC_INT8, NULL},
    {"as many layers as there may be", HC_TEXT,
     "\"context_length\":4,\"vocab_size\":9,\"width\":4,\"heads\":1,\"layers\":256", 4, HC_INT8, ""},
    {"the largest table", HC_TEXT, "\"context_length\":8,\"vocab_size\":4194304,\"width\":1,\"heads\":1,\"layers\":1",
     1, HC_FP16, ""},
    /* A table of 2^32 bytes and a few. */
    {"a table in floats", HC_TEXT, "\"context_length\":8,\"vocab_size\":4194304,\"width\":257,\"heads\":1,\"layers\":1",
     8, HC_FP32, "GB"},
    {"a wide tower", HC_TEXT, "\"context_length\":65535,\"vocab_size\":9,\"width\":2048,\"heads\":1,\"layers\":1", 8192,
     HC_FP32, "GB"},
    {"many wide layers", HC_TEXT, "\"context_length\":8,\"vocab_size\":9,\"width\":4096,\"heads\":1,\"layers\":256", 8,
     HC_INT8, "GB"},
    {"a wide picture", HC_IMAGE, "\"image_size\":16384,\"patch_size\":64,\"width\":4096,\"layers\":1", 8, HC_FP32,
     "image_size"},
};

typedef struct ending {
    hc_status status;
    char message[512];
    int huge, left;
    uint64_t hash, file_bytes, memory_bytes;
} ending;

static void write_config(const extreme *e, char *config, size_t size)
{
    snprintf(config, size, "{\"embed_dim\":%d,\"%s\":{%s}}", e->embed_dim,
             e->tower == HC_IMAGE ? "vision_cfg" : "text_cfg", e->section);
}

static uint64_t hash_of(const float *numbers, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < n * sizeof *numbers; i++) hash = (hash ^ ((const uint8_t *)numbers)[i]) * 0x100000001b3;
    return hash;
}

static ending embed(hc_encoder *encoder, ending end)
{
    hc_info info;
    size_t count;
    hc_encoder_info(encoder, &info);
    void *input = made_up_input(&info, &count);
    size_t result = (size_t)info.dim * (size_t)info.tokens_out;
    float *out = calloc(result, sizeof *out);
    if (!out) exit(1);
    end.memory_bytes = info.memory_bytes;
    end.status = hc_embed_begin(encoder, input, 1, 1, out);
    int steps = 0;
    while (steps < MOST_STEPS && hc_embed_step(encoder, STEP)) steps++;
    end.left = steps == MOST_STEPS;
    if (!end.left) end.hash = hash_of(out, result);
    free(out);
    free(input);
    return end;
}

static int is_left_out(ending end) { return end.huge && SIZE_MAX > UINT32_MAX; }

static ending walk(const extreme *e)
{
    ending end = {.status = HC_OK};
    char config[512];
    write_config(e, config, sizeof config);
    made_up file = made_up_file(e->tower, config);
    end.file_bytes = file.bytes;
    end.huge = file.bytes > HUGE_BYTES;
    if (!is_left_out(end)) {
        hc_encoder *encoder = made_up_load(&file, e->tower, config, e->dtype, !end.huge, &end.status, end.message);
        if (encoder) end = embed(encoder, end);
        hc_encoder_free(encoder);
    }
    free(file.header);
    return end;
}

static void check(const extreme *e, ending end)
{
    CHECK(end.status == HC_OK || end.status == HC_OUT_OF_MEMORY || end.status == HC_MODEL_UNSUPPORTED, "%s: %s: %s",
          e->name, hc_status_code(end.status), end.message);
    CHECK(!end.status == !*end.message, "%s: %s", e->name, end.message);
    if (e->expected && !is_left_out(end))
        CHECK(*e->expected ? strstr(end.message, e->expected) != NULL : end.status == HC_OK, "%s: %s", e->name,
              end.message);
    CHECK(end.memory_bytes <= (192 << 20) + 48 * end.file_bytes, "%s: %llu bytes of memory for a file of %llu", e->name,
          (unsigned long long)end.memory_bytes, (unsigned long long)end.file_bytes);
}

static void list(const extreme *e, ending end)
{
    char config[512];
    static const char *const dtypes[] = {"", "fp32", "fp16", "int8", "int4"};
    write_config(e, config, sizeof config);
    made_up file = made_up_file(e->tower, config);
    printf("{\"name\":\"%s\",\"tower\":\"%s\",\"dtype\":\"%s\",\"config\":%s,\"header\":%s,\"bytes\":%llu,"
           "\"positive\":%d,\"huge\":%d,\"left\":%d,\"code\":\"%s\",\"hash\":\"%016llx\"}\n",
           e->name, e->tower == HC_IMAGE ? "image" : "text", dtypes[e->dtype], config, file.header + 8,
           (unsigned long long)file.bytes, file.positive, end.huge, end.left, hc_status_code(end.status),
           (unsigned long long)end.hash);
    free(file.header);
}

int main(int argc, char **argv)
{
    int listing = argc > 1 && !strcmp(argv[1], "list");
    uint64_t ordinary = 0;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ending end = walk(&CASES[i]), after = walk(&CASES[i % 2]);
        if (i < 2) ordinary ^= end.hash;
        check(&CASES[i], end);
        CHECK(after.status == HC_OK && !after.left && (i >= 2 || after.hash == end.hash), "after %s: %s", CASES[i].name,
              after.message);
        if (listing) list(&CASES[i], end);
    }
    CHECK(ordinary != 0, "vectors");
    return listing ? checks_failed : check_result("extreme configs");
}
