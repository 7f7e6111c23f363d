/* test_places.c: positions of another grid or length, and biases of windows of another size, become the numbers that
 * OpenCLIP and timm make of them; a size of pictures that is asked for is the same as one in the config, of a
 * checkpoint and of a shard; and files whose positions are neither are refused. */
#include "check.h"
#include "loading.h"
#include "load/places.h"
#include "operations/operations.h"

#include <math.h>

/* ---- numbers ------------------------------------------------------------------------------------------------------
 */

/* Resizes the first of a pair of tensors, and compares with the second. */
static void check_pair(const part *from, const part *to)
{
    hc_tensor tensor = {.name = "positions", .rank = 2, .places = {HC_PLACES_GRID, 0, 0, 1, 0, NULL}};
    hc_item item = {.tensor = &tensor};
    hc_loader loader = {.tower = HC_IMAGE};
    hc_places *a = &item.from, *b = &tensor.places;
    *a = *b;
    if (sscanf(from->name, "text.%d.%d", &a->height, &b->height) == 2) a->kind = b->kind = HC_PLACES_TEXT;
    else if (sscanf(from->name, "distances.%d.%d.%d.%d", &a->height, &a->across, &b->height, &b->across) == 4)
        b->make = hc_distance_made;
    else if (sscanf(from->name, "grid.%d.%d.%d.%d.%d", &b->before, &a->height, &a->across, &b->height, &b->across) != 5)
        CHECK(0, "%s", from->name);
    a->before = b->before;
    size_t rows = (size_t)(b->before + b->height * b->across), width = to->size / sizeof(float) / rows;
    tensor.shape[0] = (uint32_t)rows;
    tensor.shape[1] = (uint32_t)width;
    tensor.floats = malloc(to->size);
    item.places = malloc(from->size);
    if (!tensor.floats || !item.places) exit(1);
    memcpy(item.places, from->data, from->size);
    while (!hc_places_resize(&loader, &item)) {
    }
    double most = 0; /* torch weighs in floats, and is 1e-6 from the same in doubles */
    for (size_t i = 0; i < rows * width; i++) {
        float expected;
        memcpy(&expected, to->data + i * sizeof expected, sizeof expected);
        most = fmax(most, fabs((double)tensor.floats[i] - (double)expected));
    }
    CHECK(most <= 4e-6, "%s: %g off", from->name, most);
    CHECK(!item.places, "what came is held no longer");
    free(tensor.floats);
}

static void check_numbers(void)
{
    bytes file = read_bytes("tests/golden/positions.safetensors");
    size_t count;
    part *parts = take_apart(file, &count);
    for (size_t i = 0; i + 1 < count; i += 2) check_pair(&parts[i], &parts[i + 1]);
    free(parts);
    free(file.data);
}

/* ---- sizes --------------------------------------------------------------------------------------------------------
 */

/* JSON text with another value of its first member of a name; frees it. */
static char *with_value(char *config, const char *key, const char *value)
{
    size_t size = strlen(config) + strlen(key) + strlen(value) + 8;
    char *text = calloc(size, 1), *at = strstr(config, key), *end;
    if (!text || !at) exit(1);
    end = at + strlen(key) + strlen("\": ");
    int depth = 0;
    do depth += (*end == '[') - (*end == ']'), end++;
    while (depth || !strchr(",\n", *end));
    snprintf(text, size, "%.*s%s\":%s%s", (int)(at - config), config, key, value, end);
    free(config);
    return text;
}

/* A golden config with another image_size, as JSON text; to be freed. */
static char *with_size(const char *name, const char *size)
{
    return with_value((char *)golden_tower(name, ".json").data, "image_size", size);
}

static bytes load_to_shard(bytes file, const char *config, hc_dtype dtype, const int sides[2])
{
    outcome end;
    hc_encoder *encoder = load_sized(HC_IMAGE, file, config, dtype, 777, 1, sides, &end);
    CHECK(encoder, "%s", end.message);
    bytes shard = shard_of(encoder);
    hc_encoder_free(encoder);
    return shard;
}

