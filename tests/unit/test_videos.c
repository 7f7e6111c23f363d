/* test_videos.c: video towers against the vectors of CLIP4Clip's own code, at each dtype; results that do not depend on
 * the batch, the steps, the number of threads, nor on whether the tower comes from a checkpoint or a shard; the image
 * and the text tower of the same file; and files that are not what was asked for. */
#include "check.h"
#include "digests.h"
#include "golden.h"
#include "halfclip.h"
#include "checkpoint/json.h"
#include "loading.h"

#include <string.h>

enum { VIDEOS = 3, MOST_DIM = 128 };

/* Of a file, or of a shard without a config. NULL, and why. */
static hc_encoder *load(hc_tower tower, bytes file, const char *config, hc_dtype dtype, hc_temporal temporal,
                        int threads, outcome *end)
{
    hc_loader *loader = hc_loader_new(tower, config, config ? strlen(config) : 0, dtype);
    size_t count;
    if (!loader) exit(1);
    hc_loader_set_threads(loader, threads);
    hc_loader_set_temporal(loader, temporal);
    for (uint64_t need; (need = hc_loader_header_need(loader));) hc_loader_header(loader, file.data, (size_t)need);
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end; at += 1000)
            push_part(loader, file, at, (size_t)(ranges[i].end - at < 1000 ? ranges[i].end - at : 1000), 0);
    hc_encoder *encoder = hc_loader_finish(loader);
    end->status = hc_loader_status(loader);
    snprintf(end->message, sizeof end->message, "%s", hc_loader_message(loader));
    hc_loader_free(loader);
    return encoder;
}

static int has_3d(const char *name) { return strstr(name, "-3d") != NULL; }

/* A golden configuration, and its tower's inputs: each frame with its neighbours where patches are of three. */
typedef struct videos {
    const char *name;
    bytes file, config;
    golden expected;
    float *pixels, *inputs, *vectors, *frames;
    int32_t *lengths;
    size_t frame_count, picture, item, dim;
    hc_temporal temporal;
} videos;

static videos open_videos(const char *name)
{
    videos v = {.name = name, .file = golden_video(name, ".safetensors"), .config = golden_video(name, ".json")};
    char path[256];
    size_t count, numbers;
    snprintf(path, sizeof path, "tests/golden/videos/%s.expected.safetensors", name);
    v.expected = golden_open(path);
    v.pixels = golden_numbers(&v.expected, "pixels", &numbers);
    v.lengths = golden_numbers(&v.expected, "lengths", &count);
    v.vectors = golden_numbers(&v.expected, "video_features", &count);
    v.dim = count / VIDEOS;
    v.frames = golden_numbers(&v.expected, "frame_features", &count);
    v.frame_count = count / v.dim;
    v.picture = numbers / v.frame_count;
    size_t seen = has_3d(name) ? 3 : 1;
    v.item = seen * v.picture;
    v.inputs = calloc(v.frame_count * v.item, sizeof *v.inputs);
    if (!v.inputs) exit(1);
    size_t first = 0;
    for (int i = 0; i < VIDEOS; first += (size_t)v.lengths[i++])
        for (size_t f = 0, n = (size_t)v.lengths[i]; f < n; f++)
            for (size_t s = 0; s < seen; s++) {
                size_t from = f + s;
                if (seen == 3 && (from < 1 || from > n)) continue;
                memcpy(v.inputs + (first + f) * v.item + s * v.picture,
                       v.pixels + (first + (seen == 3 ? from - 1 : from)) * v.picture, v.picture * sizeof *v.inputs);
            }
    v.temporal = strstr(name, "seqTransf") ? HC_TEMPORAL_SEQTRANSF
                 : strstr(name, "seqLSTM") ? HC_TEMPORAL_SEQLSTM
                                           : HC_TEMPORAL_MEANP;
    return v;
}

static void close_videos(videos *v)
{
    golden_close(&v->expected);
    free(v->file.data);
    free(v->config.data);
    free(v->pixels);
    free(v->inputs);
    free(v->vectors);
    free(v->frames);
    free(v->lengths);
}

