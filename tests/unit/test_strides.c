/* test_strides.c: tensors that a directory says to be stored transposed, with gaps, expanded or overlapping: the tower
 * that they make is that of the same values in order, from checkpoints and from what shards hold, at each dtype and in
 * any chunking; and strides that contradict the shape or the bytes. */
#include "check.h"
#include "loading.h"

#include <stdlib.h>

enum { GARBAGE = 0xFF }; /* NaN in every floating-point type */

/* ---- files --------------------------------------------------------------------------------------------------------
 */

typedef enum arrangement { TRANSPOSED, EVERY_THIRD, COLUMNS_OF_MORE, ARRANGEMENTS } arrangement;

/* A file without a header, and the directory that says what is where in it. */
typedef struct strided_file {
    bytes data, directory;
} strided_file;

static size_t element_size(const char *dtype)
{
    return !strcmp(dtype, "F32") ? 4 : dtype[1] == '1' || dtype[1] == 'F' ? 2 : 1;
}

static void add_text(bytes *b, const char *text) { append_bytes(b, text, strlen(text)); }

static int read_shape(const char *text, size_t dims[4])
{
    int rank = 0;
    for (const char *at = text; *at != ']' && text[1] != ']'; rank++)
        dims[rank] = strtoul(at + 1, (char **)(uintptr_t)&at, 10);
    return rank;
}

/* Strides in elements; returns how many elements lie from the first to the last. */
static size_t choose_strides(arrangement how, const size_t *dims, int rank, size_t *strides)
{
    size_t step = how == EVERY_THIRD ? 3 : 1, span = 1;
    for (int i = 0; i < rank; i++) {
        int d = how == TRANSPOSED ? i : rank - 1 - i;
        strides[d] = step;
        step *= dims[d] + (how == COLUMNS_OF_MORE ? 2 : 0);
        span += (dims[d] - 1) * strides[d];
    }
    return span;
}

static void add_numbers(bytes *directory, const char *key, const size_t *numbers, int count)
{
    char text[32];
    snprintf(text, sizeof text, ",\"%s\":[", key);
    add_text(directory, text);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, i ? ",%zu" : "%zu", numbers[i]);
        add_text(directory, text);
    }
    add_text(directory, "]");
}

static void add_tensor(strided_file *file, const part *p, arrangement how)
{
    size_t dims[4], strides[4], size = element_size(p->dtype), count = p->size / size, begin = file->data.size + 5;
    int rank = read_shape(p->shape, dims);
    size_t span = choose_strides(how, dims, rank, strides);
    char text[256];
    uint8_t *room = malloc(5 + span * size);
    memset(room, GARBAGE, 5 + span * size);
    for (size_t i = 0; i < count; i++) {
        size_t rest = i, at = 0;
        for (int d = rank; d--; rest /= dims[d]) at += rest % dims[d] * strides[d];
        memcpy(room + 5 + at * size, p->data + i * size, size);
    }
    append_bytes(&file->data, room, 5 + span * size);
    free(room);
    snprintf(text, sizeof text, "%c\"%s\":{\"dtype\":\"%s\"", file->directory.size ? ',' : '{', p->name, p->dtype);
    add_text(&file->directory, text);
    add_numbers(&file->directory, "shape", dims, rank);
    if (rank) add_numbers(&file->directory, "strides", strides, rank);
    add_numbers(&file->directory, "data_offsets", (size_t[]){begin, begin + span * size}, 2);
    add_text(&file->directory, "}");
}

/* Every tensor in one arrangement, or each in the next one. */
static strided_file arrange(const part *parts, size_t count, int how)
{
    strided_file file = {{NULL, 0}, {NULL, 0}};
    for (size_t i = 0; i < count; i++)
        add_tensor(&file, &parts[i], (arrangement)((how < ARRANGEMENTS ? (size_t)how : i) % ARRANGEMENTS));
    add_text(&file.directory, "}");
    return file;
}

/* ---- loading ------------------------------------------------------------------------------------------------------
 */

static hc_encoder *load(hc_tower tower, const char *config, strided_file file, hc_dtype dtype, size_t chunk,
                        outcome *end)
{
    hc_loader *loader = hc_loader_new(tower, config, strlen(config), dtype);
    hc_loader_directory(loader, (char *)file.directory.data, file.directory.size);
    const hc_range *ranges = hc_loader_ranges(loader, &end->ranges);
    for (size_t i = 0; i < end->ranges; i++)
        for (uint64_t at = ranges[i].begin; at < ranges[i].end && at < file.data.size; at += chunk) {
            uint64_t stop = at + chunk < ranges[i].end ? at + chunk : ranges[i].end;
            if (stop > file.data.size) stop = file.data.size;
            push_part(loader, file.data, at, (size_t)(stop - at), (int)(at % 2));
        }
    hc_encoder *encoder = hc_loader_finish(loader);
    end->status = hc_loader_status(loader);
    snprintf(end->message, sizeof end->message, "%s", hc_loader_message(loader));
    hc_loader_free(loader);
    return encoder;
}