/* A size that is asked for, of a config's tower and of a shard of it, is the same as in the config from the start. */
static void check_asked(const char *name, const char *own, const int sides[2], hc_dtype dtype)
{
    char size[32];
    bytes file = golden_tower(name, ".safetensors");
    if (sides[0] == sides[1]) snprintf(size, sizeof size, "%d", sides[0]);
    else snprintf(size, sizeof size, "[%d,%d]", sides[0], sides[1]);
    char *config = with_size(name, own), *other = with_size(name, size);
    bytes expected = load_to_shard(file, other, dtype, NULL), found = load_to_shard(file, config, dtype, sides);
    bytes first = load_to_shard(file, config, dtype, NULL), second = load_to_shard(first, NULL, HC_AUTO, sides);
    CHECK(same_bytes(expected, found), "%s at %s", name, size);
    /* Weights that were rounded once are not rounded again, and positions are never. */
    CHECK(same_bytes(expected, second), "%s at %s, from a shard", name, size);
    hc_preprocess_cfg cfg;
    hc_encoder *encoder = load_bytes(HC_IMAGE, second, NULL, HC_AUTO, 1000, 1, &(outcome){0});
    const char *text = hc_encoder_config(encoder);
    CHECK(hc_preprocess_parse(text, strlen(text), &cfg) == HC_OK && cfg.height == sides[0] && cfg.width == sides[1],
          "pictures are prepared at the tower's size, in %s", text);
    hc_encoder_free(encoder);
    free(expected.data);
    free(found.data);
    free(first.data);
    free(second.data);
    free(config);
    free(other);
    free(file.data);
}

/* Windows grow with the pictures that are asked for, of a config's tower and of a shard of it, as if the config had
 * them so; at the config's own size nothing changes. */
static void check_windows(hc_dtype dtype)
{
    const char *name = "resized-swin-asked";
    const int sides[] = {48, 64}, own[] = {32, 32};
    bytes file = golden_tower(name, ".safetensors");
    char *pair = with_value(with_size(name, "32"), "window_size", "[4,2]"), /* [height, across] of both stages' */
        *first = with_value(with_size(name, "32"), "window_size", "[[4,4],[2,2]]"),
         *other = with_value(with_size(name, "[48,64]"), "window_size", "[[6,8],[3,4]]");
    bytes expected = load_to_shard(file, other, dtype, NULL), found = load_to_shard(file, first, dtype, sides),
          same = load_to_shard(file, first, dtype, NULL), again = load_to_shard(file, first, dtype, own),
          second = load_to_shard(same, NULL, HC_AUTO, sides), third = load_to_shard(second, NULL, HC_AUTO, NULL);
    CHECK(same_bytes(expected, found), "as the config that has the windows");
    CHECK(same_bytes(same, again), "at its own size as it is");
    CHECK(same_bytes(expected, second), "from a shard");
    CHECK(same_bytes(second, third), "a shard is read as it was written");
    outcome end;
    hc_encoder *encoder = load_bytes(HC_IMAGE, file, pair, dtype, 1000, 1, &end);
    CHECK(encoder, "tables for windows of 4 x 2 are made of those for 4 x 4 and 2 x 2: %s", end.message);
    hc_encoder_free(encoder);
    free(expected.data);
    free(found.data);
    free(same.data);
    free(again.data);
    free(second.data);
    free(third.data);
    free(file.data);
    free(pair);
    free(first);
    free(other);
}

/* The grid of a file that is not square is known where its config is: a shard's. */
static void check_uneven(void)
{
    bytes file = golden_tower("resized-wide", ".safetensors");
    char *config = with_size("resized-wide", "12");
    bytes wide = load_to_shard(file, config, HC_FP32, (const int[]){6, 21}),
          back = load_to_shard(wide, NULL, HC_FP32, (const int[]){9, 15});
    CHECK(back.size != wide.size, "another size of positions");
    free(file.data);
    free(config);
    free(wide.data);
    free(back.data);
}