static void check_info(const videos *v, const hc_encoder *encoder)
{
    hc_video_info info;
    CHECK(hc_encoder_video(encoder, &info), "%s", v->name);
    CHECK(info.temporal == v->temporal, "%s: %d", v->name, info.temporal);
    CHECK(info.seen == (has_3d(v->name) ? 3 : 1), "%s: %d", v->name, info.seen);
    CHECK((info.most_frames == 16) == (v->temporal == HC_TEMPORAL_SEQTRANSF), "%s: %d", v->name, info.most_frames);
    CHECK(info.most_frames >= 16, "%s: %d", v->name, info.most_frames);
    size_t count;
    float *scale = golden_numbers(&v->expected, "logit_scale", &count);
    CHECK_NEAR(info.logit_scale / *scale, 1, 1e-6);
    free(scale);
}

/* Vectors of the frames and the videos, to be freed: [frames][dim], then [videos][dim]. Each frame gives the same bits
 * alone, each video also in small steps. */
static float *embed_videos(const videos *v, hc_encoder *encoder)
{
    size_t dim = v->dim, numbers = (v->frame_count + VIDEOS) * dim, first = 0;
    float *all = malloc(numbers * sizeof *all), alone[MOST_DIM];
    int wrong = 0;
    if (!all) exit(1);
    CHECK(hc_embed_pixels(encoder, v->inputs, v->frame_count, 0, all) == HC_OK, "%s", v->name);
    for (size_t f = 0; f < v->frame_count; f++) {
        wrong += hc_embed_pixels(encoder, v->inputs + f * v->item, 1, 0, alone) != HC_OK;
        wrong += memcmp(alone, all + f * dim, dim * sizeof *alone) != 0;
    }
    CHECK(!wrong, "%s: %d frames give other bits alone", v->name, wrong);
    for (int i = 0; i < VIDEOS; first += (size_t)v->lengths[i++]) {
        float *out = all + (v->frame_count + (size_t)i) * dim;
        const float *frames = all + first * dim;
        size_t count = (size_t)v->lengths[i];
        CHECK(hc_embed_video(encoder, frames, count, 1, out) == HC_OK, "%s", v->name);
        for (uint64_t size = 0; size < 100000; size = 10 * size + 1) {
            int steps = 1;
            hc_embed_video_begin(encoder, frames, count, 1, alone);
            hc_embed_step(encoder, size); /* and left */
            CHECK(hc_embed_video_begin(encoder, frames, count, 1, alone) == HC_OK, "%s", v->name);
            while (hc_embed_step(encoder, size)) steps++;
            CHECK(!memcmp(alone, out, dim * sizeof *alone), "%s: other bits in %d steps", v->name, steps);
            CHECK(size || v->temporal == HC_TEMPORAL_MEANP || steps > 20, "%s: %d steps", v->name, steps);
        }
    }
    return all;
}

static void compare(const videos *v, const char *what, const float *found, const float *expected, size_t count,
                    double least)
{
    for (size_t i = 0; i < count; i++) {
        double c = cosine(found + i * v->dim, expected + i * v->dim, v->dim);
        CHECK(c >= least, "%s, %s %zu: cosine %.7f", v->name, what, i, c);
    }
}

static void check_same(const videos *v, hc_encoder *encoder, const float *expected, const char *what)
{
    float *all = embed_videos(v, encoder);
    CHECK(!memcmp(all, expected, (v->frame_count + VIDEOS) * v->dim * sizeof *all), "%s: other bits %s", v->name, what);
    free(all);
    hc_encoder_free(encoder);
}

/* Of tests/golden/digests.json. */
static digests held;

static void check_dtype(const videos *v, hc_dtype dtype, double least)
{
    outcome end;
    hc_encoder *encoder = load(HC_VIDEO, v->file, (char *)v->config.data, dtype, HC_TEMPORAL_AUTO, 1, &end);
    CHECK(encoder != NULL, "%s: %s", v->name, end.message);
    if (!encoder) return;
    check_info(v, encoder);
    CHECK(strstr(hc_encoder_config(encoder), "\"quick_gelu\":true") != NULL, "%s", hc_encoder_config(encoder));
    float *all = embed_videos(v, encoder);
    compare(v, "frame", all, v->frames, v->frame_count, dtype < HC_INT8 ? least : 0.97 * least);
    compare(v, "video", all + v->frame_count * v->dim, v->vectors, VIDEOS, least);
    check_digest(&held, v->name, "video", dtype, all + v->frame_count * v->dim, VIDEOS * v->dim);
    hc_encoder *threaded = load(HC_VIDEO, v->file, (char *)v->config.data, dtype, v->temporal, 3, &end);
    CHECK(threaded != NULL, "%s: %s", v->name, end.message);
    if (threaded) check_same(v, threaded, all, "on three threads");
    bytes shard = shard_of(encoder);
    hc_encoder *again = load(HC_VIDEO, shard, NULL, HC_AUTO, HC_TEMPORAL_AUTO, 1, &end);
    CHECK(again != NULL, "%s, shard: %s", v->name, end.message);
    if (again) {
        check_info(v, again);
        check_same(v, again, all, "from a shard");
    }
    again = load(HC_IMAGE, shard, NULL, HC_AUTO, HC_TEMPORAL_AUTO, 1, &end);
    CHECK(!again && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, "\"video\""), "%s", end.message);
    free(shard.data);
    free(all);
    hc_encoder_free(encoder);
}