/* The values of `file`, a checkpoint or a shard, arranged in other ways, become the same tower. */
static void check_arrangements(hc_tower tower, bytes file, const char *config, hc_dtype dtype, const char *label)
{
    outcome end;
    size_t count;
    part *parts = take_apart(file, &count);
    hc_encoder *encoder = load_bytes(tower, file, config, dtype, 1000, 1, &end);
    CHECK(encoder, "%s: %s", label, end.message);
    bytes expected = shard_of(encoder);
    hc_encoder_free(encoder);
    for (int how = 0; how <= ARRANGEMENTS; how++) {
        strided_file strided = arrange(parts, count, how);
        for (size_t chunk = 1 << 20; chunk > 1; chunk = chunk > 1000 ? 777 : chunk > 100 ? 13 : 1) {
            encoder = load(tower, config, strided, dtype, chunk, &end);
            CHECK(encoder, "%s, arrangement %d: %s", label, how, end.message);
            if (!encoder) break;
            bytes found = shard_of(encoder);
            CHECK(same_bytes(found, expected), "%s, arrangement %d, chunks of %zu: another tower", label, how, chunk);
            free(found.data);
            hc_encoder_free(encoder);
        }
        free(strided.data.data);
        free(strided.directory.data);
    }
    free(parts);
    free(expected.data);
}

static void test_checkpoints(void)
{
    static const char *const names[] = {"clip", "no-ln-pre", "clip-bf16", "hugging-face", "block-all"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int tower = HC_IMAGE; tower <= HC_TEXT; tower++) {
            bytes file = golden_tower(names[i], ".safetensors"), config = golden_tower(names[i], ".json");
            for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++)
                check_arrangements((hc_tower)tower, file, (char *)config.data, (hc_dtype)dtype, names[i]);
            free(file.data);
            free(config.data);
        }
}

/* Quantised values in the kernels' order, and their scales, held as they are and at another dtype. */
static void test_shards(void)
{
    bytes file = golden_tower("odd-widths", ".safetensors"), config = golden_tower("odd-widths", ".json");
    for (int tower = HC_IMAGE; tower <= HC_TEXT; tower++)
        for (int held = HC_FP16; held <= HC_INT4; held++) {
            outcome end;
            hc_encoder *encoder = load_bytes((hc_tower)tower, file, (char *)config.data, (hc_dtype)held, 1000, 1, &end);
            bytes shard = shard_of(encoder);
            hc_encoder_free(encoder);
            for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++)
                check_arrangements((hc_tower)tower, shard, (char *)config.data, (hc_dtype)dtype, "a shard");
            free(shard.data);
        }
    free(file.data);
    free(config.data);
}

