/* test_directory.c: hc_loader_directory gives the same encoder as the file's own header, wherever the tensors lie: in
 * another order, with gaps, and with two of them in the same place. */
#include "check.h"
#include "loading.h"

#include <stdlib.h>

/* A text that grows. */
typedef struct text {
    char bytes[1 << 16];
    size_t length;
} text;

static void add(text *t, const char *format, size_t a, size_t b, const char *string, size_t string_length)
{
    t->length +=
        (size_t)snprintf(t->bytes + t->length, sizeof t->bytes - t->length, format, (int)string_length, string, a, b);
}

/* The directory of a file whose tensors begin `shift` bytes later than they do in `file`, listed from the last name to
 * the first. */
static text directory_of(const hc_safetensors *file, size_t shift)
{
    text t = {"{", 1};
    for (size_t i = file->count; i--;) {
        const hc_file_tensor *tensor = &file->tensors[i];
        add(&t, "%.*s:{\"data_offsets\":[%zu,%zu],", (size_t)tensor->begin + shift, (size_t)tensor->end + shift,
            tensor->name.text, tensor->name.length);
        t.length += (size_t)snprintf(t.bytes + t.length, sizeof t.bytes - t.length, "\"dtype\":%.*s,\"shape\":%.*s}%s",
                                     (int)tensor->dtype.length, tensor->dtype.text, (int)tensor->shape.length,
                                     tensor->shape.text, i ? "," : "}");
    }
    return t;
}

static hc_encoder *load(hc_tower tower, const char *config, const text *directory, const uint8_t *file, size_t shift,
                        size_t chunk, hc_status *status)
{
    hc_loader *loader = hc_loader_new(tower, config, strlen(config), HC_INT8);
    size_t count;
    hc_loader_directory(loader, directory->bytes, directory->length);
    CHECK(hc_loader_header_need(loader) == 0, "nothing more is needed");
    const hc_range *ranges = hc_loader_ranges(loader, &count);
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || ranges[i].begin > ranges[i - 1].end, "ranges are in order and apart");
        for (uint64_t at = ranges[i].begin; at < ranges[i].end; at += chunk)
            hc_loader_push(loader, at, file + (at - shift),
                           (size_t)(ranges[i].end - at < chunk ? ranges[i].end - at : chunk));
    }
    hc_encoder *encoder = hc_loader_finish(loader);
    *status = hc_loader_status(loader);
    if (*status) fprintf(stderr, "%s\n", hc_loader_message(loader));
    hc_loader_free(loader);
    return encoder;
}

static void same_encoder(hc_tower tower)
{
    bytes file = golden_tower("clip", ".safetensors"), config = golden_tower("clip", ".json");
    hc_safetensors header;
    hc_problem problem = {.status = HC_OK};
    outcome end;
    hc_status status =
        hc_safetensors_parse(&header, (char *)file.data + 8, (size_t)hc_safetensors_header_length(file.data), &problem);
    CHECK(status == HC_OK, "%s", problem.message);
    hc_encoder *expected = load_bytes(tower, file, (char *)config.data, HC_INT8, 1000, 1, &end);
    bytes shard = shard_of(expected);
    for (size_t shift = 0; shift <= 100000; shift += 50000) {
        text directory = directory_of(&header, shift);
        hc_encoder *encoder = load(tower, (char *)config.data, &directory, file.data, shift, 777, &status);
        CHECK(encoder != NULL, "shift %zu", shift);
        bytes found = shard_of(encoder);
        CHECK(same_bytes(found, shard), "shift %zu, tower %d: another encoder", shift, tower);
        free(found.data);
        hc_encoder_free(encoder);
    }
    free(shard.data);
    hc_encoder_free(expected);
    hc_safetensors_free(&header);
    free(file.data);
    free(config.data);
}

/* Tensors that share bytes, as torch's views of one storage do: every bias of the width begins in the middle of the
 * largest matrix. */
static void shared_bytes(void)
{
    bytes file = golden_tower("clip", ".safetensors"), config = golden_tower("clip", ".json");
    hc_safetensors header;
    hc_problem problem = {.status = HC_OK};
    hc_status status =
        hc_safetensors_parse(&header, (char *)file.data + 8, (size_t)hc_safetensors_header_length(file.data), &problem);
    CHECK(status == HC_OK, "%s", problem.message);
    const hc_file_tensor *large = hc_safetensors_find(&header, "transformer.resblocks.0.mlp.c_fc.weight");
    CHECK(large != NULL, "the golden tower has the tensor");
    for (size_t i = 0; large && i < header.count; i++) {
        hc_file_tensor *t = &header.tensors[i];
        if (t != large && t->element == large->element && t->end - t->begin < 400) {
            t->end = large->begin + 100 + (t->end - t->begin);
            t->begin = large->begin + 100;
        }
    }
    text directory = directory_of(&header, 0);
    for (size_t chunk = 7; chunk < 100000; chunk = chunk * 5 + 1) {
        hc_encoder *encoder = load(HC_TEXT, (char *)config.data, &directory, file.data, 0, chunk, &status);
        CHECK(encoder != NULL, "chunks of %zu: %s", chunk, hc_status_code(status));
        hc_encoder_free(encoder);
    }
    hc_safetensors_free(&header);
    free(file.data);
    free(config.data);
}

static void refused(void)
{
    static const struct {
        const char *text;
        hc_status status;
    } cases[] = {
        {"", HC_WEIGHTS_FORMAT},
        {"[]", HC_WEIGHTS_FORMAT},
        {"{}", HC_WEIGHTS_MISMATCH},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", HC_WEIGHTS_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", HC_WEIGHTS_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[0,4]}}",
         HC_WEIGHTS_FORMAT},
        {"{\"token_embedding.weight\":{\"dtype\":\"STRIDED\",\"shape\":[1],\"data_offsets\":[0,9]}}",
         HC_WEIGHTS_MISMATCH},
    };
    bytes config = golden_tower("clip", ".json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hc_loader *loader = hc_loader_new(HC_TEXT, (char *)config.data, config.size, HC_INT8);
        hc_status status = hc_loader_directory(loader, cases[i].text, strlen(cases[i].text));
        CHECK(status == cases[i].status, "%s: %s: %s", cases[i].text, hc_status_code(status),
              hc_loader_message(loader));
        CHECK(hc_loader_finish(loader) == NULL, "no encoder");
        hc_loader_free(loader);
    }
    free(config.data);
}

int main(void)
{
    same_encoder(HC_IMAGE);
    same_encoder(HC_TEXT);
    shared_bytes();
    refused();
    return check_result("directory");
}
