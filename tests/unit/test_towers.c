/* test_towers.c: every golden tower against OpenCLIP's own vectors: fp32 within the project's bounds, fp16 and int8
 * near them; int4 near fp32 of the weights that 4 bits leave; the bits that they have had before; and results that do
 * not depend on the batch, on the instructions that multiply, on the number of threads, on the steps that the work is
 * cut into, nor on where inputs lie. */
#include "check.h"
#include "digests.h"
#include "golden.h"
#include "halfclip.h"
#include "base/constants.h"
#include "checkpoint/json.h"
#include "kernels/kernels.h"
#include "loading.h"
#include "checkpoint/safetensors.h"
#include "tower/encoder.h"

#include <pthread.h>
#include <string.h>

/* Loads one tower with the file pushed in pieces of 1,000 bytes. */
static hc_encoder *load(hc_tower tower, const char *name, hc_dtype dtype, int threads)
{
    char path[256];
    size_t config_length, length, count;
    snprintf(path, sizeof path, "tests/golden/towers/%s.json", name);
    char *config = read_file(path, &config_length);
    snprintf(path, sizeof path, "tests/golden/towers/%s.safetensors", name);
    char *file = read_file(path, &length);
    hc_loader *loader = hc_loader_new(tower, config, config_length, dtype);
    hc_loader_set_threads(loader, threads);
    for (uint64_t need; (need = hc_loader_header_need(loader));) hc_loader_header(loader, file, (size_t)need);
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end; at += 1000)
            hc_loader_push(loader, at, file + at, (size_t)(ranges[i].end - at < 1000 ? ranges[i].end - at : 1000));
    hc_encoder *encoder = hc_loader_finish(loader);
    CHECK(encoder != NULL, "%s: %s", name, hc_loader_message(loader));
    hc_loader_free(loader);
    free(config);
    free(file);
    return encoder;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median distance between different vectors of `count`, the yardstick for the distance that an error may have. */
static double median_distance(const float *vectors, size_t count, size_t n)
{
    double *all = malloc(count * count * sizeof *all), median;
    size_t pairs = 0;
    if (!all) exit(1);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++) all[pairs++] = distance(vectors + i * n, vectors + k * n, n);
    qsort(all, pairs, sizeof *all, by_value);
    median = all[pairs / 2];
    free(all);
    return median;
}

/* Numbers of the golden file, to be freed. */
static float *golden_vectors(hc_tower tower, const char *name, void **input, size_t *count)
{
    char path[256];
    size_t input_count;
    snprintf(path, sizeof path, "tests/golden/towers/%s.expected.safetensors", name);
    golden g = golden_open(path);
    *input = golden_numbers(&g, tower == HC_IMAGE ? "pixels" : "tokens", &input_count);
    float *expected = golden_numbers(&g, tower == HC_IMAGE ? "image_features" : "text_features", count);
    golden_close(&g);
    return expected;
}

/* Vectors of all inputs, to be freed; each input gives the same bits alone, and multiplied by other instructions. */
static float *embed_all(hc_encoder *encoder, const char *name, const void *input, size_t count, size_t result)
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    size_t item =
        info.tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width : (size_t)info.context_length;
    float *all = malloc(2 * count * result * sizeof *all), *alone = all + count * result;
    if (!all) exit(1);
    hc_status status = HC_OK;
    for (size_t i = 0; i <= count; i++) {
        size_t n = i < count ? 1 : count, at = i < count ? i : 0;
        float *out = i < count ? alone + at * result : all;
        hc_encoder_set_dot(encoder, i < count ? HC_DOT_PAIRS : HC_DOT_QUADS);
        hc_status s = info.tower == HC_IMAGE ? hc_embed_pixels(encoder, (const float *)input + at * item, n, 0, out)
                                             : hc_embed_tokens(encoder, (const int32_t *)input + at * item, n, 0, out);
        status = status ? status : s;
    }
    CHECK(status == HC_OK, "%s: %s", name, hc_status_code(status));
    CHECK(!memcmp(all, alone, count * result * sizeof *all),
          "%s, tower %d: a batch by one kernel gives other bits than its items alone by the other", name, info.tower);
    return all;
}

/* The same bits with inputs and vectors in the encoder's own memory. */
static void check_own_buffers(hc_encoder *encoder, const char *name, const void *input, size_t count, size_t result,
                              const float *expected)
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    size_t item = info.tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width
                                         : (size_t)info.context_length,
           batch = (size_t)info.batch;
    int wrong = 0;
    for (size_t i = 0, n; i < count; i += n) {
        void *own_input;
        float *own_output;
        n = count - i < batch ? count - i : batch;
        hc_encoder_buffers(encoder, &own_input, &own_output);
        memcpy(own_input, (const char *)input + i * item * 4, n * item * 4);
        hc_status status = info.tower == HC_IMAGE ? hc_embed_pixels(encoder, own_input, n, 0, own_output)
                                                  : hc_embed_tokens(encoder, own_input, n, 0, own_output);
        wrong += status != HC_OK || memcmp(own_output, expected + i * result, n * result * sizeof *expected);
    }
    CHECK(!wrong, "%s, tower %d: other bits in the encoder's own memory", name, info.tower);
}