/* A bias of one number, and a position embedding of one row for all; rows that overlap. */
static void test_expanded(void)
{
    bytes file = golden_tower("clip-quick-gelu", ".safetensors"), config = golden_tower("clip-quick-gelu", ".json");
    size_t count;
    outcome end;
    part *parts = take_apart(file, &count);
    strided_file plain = {{NULL, 0}, {NULL, 0}}, strided = plain;
    for (size_t i = 0; i < count; i++) {
        part p = parts[i];
        size_t dims[4], strides[4] = {0}, n = p.size / 4;
        int rank = read_shape(p.shape, dims), bias = strstr(p.name, "c_fc.bias") != NULL,
            position = strstr(p.name, "positional_embedding") != NULL, matrix = strstr(p.name, "c_proj.weight") != NULL;
        if (!bias && !position && !matrix) {
            add_tensor(&plain, &p, TRANSPOSED);
            add_tensor(&strided, &p, TRANSPOSED);
            continue;
        }
        uint8_t *values = malloc(p.size);
        size_t stride = matrix ? 1 : 0, span = bias ? 1 : matrix ? dims[1] + dims[0] - 1 : dims[1];
        for (size_t j = 0; j < n; j++)
            memcpy(values + 4 * j, p.data + 4 * (bias ? 0 : j / dims[rank - 1] * stride + j % dims[rank - 1]), 4);
        p.data = values;
        add_tensor(&plain, &p, TRANSPOSED);
        char text[256];
        size_t begin = strided.data.size;
        append_bytes(&strided.data, parts[i].data, 4 * span);
        snprintf(text, sizeof text, "%c\"%s\":{\"dtype\":\"F32\"", strided.directory.size ? ',' : '{', p.name);
        add_text(&strided.directory, text);
        add_numbers(&strided.directory, "shape", dims, rank);
        strides[0] = stride;
        if (!bias) strides[1] = 1;
        add_numbers(&strided.directory, "strides", strides, rank);
        add_numbers(&strided.directory, "data_offsets", (size_t[]){begin, begin + 4 * span}, 2);
        add_text(&strided.directory, "}");
        free(values);
    }
    add_text(&plain.directory, "}");
    add_text(&strided.directory, "}");
    for (int tower = HC_IMAGE; tower <= HC_TEXT; tower++)
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            hc_encoder *a = load((hc_tower)tower, (char *)config.data, plain, (hc_dtype)dtype, 500, &end);
            CHECK(a, "%s", end.message);
            hc_encoder *b = load((hc_tower)tower, (char *)config.data, strided, (hc_dtype)dtype, 77, &end);
            CHECK(b, "%s", end.message);
            bytes x = shard_of(a), y = shard_of(b);
            CHECK(same_bytes(x, y), "expanded tensors: another tower");
            hc_encoder_free(a);
            hc_encoder_free(b);
            free(x.data);
            free(y.data);
        }
    /* The end of a span does not come. */
    strided.data.size -= 1;
    hc_encoder *cut = load(HC_TEXT, (char *)config.data, strided, HC_FP32, 500, &end);
    hc_encoder *other = load(HC_IMAGE, (char *)config.data, strided, HC_FP32, 500, &end);
    CHECK(!cut || !other, "a tower whose last byte is missing");
    hc_encoder_free(cut);
    hc_encoder_free(other);
    free(plain.data.data);
    free(plain.directory.data);
    free(strided.data.data);
    free(strided.directory.data);
    free(parts);
    free(file.data);
    free(config.data);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

static void test_refused(void)
{
    static const struct {
        const char *entry;
        hc_status status;
    } cases[] = {
        {"\"shape\":[2,3],\"strides\":[3,1],\"data_offsets\":[0,24]",
         HC_WEIGHTS_MISMATCH}, /* well-formed: another shape than the model's */
        {"\"shape\":[2,3],\"strides\":[1,2],\"data_offsets\":[0,24]", HC_WEIGHTS_MISMATCH},
        {"\"shape\":[0,3],\"strides\":[1,2],\"data_offsets\":[8,8]", HC_WEIGHTS_MISMATCH},
        {"\"shape\":[2,3],\"strides\":[1,3],\"data_offsets\":[0,24]",
         HC_WEIGHTS_FORMAT}, /* 8 elements from the first to the last */
        {"\"shape\":[2,3],\"strides\":[3],\"data_offsets\":[0,24]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":[3,1,1],\"data_offsets\":[0,24]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":[-3,1],\"data_offsets\":[0,24]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":[1.5,1],\"data_offsets\":[0,24]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":\"x\",\"data_offsets\":[0,24]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":[18446744073709551615,1],\"data_offsets\":[0,8]",
         HC_WEIGHTS_FORMAT}, /* sums that would wrap */
        {"\"shape\":[3,3],\"strides\":[9223372036854775808,1],\"data_offsets\":[0,12]", HC_WEIGHTS_FORMAT},
        {"\"shape\":[2,3],\"strides\":[4611686018427387904,1],\"data_offsets\":[0,12]", HC_WEIGHTS_FORMAT},
    };
    bytes config = golden_tower("clip", ".json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char directory[256];
        snprintf(directory, sizeof directory, "{\"token_embedding.weight\":{\"dtype\":\"F32\",%s}}", cases[i].entry);
        hc_loader *loader = hc_loader_new(HC_TEXT, (char *)config.data, config.size, HC_INT8);
        hc_status status = hc_loader_directory(loader, directory, strlen(directory));
        CHECK(status == cases[i].status &&
                  strstr(hc_loader_message(loader),
                         status == HC_WEIGHTS_FORMAT ? "token_embedding.weight" : "expected with shape"),
              "%s: %s: %s", directory, hc_status_code(status), hc_loader_message(loader));
        CHECK(hc_loader_finish(loader) == NULL, "no encoder");
        hc_loader_free(loader);
    }
    free(config.data);
}

int main(void)
{
    test_checkpoints();
    test_shards();
    test_expanded();
    test_refused();
    return check_result("strides");
}
