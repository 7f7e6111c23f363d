/* fuzz_config.c: configs with extreme numbers, each with the checkpoint that it asks for, through load and the first
 * steps of one embedding. The first byte chooses family and dtype; each of the others one option's number, from those
 * at and around the edges of 8, 16, 32 and 64 bits. */
#include "../unit/made_up.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger files are loaded as far as their header. */
enum { LARGEST_FILE = 1 << 20, MOST_STEPS = 4 };
static const uint64_t STEP = 1 << 18;

static const char *const NUMBERS[] = {
    "0",          "1",           "2",           "3",
    "4",          "7",           "8",           "9",
    "16",         "31",          "32",          "33",
    "64",         "77",          "127",         "128",
    "256",        "257",         "512",         "1000",
    "1183",       "2048",        "2365",        "4095",
    "4096",       "8191",        "8192",        "8193",
    "16384",      "32768",       "65535",       "65536",
    "65537",      "1048576",     "4194304",     "4194305",
    "16777216",   "1073741824",  "2147483647",  "2147483648",
    "4294967295", "4294967296",  "1e18",        "1e308",
    "-1",         "0.5",         "1.5",         "null",
    "true",       "\"none\"",    "\"avg\"",     "\"parallel\"",
    "[1,16384]",  "[4096,4096]", "{\"eps\":0}",
};
enum { NUMBER_COUNT = sizeof NUMBERS / sizeof *NUMBERS };

/* What is fuzzed of each family: what its config begins and ends with, and the options between. */
enum { MOST_KEYS = 13 };
static const struct kind {
    hc_tower tower;
    const char *begin, *end, *keys[MOST_KEYS + 1];
} KINDS[] = {
    {HC_IMAGE,
     "\"vision_cfg\":{\"layers\":1",
     "}",
     {"image_size", "patch_size", "width", "head_width", "layers", "mlp_ratio", "attentional_pool",
      "attn_pooler_queries", "attn_pooler_heads", "pool_type", "ls_init_value", "no_ln_pre", "final_ln_after_pool"}},
    {HC_TEXT,
     "\"text_cfg\":{\"layers\":1",
     "}",
     {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pool_type", "pad_id", "eos_id",
      "embed_cls", "no_causal_mask", "proj_bias", "qk_norm"}},
    {HC_IMAGE,
     "\"vision_cfg\":{\"layers\":[1,1,1,1],\"width\":4,\"image_size\":32",
     "}",
     {"width", "image_size", "head_width"}},
    {HC_IMAGE,
     "\"vision_cfg\":{\"timm_model_name\":\"vit_base_patch16_siglip_224\",\"timm_pool\":\"map\",\"timm_proj\":\"none\","
     "\"image_size\":32,\"timm_model_args\":{\"depth\":1",
     "}}",
     {"embed_dim", "num_heads", "mlp_ratio", "patch_size", "depth"}},
    {HC_IMAGE,
     "\"vision_cfg\":{\"timm_model_name\":\"swin_tiny_patch4_window7_224\",\"image_size\":32,\"timm_model_args\":{"
     "\"depths\":[2],\"num_heads\":[2]",
     "}}",
     {"embed_dim", "mlp_ratio", "patch_size", "window_size"}},
    {HC_IMAGE,
     "\"vision_cfg\":{\"timm_model_name\":\"fastvit_mci0\",\"timm_pool\":\"avg\",\"timm_proj\":null,"
     "\"timm_model_args\":{\"layers\":[1,1,1,1],\"embed_dims\":[1,2,4,32]}",
     "}",
     {"image_size"}},
    {HC_IMAGE,
     "\"vision_cfg\":{\"timm_model_name\":\"convnextv2_atto\",\"timm_model_args\":{\"depths\":[1,1,1,1],\"dims\":[2,3,"
     "4,"
     "5]}",
     "}",
     {"image_size"}},
    {HC_TEXT,
     "\"text_cfg\":{\"hf_model_name\":\"x\",\"hf_proj_type\":\"linear\",\"context_length\":9,\"hf_config\":{\"model_"
     "type\":"
     "\"roberta\",\"num_hidden_layers\":1",
     "}}",
     {"hidden_size", "num_attention_heads", "vocab_size", "intermediate_size", "max_position_embeddings",
      "type_vocab_size", "pad_token_id", "layer_norm_eps", "num_hidden_layers"}},
    {HC_TEXT,
     "\"text_cfg\":{\"hf_proj_type\":\"linear\",\"context_length\":9,\"hf_config\":{\"model_type\":\"mt5\",\"num_"
     "layers\":1",
     "}}",
     {"d_model", "d_kv", "d_ff", "num_heads", "vocab_size", "relative_attention_num_buckets",
      "relative_attention_max_distance", "pad_token_id", "layer_norm_epsilon", "num_layers"}},
    {HC_TEXT,
     "\"text_cfg\":{\"hf_proj_type\":\"linear\",\"context_length\":9,\"hf_config\":{\"model_type\":\"m2m_100\","
     "\"encoder_"
     "layers\":1",
     "}}",
     {"d_model", "encoder_ffn_dim", "encoder_attention_heads", "vocab_size", "pad_token_id", "encoder_layers"}},
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

static void embed(hc_encoder *encoder)
{
    hc_info info;
    size_t count;
    hc_encoder_info(encoder, &info);
    void *input = made_up_input(&info, &count);
    float *out = calloc((size_t)info.dim * (size_t)info.tokens_out, sizeof *out);
    if (!out || hc_embed_begin(encoder, input, 1, 1, out) != HC_OK) abort();
    for (int steps = 0; steps < MOST_STEPS && hc_embed_step(encoder, STEP); steps++) {
    }
    free(out);
    free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    const struct kind *kind = &KINDS[(data[0] >> 2) % KIND_COUNT];
    hc_tower tower = kind->tower;
    hc_dtype dtype = (hc_dtype)(HC_FP32 + (data[0] & 3));
    char config[2048], message[512];
    int length = snprintf(config, sizeof config, "{\"custom_text\":true,\"embed_dim\":%s,%s",
                          NUMBERS[data[1] % NUMBER_COUNT], kind->begin);
    for (size_t i = 0; kind->keys[i] && i + 2 < size; i++)
        if (data[i + 2] % (NUMBER_COUNT + 1) < NUMBER_COUNT)
            length += snprintf(config + length, sizeof config - (size_t)length, ",\"%s\":%s", kind->keys[i],
                               NUMBERS[data[i + 2] % (NUMBER_COUNT + 1)]);
    snprintf(config + length, sizeof config - (size_t)length, "%s}", kind->end);

    hc_status status;
    made_up file = made_up_file(tower, config);
    hc_encoder *encoder = NULL;
    if (file.status == HC_OK && file.bytes > 16 * LARGEST_FILE)
        status = HC_OK; /* its weights alone would take long to allocate */
    else encoder = made_up_load(&file, tower, config, dtype, file.bytes <= LARGEST_FILE, &status, message);
    if (file.status != HC_OK && status != file.status) abort();
    if (status != HC_OK && (encoder || !*message ||
                            (file.status == HC_OK && status != HC_MODEL_UNSUPPORTED && status != HC_OUT_OF_MEMORY)))
        abort();
    if (encoder) embed(encoder);
    hc_encoder_free(encoder);
    free(file.header);
    return 0;
}