/* The same bits in steps of all sizes, also after a call that was left half done. Inputs lie in the encoder's own
 * memory, where pixels don't outlive the first steps. */
static void check_steps(hc_encoder *encoder, const char *name, const void *input, size_t result, const float *expected)
{
    static const uint64_t sizes[] = {0, 1, 777, 20000};
    hc_info info;
    hc_encoder_info(encoder, &info);
    size_t item =
        info.tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width : (size_t)info.context_length;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *own_input;
        float *own_output;
        int steps = 1;
        hc_encoder_buffers(encoder, &own_input, &own_output);
        for (int begun = 0; begun < 2; begun++) {
            memcpy(own_input, input, item * 4);
            CHECK(hc_embed_begin(encoder, own_input, 1, 0, own_output) == HC_OK, "%s", name);
            for (int left = 10; !begun && left && hc_embed_step(encoder, sizes[i]); left--) {
            }
        }
        while (hc_embed_step(encoder, sizes[i])) steps++;
        CHECK(steps > 5 || sizes[i] > 1000, "%s, tower %d: %d steps of %u multiplications", name, info.tower, steps,
              (unsigned)sizes[i]);
        CHECK(!memcmp(own_output, expected, result * sizeof *expected),
              "%s, tower %d: other bits in steps of %u multiplications", name, info.tower, (unsigned)sizes[i]);
        CHECK(!hc_embed_step(encoder, 1), "%s: steps after the last", name);
    }
}

typedef struct twin_job {
    hc_encoder *encoder;
    const void *input;
    float *out;
    hc_status status;
} twin_job;

static void *run_twin(void *argument)
{
    twin_job *j = argument;
    for (int i = 0; i < 3 && j->status == HC_OK; i++) {
        j->status = hc_embed_begin(j->encoder, j->input, 1, 0, j->out);
        while (hc_embed_step(j->encoder, 100000)) {
        }
    }
    return NULL;
}

/* The same bits from two encoders on the same weights and the first one, all at the same time. */
static void check_twins(hc_encoder *encoder, const char *name, const void *input, size_t result, const float *expected)
{
    enum { TWINS = 2 };
    twin_job jobs[TWINS + 1];
    pthread_t threads[TWINS];
    for (int i = 0; i <= TWINS; i++) {
        hc_encoder *one = i < TWINS ? hc_encoder_twin(encoder) : encoder;
        jobs[i] = (twin_job){one, input, calloc(result, sizeof(float)), HC_OK};
        if (!one || !jobs[i].out) exit(1);
        if (i < TWINS && pthread_create(&threads[i], NULL, run_twin, &jobs[i])) exit(1);
    }
    run_twin(&jobs[TWINS]);
    for (int i = 0; i <= TWINS; i++) {
        if (i < TWINS) pthread_join(threads[i], NULL);
        CHECK(jobs[i].status == HC_OK && !memcmp(jobs[i].out, expected, result * sizeof *expected),
              "%s: other bits from encoder %d of three on the same weights", name, i);
        if (i < TWINS) hc_encoder_free(jobs[i].encoder);
        free(jobs[i].out);
    }
}

/* The same bits on another number of threads. */
static void check_threads(hc_tower tower, const char *name, hc_dtype dtype, const void *input, size_t count,
                          size_t result, const float *expected)
{
    hc_info info;
    hc_encoder *encoder = load(tower, name, dtype, 3);
    float *out = malloc(count * result * sizeof *out);
    if (!encoder || !out) exit(1);
    hc_encoder_info(encoder, &info);
    CHECK(info.threads == 3, "%d threads", info.threads);
    hc_status status = tower == HC_IMAGE ? hc_embed_pixels(encoder, input, count, 0, out)
                                         : hc_embed_tokens(encoder, input, count, 0, out);
    CHECK(status == HC_OK && !memcmp(out, expected, count * result * sizeof *out),
          "%s, tower %d, dtype %d: other bits on three threads", name, tower, dtype);
    check_steps(encoder, name, input, result, expected);
    check_twins(encoder, name, input, result, expected);
    free(out);
    hc_encoder_free(encoder);
}

/* Of tests/golden/digests.json. */
static digests held;