/* timm resizes to another grid of as many places, and OpenCLIP does not. */
static void check_as_many(void)
{
    static const char *const names[] = {"resized-up", "resized-timm-up"};
    for (int timm = 0; timm < 2; timm++) {
        /* Patches of 3 and 4: a grid of 9 by 1 in place of 3 by 3, as the file has it. */
        const int patch = 3 + timm, sides[] = {9 * patch, patch};
        char size[16];
        snprintf(size, sizeof size, "%d", 3 * patch);
        bytes file = golden_tower(names[timm], ".safetensors");
        char *config = with_size(names[timm], size);
        bytes square = load_to_shard(file, config, HC_FP32, NULL), tall = load_to_shard(file, config, HC_FP32, sides);
        const char *name = timm ? "visual.trunk.pos_embed" : "visual.positional_embedding";
        size_t count;
        part *a = take_apart(square, &count), *b = take_apart(tall, &count);
        const part *x = part_of(a, count, name), *y = part_of(b, count, name);
        CHECK(x->size == y->size && !memcmp(x->data, y->data, x->size) == !timm, "%s", names[timm]);
        free(a);
        free(b);
        free(square.data);
        free(tall.data);
        free(config);
        free(file.data);
    }
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

static void refuse(hc_tower tower, const char *golden, const char *name, const char *shape)
{
    bytes file = golden_tower(golden, ".safetensors"), config = golden_tower(golden, ".json");
    outcome end;
    size_t count;
    part *parts = take_apart(file, &count), *positions = part_of(parts, count, name);
    uint32_t rows, width;
    CHECK(sscanf(shape, "[%u,%u]", &rows, &width) == 2, "%s", shape);
    snprintf(positions->shape, sizeof positions->shape, "%s", shape);
    uint8_t *zeros = calloc((size_t)rows * width + 1, sizeof(float));
    positions->data = zeros;
    positions->size = (size_t)rows * width * (strcmp(positions->dtype, "F32") ? 2 : 4);
    bytes other = build_file(parts, count, NULL);
    hc_encoder *encoder = load_bytes(tower, other, (char *)config.data, HC_FP32, 1000, 1, &end);
    CHECK(!encoder && end.status == HC_WEIGHTS_MISMATCH && strstr(end.message, name), "%s %s: %s", name, shape,
          end.message);
    hc_encoder_free(encoder);
    free(zeros);
    free(parts);
    free(other.data);
    free(file.data);
    free(config.data);
}

int main(void)
{
    static const int sizes[][2] = {{15, 15}, {6, 21}, {30, 9}, {7, 7}};
    check_numbers();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) {
            check_asked("resized-up", "9", sizes[i], (hc_dtype)dtype);
            check_asked("resized-timm-up", "12", sizes[i], (hc_dtype)dtype);
        }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_asked("vit-relpos-class", "18", (const int[]){2 * sizes[i][0], 2 * sizes[i][1]}, HC_INT8);
    for (int dtype = HC_FP32; dtype <= HC_INT4; dtype++) check_windows((hc_dtype)dtype);
    check_uneven();
    check_as_many();
    refuse(HC_IMAGE, "resized-up", "visual.positional_embedding", "[11,24]"); /* no square */
    refuse(HC_IMAGE, "resized-up", "visual.positional_embedding", "[10,23]");
    refuse(HC_IMAGE, "resized-up", "visual.positional_embedding", "[1,24]");
    refuse(HC_IMAGE, "resized-up", "visual.positional_embedding", "[0,24]");
    refuse(HC_TEXT, "resized-up", "positional_embedding", "[8,25]");
    refuse(HC_TEXT, "resized-up", "positional_embedding", "[0,24]");
    return check_result("places");
}
