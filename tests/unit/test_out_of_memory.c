/* test_out_of_memory.c: every allocation of a load and of writing a shard fails once, in turn. Each time the failure is
 * reported, nothing stays allocated, and the next load works. Linked with --wrap for malloc, calloc, realloc and free.
 */
#include "check.h"
#include "failing.h"
#include "loading.h"

static int discard(void *user, const void *data, size_t n)
{
    *(size_t *)user += n + (data == NULL);
    return 0;
}

/* Loads with the n-th allocation failing (0: none). Returns how many were requested. */
static long load_failing(const char *name, hc_tower tower, bytes file, const char *config, hc_dtype dtype, long n)
{
    outcome end;
    long before = alive;
    requested = 0;
    fail_in = n;
    hc_encoder *encoder = load_bytes(tower, file, config, dtype, 61, 1, &end);
    long used = requested;
    fail_in = 0;
    CHECK(n ? !encoder && end.status == HC_OUT_OF_MEMORY : encoder && end.status == HC_OK,
          "%s, allocation %ld of %ld: %s: %s", name, n, used, hc_status_code(end.status), end.message);
    hc_encoder_free(encoder);
    CHECK(alive == before, "%s: %ld blocks stay after allocation %ld failed", name, alive - before, n);
    return used;
}

static void test_load(const char *name, hc_tower tower, bytes file, const char *config, hc_dtype dtype)
{
    long count = load_failing(name, tower, file, config, dtype, 0);
    CHECK(count > 10, "%s: %ld allocations", name, count);
    for (long n = 1; n <= count; n++) load_failing(name, tower, file, config, dtype, n);
    load_failing(name, tower, file, config, dtype, 0);
}

/* Whatever allocation of a calibration fails, it says so, and nothing stays of it. */
static void test_calibration(bytes file, const char *config)
{
    long all = 0;
    for (long n = 0; n == 0 || n <= all; n++) {
        outcome end;
        size_t size = 0;
        long before = alive;
        hc_encoder *encoder = load_bytes(HC_IMAGE, file, config, HC_FP32, 4096, 1, &end);
        hc_info info;
        hc_encoder_info(encoder, &info);
        float *pixels = calloc(3 * (size_t)info.image_height * (size_t)info.image_width, sizeof *pixels);
        pixels[0] = 1;
        requested = 0;
        fail_in = n;
        hc_calibration *c = hc_calibration_new(encoder);
        if (c) {
            hc_calibration_add(c, pixels, 1);
            while (hc_calibration_step(c)) {
            }
            hc_status status = hc_calibration_write(c, NULL, 0, discard, &size);
            CHECK(status == (n ? HC_OUT_OF_MEMORY : HC_OK), "calibration, allocation %ld: %s", n,
                  hc_status_code(status));
            CHECK(!size == (n > 0), "calibration, allocation %ld: %zu bytes", n, size);
        }
        fail_in = 0;
        if (!n) all = requested;
        hc_calibration_free(c);
        free(pixels);
        hc_encoder_free(encoder);
        CHECK(alive == before, "calibration: %ld blocks stay after allocation %ld failed", alive - before, n);
    }
    CHECK(all > 50, "%ld allocations", all);
}

/* A video tower's, with what its file alone says of it. */
static void test_video(void)
{
    bytes file = golden_video("clip4clip-seqLSTM-3d", ".safetensors"),
          config = golden_video("clip4clip-seqLSTM-3d", ".json");
    test_load("clip4clip-seqLSTM-3d", HC_VIDEO, file, (char *)config.data, HC_INT8);
    free(file.data);
    free(config.data);
}

int main(void)
{
    counting = 1;
    static const struct {
        const char *name;
        hc_tower tower;
        hc_dtype dtype;
    } cases[] = {{"clip", HC_IMAGE, HC_INT8},         {"clip", HC_TEXT, HC_FP16},
                 {"hugging-face", HC_IMAGE, HC_INT8}, {"hugging-face", HC_TEXT, HC_FP16},
                 {"resnet-plain", HC_IMAGE, HC_INT8}, {"siglip-hf", HC_IMAGE, HC_INT4},
                 {"roberta", HC_TEXT, HC_INT8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes file = golden_tower(cases[i].name, ".safetensors"), config = golden_tower(cases[i].name, ".json");
        test_load(cases[i].name, cases[i].tower, file, (char *)config.data, cases[i].dtype);
        free(file.data);
        free(config.data);
    }

    /* A shard with a vocabulary, loaded at its own dtype and at a wider one, and written. */
    static const uint8_t merges[4] = {1, 0, 2, 0};
    outcome end;
    bytes file = golden_tower("clip", ".safetensors"), config = golden_tower("clip", ".json"), shard = {NULL, 0};
    hc_encoder *encoder = load_bytes(HC_TEXT, file, (char *)config.data, HC_INT8, 4096, 1, &end);
    CHECK(encoder && hc_shard_write(encoder, merges, sizeof merges, append_bytes, &shard) == HC_OK, "%s", end.message);
    long written = 0;
    for (long n = 0; encoder && (n == 0 || n <= written); n++) {
        size_t size = 0;
        long before = alive;
        requested = 0;
        fail_in = n;
        hc_status status = hc_shard_write(encoder, merges, sizeof merges, discard, &size);
        fail_in = 0;
        if (!n) written = requested;
        CHECK(status == (n ? HC_OUT_OF_MEMORY : HC_OK) && size == (n ? 0 : shard.size), "write, allocation %ld: %s", n,
              hc_status_code(status));
        CHECK(alive == before, "write: %ld blocks stay after allocation %ld failed", alive - before, n);
    }
    CHECK(written > 2, "%ld allocations", written);
    for (long n = 1; encoder && n <= written; n++) {
        uint8_t byte;
        size_t got = 1;
        long before = alive;
        requested = 0;
        fail_in = n;
        CHECK(hc_shard_read(encoder, NULL, 0, 0, &byte, 1, &got) == HC_OUT_OF_MEMORY && got == 0,
              "read, allocation %ld", n);
        fail_in = 0;
        CHECK(alive == before, "read: %ld blocks stay after allocation %ld failed", alive - before, n);
    }
    for (long n = 1; encoder && n <= 3; n++) {
        long before = alive;
        requested = 0;
        fail_in = n;
        hc_encoder *twin = hc_encoder_twin(encoder);
        fail_in = 0;
        CHECK(!twin == (n <= 2), "twin, allocation %ld", n);
        hc_encoder_free(twin);
        CHECK(alive == before, "twin: %ld blocks stay after allocation %ld failed", alive - before, n);
    }
    test_load("shard", HC_TEXT, shard, NULL, HC_AUTO);
    test_load("shard at fp32", HC_TEXT, shard, NULL, HC_FP32);
    test_load("shard at int4", HC_TEXT, shard, NULL, HC_INT4);
    hc_encoder_free(encoder);
    test_calibration(file, (char *)config.data);
    free(shard.data);
    free(file.data);
    free(config.data);
    test_video();
    CHECK(alive == 0, "%ld blocks stay", alive);
    return check_result("out of memory");
}