/* The same file has both towers of CLIP, with QuickGELU. A picture is a video of one frame. */
static void check_others(const videos *v)
{
    for (int tower = HC_IMAGE; tower <= HC_TEXT; tower++) {
        outcome end;
        size_t count, inputs;
        void *input = golden_numbers(&v->expected, tower == HC_IMAGE ? "pixels" : "tokens", &inputs);
        float *expected = golden_numbers(&v->expected, tower == HC_IMAGE ? "image_features" : "text_features", &count),
              *all = malloc(count * sizeof *all);
        hc_encoder *encoder =
            load((hc_tower)tower, v->file, (char *)v->config.data, HC_FP32, HC_TEMPORAL_AUTO, 1, &end);
        CHECK(encoder != NULL, "%s: %s", v->name, end.message);
        if (encoder && all) {
            count /= v->dim;
            hc_status status = tower == HC_IMAGE ? hc_embed_pixels(encoder, input, count, 0, all)
                                                 : hc_embed_tokens(encoder, input, count, 0, all);
            CHECK(status == HC_OK, "%s", v->name);
            compare(v, tower == HC_IMAGE ? "picture" : "text", all, expected, count, 0.99999);
            CHECK(hc_embed_video(encoder, all, 1, 1, all) == HC_INPUT_TYPE, "%s", v->name);
            hc_video_info info;
            CHECK(!hc_encoder_video(encoder, &info), "%s", v->name);
        }
        hc_encoder_free(encoder);
        free(input);
        free(expected);
        free(all);
    }
}

static void check_inputs(const videos *v)
{
    outcome end;
    hc_encoder *encoder = load(HC_VIDEO, v->file, (char *)v->config.data, HC_INT8, HC_TEMPORAL_AUTO, 1, &end);
    float *frames = calloc(1025 * v->dim, sizeof *frames), out[MOST_DIM];
    hc_video_info info;
    if (!encoder || !frames) exit(1);
    hc_encoder_video(encoder, &info);
    CHECK(hc_embed_video(encoder, frames, 0, 1, out) == HC_INPUT_SIZE, "%s", v->name);
    size_t most = v->temporal == HC_TEMPORAL_MEANP ? 1025 : (size_t)info.most_frames;
    for (size_t i = 0; i < most * v->dim; i++) frames[i] = sinf((float)i);
    CHECK(hc_embed_video(encoder, frames, most, 1, out) == HC_OK, "%s", v->name);
    CHECK(fabs(cosine(out, out, v->dim) - 1) < 1e-6, "%s", v->name);
    if (v->temporal != HC_TEMPORAL_MEANP)
        CHECK(hc_embed_video(encoder, frames, most + 1, 1, out) == HC_INPUT_SIZE, "%s", v->name);
    frames[v->dim] = NAN;
    CHECK(hc_embed_video(encoder, frames, 2, 1, out) == HC_INPUT_TYPE, "%s", v->name);
    CHECK(hc_embed_step(encoder, 1000) == 0, "%s: goes on after a failure", v->name);
    CHECK(hc_embed_video(encoder, frames, 1, 1, out) == HC_OK, "%s", v->name);
    free(frames);
    hc_encoder_free(encoder);
}

static void refuse(bytes file, const char *config, hc_temporal temporal, hc_status status, const char *word)
{
    outcome end;
    hc_encoder *encoder = load(HC_VIDEO, file, config, HC_INT8, temporal, 1, &end);
    CHECK(!encoder && end.status == status && strstr(end.message, word), "%s, expected %s", end.message, word);
    hc_encoder_free(encoder);
}