static void compare(hc_tower tower, const char *name, hc_dtype dtype, const float *all, const float *expected,
                    size_t count, size_t result, double min_cosine, double max_distance)
{
    double unit = median_distance(expected, count, result), worst = 0, lowest = 1;
    for (size_t i = 0; i < count; i++) {
        double c = cosine(all + i * result, expected + i * result, result),
               d = distance(all + i * result, expected + i * result, result) / unit;
        lowest = c < lowest || c != c ? c : lowest;
        worst = d > worst || d != d ? d : worst;
    }
    CHECK(lowest >= min_cosine, "%s, tower %d, dtype %d: cosine %.7f", name, tower, dtype, lowest);
    CHECK(worst <= max_distance, "%s, tower %d, dtype %d: distance %.5f of the median", name, tower, dtype, worst);
}

static void check_tower(hc_tower tower, const char *name, hc_dtype dtype, double min_cosine, double max_distance)
{
    void *input;
    size_t expected_count;
    hc_info info;
    hc_encoder *encoder = load(tower, name, dtype, 1);
    float *expected = golden_vectors(tower, name, &input, &expected_count);
    if (encoder) {
        hc_encoder_info(encoder, &info);
        size_t result = (size_t)(info.dim * info.tokens_out), count = expected_count / result;
        CHECK(count >= 2, "%s: %zu inputs", name, count);
        float *all = embed_all(encoder, name, input, count, result);
        compare(tower, name, dtype, all, expected, count, result, min_cosine, max_distance);
        check_digest(&held, name, hc_tower_name(tower), dtype, all, count * result);
        check_own_buffers(encoder, name, input, count, result, all);
        check_steps(encoder, name, input, result, all);
        check_threads(tower, name, dtype, input, count, result, all);
        free(all);
    }
    free(input);
    free(expected);
    hc_encoder_free(encoder);
}

/* These towers are too small and random for 4 bits to leave much of their vectors, so that what is checked is the
 * arithmetic: int4 against the fp32 tower with the very weights that it holds, read from its shard. */
static void check_int4(hc_tower tower, const char *name, double min_cosine, double max_distance)
{
    void *input;
    size_t expected_count;
    hc_info info;
    outcome end;
    hc_encoder *encoder = load(tower, name, HC_INT4, 1);
    bytes shard = shard_of(encoder);
    hc_encoder *wide = load_bytes(tower, shard, NULL, HC_FP32, 1000, 1, &end);
    CHECK(wide != NULL, "%s: %s", name, end.message);
    free(golden_vectors(tower, name, &input, &expected_count));
    if (encoder && wide) {
        hc_encoder_info(encoder, &info);
        size_t result = (size_t)(info.dim * info.tokens_out), count = expected_count / result;
        float *all = embed_all(encoder, name, input, count, result),
              *expected = embed_all(wide, name, input, count, result);
        compare(tower, name, HC_INT4, all, expected, count, result, min_cosine, max_distance);
        check_digest(&held, name, hc_tower_name(tower), HC_INT4, all, count * result);
        free(all);
        free(expected);
    }
    free(input);
    free(shard.data);
    hc_encoder_free(encoder);
    hc_encoder_free(wide);
}

/* Towers of a few channels behind ReLU lose more to 7 bits, by the quantisation itself: torch with the same rounding
 * loses as much. */
static int is_noisy(const char *name)
{
    static const char *const noisy[] = {"resnet-plain", "resnet-odd-widths", "resnet-openai", "resnet-module-prefix"};
    int found = 0;
    for (size_t i = 0; i < sizeof noisy / sizeof *noisy; i++) found |= !strcmp(name, noisy[i]);
    return found;
}

int main(void)
{
    size_t length;
    char *text = read_file("tests/golden/towers/index.json", &length);
    hc_json index, entry;
    hc_json_error error;
    if (!hc_json_parse(text, length, &index, &error)) return 1;
    held = digests_open();
    for (const char *cursor = NULL; hc_json_next(&index, &cursor, NULL, &entry);) {
        char name[64];
        hc_json name_value = hc_json_get(&entry, "name"), towers = hc_json_get(&entry, "towers"), tower;
        hc_json_string(&name_value, name, sizeof name);
        for (const char *at = NULL; hc_json_next(&towers, &at, NULL, &tower);) {
            hc_tower which = hc_json_is(&tower, "image") ? HC_IMAGE : HC_TEXT;
            check_tower(which, name, HC_FP32, 0.99999, 0.005);
            /* Random weights average nothing out: the bounds of the narrow dtypes catch wrong arithmetic, trained
             * weights prove accuracy. */
            check_tower(which, name, HC_FP16, 0.9999, 0.02);
            int noisy = which == HC_IMAGE && is_noisy(name);
            check_tower(which, name, HC_INT8, noisy ? 0.69 : 0.95, noisy ? 4.1 : 0.35);
            check_int4(which, name, noisy ? 0.9 : 0.95, noisy ? 1.6 : 0.35);
        }
    }
    free(text);
    digests_close(&held);
    return check_result("towers");
}