/* Files that lack what was asked for: the first missing tensor has a name; nothing is filled in. */
static void test_mismatches(void)
{
    videos mean = open_videos("clip4clip-meanP"), transformer = open_videos("clip4clip-seqTransf-3d"),
           lstm = open_videos("clip4clip-seqLSTM");
    const char *config = (char *)mean.config.data;
    refuse(mean.file, config, HC_TEMPORAL_SEQTRANSF, HC_WEIGHTS_MISMATCH,
           "frame_position_embeddings.weight is missing");
    refuse(mean.file, config, HC_TEMPORAL_SEQLSTM, HC_WEIGHTS_MISMATCH, "lstm_visual.weight_ih_l0 is missing");
    refuse(lstm.file, config, HC_TEMPORAL_SEQTRANSF, HC_WEIGHTS_MISMATCH,
           "transformerClip.resblocks.0.ln_1.weight is missing");

    size_t count;
    part *parts = take_apart(transformer.file, &count);
    *part_of(parts, count, "transformerClip.resblocks.1.mlp.c_fc.bias")->name = '\0';
    bytes cut = build_file(parts, count, NULL);
    refuse(cut, config, HC_TEMPORAL_AUTO, HC_WEIGHTS_MISMATCH, "transformerClip.resblocks.1.mlp.c_fc.bias is missing");
    outcome end;
    hc_encoder *encoder = load(HC_VIDEO, cut, config, HC_INT8, HC_TEMPORAL_MEANP, 1, &end);
    CHECK(encoder != NULL, "%s", end.message);
    hc_encoder_free(encoder);
    free(cut.data);
    free(parts);

    parts = take_apart(lstm.file, &count);
    snprintf(parts[count].name, sizeof parts->name, "lstm_visual.weight_ih_l1");
    part *first = part_of(parts, count, "lstm_visual.weight_ih_l0");
    memcpy(parts[count].dtype, first->dtype, sizeof first->dtype);
    memcpy(parts[count].shape, first->shape, sizeof first->shape);
    parts[count].data = first->data;
    parts[count].size = first->size;
    bytes deep = build_file(parts, count + 1, NULL);
    refuse(deep, config, HC_TEMPORAL_AUTO, HC_WEIGHTS_MISMATCH, "lstm_visual.weight_ih_l1");
    free(deep.data);
    free(parts);

    parts = take_apart(mean.file, &count);
    snprintf(parts[count].name, sizeof parts->name, "similarity_dense.bias");
    snprintf(parts[count].dtype, sizeof parts->dtype, "F32");
    snprintf(parts[count].shape, sizeof parts->shape, "[1]");
    parts[count].data = mean.file.data;
    parts[count].size = 4;
    bytes tight = build_file(parts, count + 1, NULL);
    refuse(tight, config, HC_TEMPORAL_AUTO, HC_MODEL_UNSUPPORTED, "tightTransf");
    refuse(tight, config, HC_TEMPORAL_SEQLSTM, HC_WEIGHTS_MISMATCH, "lstm_visual.weight_ih_l0 is missing");
    encoder = load(HC_VIDEO, tight, config, HC_INT8, HC_TEMPORAL_MEANP, 1, &end);
    CHECK(encoder != NULL, "%s", end.message);
    hc_encoder_free(encoder);
    free(tight.data);
    free(parts);

    char gelu[2048];
    snprintf(gelu, sizeof gelu, "{\"model_cfg\": {\"quick_gelu\": false,%s", strchr(strchr(config, '{') + 1, '{') + 1);
    refuse(mean.file, gelu, HC_TEMPORAL_AUTO, HC_WEIGHTS_MISMATCH, "CLIP4Clip");
    close_videos(&mean);
    close_videos(&transformer);
    close_videos(&lstm);
}

int main(void)
{
    size_t length;
    char *text = read_file("tests/golden/videos/index.json", &length);
    hc_json index, entry;
    hc_json_error error;
    if (!hc_json_parse(text, length, &index, &error)) return 1;
    held = digests_open();
    for (const char *cursor = NULL; hc_json_next(&index, &cursor, NULL, &entry);) {
        char name[64];
        hc_json value = hc_json_get(&entry, "name");
        hc_json_string(&value, name, sizeof name);
        videos v = open_videos(name);
        check_dtype(&v, HC_FP32, 0.99999);
        check_dtype(&v, HC_FP16, 0.9999);
        check_dtype(&v, HC_INT8, 0.99);
        check_dtype(&v, HC_INT4, 0.6); /* random weights average nothing out */
        check_others(&v);
        check_inputs(&v);
        close_videos(&v);
    }
    test_mismatches();
    free(text);
    digests_close(&held);
    return check_result("videos");
}
