/* loader.c: from a weight file's bytes to an encoder. The header is turned into a plan, one item for each tensor of the file that
 * the tower needs; then every chunk goes to the items it overlaps, and each item converts, quantises and packs whole rows
 * at once. Nothing grows with the file: beside the packed weights there is one row, and a cut row for each tensor under way.
 */
#include "json.h"
#include "layout.h"
#include "pack.h"
#include "safetensors.h"
#include "sort.h"
#include "text_format.h"
#include "tower.h"

#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_GAP = 64 * 1024,
    LARGEST_VOCABULARY = 65536 * 4   /* ids have 16 bits, and every merge makes one from two */
};

/* Where an item's values go. */
typedef enum target {
    TO_VECTOR,      /* floats, one by one                                               */
    TO_ROWS,        /* output channels of a matrix                                      */
    TO_COLUMNS,     /* its input channels                                               */
    TO_BLOCKS,      /* blocks of a quantised matrix, in a shard                         */
    TO_TABLE,       /* rows of a table                                                  */
    TO_QUANTISED,   /* rows of a table that are quantised already, in a shard           */
    TO_SCALES,      /* scales of one of the two                                         */
    TO_VOCABULARY
} target;

typedef struct item item;
struct item {
    const hc_tensor *tensor;        /* NULL for the vocabulary                          */
    char name[HC_LAYOUT_NAME];      /* in the file                                      */
    target target;
    hc_element element;
    uint64_t begin, at, end;        /* in the file; `at` is the next byte that is awaited */
    uint64_t reach;                 /* where the last of this item and those before it ends */
    size_t unit_values, unit;       /* values and bytes that can only be taken together */
    size_t done;                    /* units taken                                      */
    int first;                      /* row of the tensor where the item starts          */
    int nonzero;
    uint8_t *cut;                   /* a unit of which `cut_bytes` have come            */
    size_t cut_bytes;
    int has_partner, owns_scales;   /* quantised values and their scales: `partner` is the other one's position */
    size_t partner;
    float *scales;                  /* TO_SCALES: where they go                         */
};

struct hc_loader {
    hc_tower tower;
    hc_dtype dtype;
    hc_status status;
    char message[512];
    char *config;                   /* as given, or NULL                                */
    size_t config_length;
    uint64_t file_size, header_need, described_size;
    int file_size_known;
    hc_encoder *encoder;
    hc_tensor *tensors;
    size_t tensor_count;
    item *items;                    /* in file order once planned                       */
    size_t item_count;
    hc_range *ranges;
    size_t range_count;
    float *row;                     /* the longest unit, as floats                      */
};

#define FAIL(loader, code, ...)                                                              \
    do {                                                                                     \
        if ((loader)->status == HC_OK) {                                                     \
            (loader)->status = (code);                                                       \
            hc_format((loader)->message, sizeof(loader)->message, __VA_ARGS__);              \
        }                                                                                    \
    } while (0)

static void *allocate(hc_loader *loader, uint64_t count, size_t size, const char *what)
{
    void *block = count <= SIZE_MAX / size ? calloc((size_t)(count + !count), size) : NULL;
    if (!block) FAIL(loader, HC_OUT_OF_MEMORY, "out of memory: %u bytes for %s", count * size, what);
    return block;
}

static const char *tower_name(hc_tower tower) { return tower == HC_IMAGE ? "image" : "text"; }

/* ---- the config --------------------------------------------------------------------------------------------------- */

typedef struct piece {
    const char *text;
    size_t length;
} piece;

static piece piece_of(const char *text) { return (piece){text, strlen(text)}; }
static piece piece_of_json(const hc_json *value) { return (piece){value->text, value->length}; }

static char *join(hc_loader *loader, const piece *pieces, size_t count)
{
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++) length += pieces[i].length;
    char *text = allocate(loader, length + 1, 1, "the config"), *at = text;
    for (size_t i = 0; text && i < count; i++) {
        memcpy(at, pieces[i].text, pieces[i].length);
        at += pieces[i].length;
    }
    return text;
}

/* The text of a JSON object that a shard's metadata holds as a string, which the caller frees; NULL if there is none. */
static char *metadata_object(hc_loader *loader, const hc_json *metadata, const char *key, hc_json *object)
{
    hc_json value = hc_json_get(metadata, key);
    hc_json_error error;
    *object = (hc_json){HC_JSON_ABSENT, "", 0};
    if (value.type == HC_JSON_ABSENT || loader->status != HC_OK) return NULL;
    size_t length = hc_json_string(&value, NULL, 0);
    char *text = allocate(loader, length + 1, 1, "the shard's metadata");
    if (!text) return NULL;
    hc_json_string(&value, text, length + 1);
    if (!hc_json_parse(text, length, object, &error) || object->type != HC_JSON_OBJECT) {
        FAIL(loader, HC_WEIGHTS_FORMAT, "the shard's metadata has a %s that is not a JSON object", key);
        *object = (hc_json){HC_JSON_ABSENT, "", 0};
    }
    return text;
}

/* What get_tokenizer of OpenCLIP would be told: `clean` is "lower" for its own tokenizer, "whitespace" for Hugging Face's. */
static char *derive_tokenizer(hc_loader *loader, const hc_json *model)
{
    hc_json section = hc_json_get(model, "text_cfg"), kwargs = hc_json_get(&section, "tokenizer_kwargs");
    hc_json clean = hc_json_get(&kwargs, "clean"), family = hc_json_get(&section, "hf_tokenizer_name");
    int foreign = family.type == HC_JSON_STRING;
    piece pieces[] = {
        piece_of("{\"clean\":"),
        clean.type == HC_JSON_STRING ? piece_of_json(&clean) : piece_of(foreign ? "\"whitespace\"" : "\"lower\""),
        piece_of(foreign ? ",\"hf_tokenizer_name\":" : ""),
        foreign ? piece_of_json(&family) : piece_of(""),
        piece_of("}"),
    };
    return join(loader, pieces, sizeof pieces / sizeof *pieces);
}

/* {"model_cfg", "preprocess_cfg", "tokenizer"}: the given config first, then what a shard's metadata adds. */
static char *compose_config(hc_loader *loader, const hc_json *metadata)
{
    hc_json given = {HC_JSON_ABSENT, "", 0}, model, preprocess, tokenizer, held[3];
    hc_json_error error;
    char *texts[4] = {NULL}, *config = NULL;
    static const char *const keys[] = {"model_cfg", "preprocess_cfg", "tokenizer"};
    for (int i = 0; i < 3; i++) texts[i] = metadata_object(loader, metadata, keys[i], &held[i]);
    if (loader->config && !hc_json_parse(loader->config, loader->config_length, &given, &error)) given.type = HC_JSON_ABSENT;

    model = hc_json_get(&given, "model_cfg");
    if (model.type != HC_JSON_OBJECT) model = given.type == HC_JSON_OBJECT ? given : held[0];
    preprocess = hc_json_get(&given, "preprocess_cfg");
    if (preprocess.type != HC_JSON_OBJECT) preprocess = held[1];
    tokenizer = hc_json_get(&given, "tokenizer");
    if (tokenizer.type != HC_JSON_OBJECT) tokenizer = held[2];

    if (model.type != HC_JSON_OBJECT) {
        FAIL(loader, HC_MODEL_CONFIG, "no model was given, and the file is no shard, which would hold its own (model_cfg in __metadata__)");
    } else if (loader->status == HC_OK) {
        int text = loader->tower == HC_TEXT;
        if (text && tokenizer.type == HC_JSON_ABSENT) texts[3] = derive_tokenizer(loader, &model);
        piece pieces[] = {
            piece_of("{\"model_cfg\":"), piece_of_json(&model), piece_of(",\"preprocess_cfg\":"),
            preprocess.type == HC_JSON_OBJECT ? piece_of_json(&preprocess) : piece_of("{}"),
            piece_of(text ? ",\"tokenizer\":" : ""), !text ? piece_of("") : texts[3] ? piece_of(texts[3]) : piece_of_json(&tokenizer),
            piece_of("}"),
        };
        if (loader->status == HC_OK) config = join(loader, pieces, sizeof pieces / sizeof *pieces);
    }
    for (int i = 0; i < 4; i++) free(texts[i]);
    return config;
}

/* What a shard says about itself: which tower, and how its weights are held. */
static void read_shard_metadata(hc_loader *loader, const hc_json *metadata)
{
    static const char *const dtypes[] = {"", "fp32", "fp16", "int8"};
    hc_json version = hc_json_get(metadata, "halfclip"), tower = hc_json_get(metadata, "tower"), dtype = hc_json_get(metadata, "dtype");
    if (version.type == HC_JSON_ABSENT) {
        if (loader->dtype == HC_AUTO) loader->dtype = HC_INT8;
        return;
    }
    if (!hc_json_is(&version, "1"))
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file is a halfclip shard of version %t, expected \"1\"", version.text, version.length);
    if (!hc_json_is(&tower, tower_name(loader->tower)))
        FAIL(loader, HC_WEIGHTS_MISMATCH, "the file is a shard that holds the %t tower, the %s tower was asked for", tower.text,
             tower.length, tower_name(loader->tower));
    if (loader->dtype != HC_AUTO) return;
    for (int i = HC_FP32; i <= HC_INT8; i++)
        if (hc_json_is(&dtype, dtypes[i])) loader->dtype = (hc_dtype)i;
    if (loader->dtype == HC_AUTO)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file is a shard of dtype %t, expected fp32, fp16 or int8", dtype.text, dtype.length);
}

/* ---- the plan ----------------------------------------------------------------------------------------------------- */

static hc_storage storage_of(const hc_loader *loader, hc_role role)
{
    if (role == HC_ROLE_VECTOR || loader->dtype == HC_FP32) return HC_STORE_F32;
    if (loader->dtype == HC_FP16 || role == HC_ROLE_FILTER || role == HC_ROLE_PROJECTION) return HC_STORE_F16;
    return HC_STORE_I8;
}

static int is_weight(hc_element element)
{
    return element == HC_F32 || element == HC_F16 || element == HC_BF16 || element == HC_F64;
}

static size_t values_of(const uint32_t *shape, int rank)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    return n;
}

/* Finds a tensor of the expected shape; NULL and an error else. */
static hc_file_tensor *require(hc_loader *loader, const hc_safetensors *file, const char *name, const uint32_t *shape, int rank)
{
    hc_file_tensor *found = hc_safetensors_find(file, name);
    uint32_t has[4];
    if (!found) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s is missing from the file, expected with shape %x", name, shape, rank);
        return NULL;
    }
    found->used = 1;
    if (hc_safetensors_shape(found, has) != rank || memcmp(has, shape, (size_t)rank * sizeof *shape)) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has shape %t, expected %x", name, found->shape.text, found->shape.length, shape, rank);
        return NULL;
    }
    return found;
}

static item *add_item(hc_loader *loader, const hc_tensor *tensor, const char *name, const hc_file_tensor *found, target where, size_t unit_values)
{
    item *it = &loader->items[loader->item_count++];
    it->tensor = tensor;
    hc_format(it->name, sizeof it->name, "%s", name);
    it->target = where;
    it->element = found->element;
    it->begin = it->at = found->begin;
    it->end = found->end;
    it->unit_values = unit_values;
    it->unit = unit_values * hc_pack_element_bytes(found->element);
    return it;
}

/* A shard's quantised tensor and its scales. */
static void plan_quantised(hc_loader *loader, const hc_safetensors *file, const hc_tensor *tensor, const char *name)
{
    char scale_name[HC_LAYOUT_NAME];
    int table = tensor->role == HC_ROLE_TABLE, rank = table ? 2 : 4;
    uint32_t shape[4] = {tensor->shape[0], tensor->shape[1], 0, 0};
    if (!table) {
        shape[0] = (tensor->shape[0] + HC_PANEL - 1) / HC_PANEL;
        shape[1] = (tensor->shape[1] + HC_DEPTH - 1) / HC_DEPTH;
        shape[2] = HC_PANEL;
        shape[3] = HC_DEPTH;
    }
    hc_format(scale_name, sizeof scale_name, "%s.scale", name);
    const hc_file_tensor *values = require(loader, file, name, shape, rank), *scales = require(loader, file, scale_name, tensor->shape, 1);
    if (!values || !scales) return;
    if (scales->element != HC_F32) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected F32", scale_name, scales->dtype.text, scales->dtype.length);
        return;
    }
    item *it = add_item(loader, tensor, name, values, table ? TO_QUANTISED : TO_BLOCKS, table ? tensor->shape[1] : HC_PANEL * HC_DEPTH);
    item *scale = add_item(loader, tensor, scale_name, scales, TO_SCALES, 1);
    it->has_partner = scale->has_partner = 1;
}

/* What the file calls a tensor, in one piece or three, each of the shape that the config implies. */
static void plan_tensor(hc_loader *loader, const hc_safetensors *file, const hc_layout_match *match, const hc_tensor *tensor)
{
    char names[HC_LAYOUT_PARTS][HC_LAYOUT_NAME];
    int linear, parts = hc_layout_names(match, tensor->name, names, &linear);
    uint32_t shape[4];
    memcpy(shape, tensor->shape, sizeof shape);
    shape[0] /= (uint32_t)parts;
    if (linear) {
        shape[0] = tensor->shape[1];
        shape[1] = tensor->shape[0];
    }
    for (int part = 0; part < parts; part++) {
        hc_file_tensor *found = hc_safetensors_find(file, names[part]);
        if (found && found->element == HC_I8 && (tensor->role == HC_ROLE_MATRIX || tensor->role == HC_ROLE_TABLE) && parts == 1) {
            plan_quantised(loader, file, tensor, names[part]);
            return;
        }
        found = require(loader, file, names[part], shape, tensor->rank);
        if (!found) return;
        if (!is_weight(found->element)) {
            FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected F32, F16, BF16 or F64", names[part], found->dtype.text, found->dtype.length);
            return;
        }
        target where = tensor->role == HC_ROLE_VECTOR ? TO_VECTOR : tensor->role == HC_ROLE_TABLE ? TO_TABLE
                     : tensor->role == HC_ROLE_PROJECTION && !linear ? TO_COLUMNS : TO_ROWS;
        size_t row = where == TO_VECTOR ? 1 : values_of(shape + 1, tensor->rank - 1);
        add_item(loader, tensor, names[part], found, where, row)->first = part * (int)shape[0];
    }
}

static void plan_vocabulary(hc_loader *loader, const hc_safetensors *file)
{
    const hc_file_tensor *found = loader->tower == HC_TEXT ? hc_safetensors_find(file, "halfclip.merges") : NULL;
    if (!found || found->element != HC_U8 || found->begin == found->end) return;
    if (found->end - found->begin > LARGEST_VOCABULARY) {
        FAIL(loader, HC_WEIGHTS_FORMAT, "tensor halfclip.merges has %u bytes, expected at most %u", found->end - found->begin, (uint64_t)LARGEST_VOCABULARY);
        return;
    }
    hc_encoder *e = loader->encoder;
    e->vocabulary = allocate(loader, found->end - found->begin, 1, "the vocabulary");
    if (!e->vocabulary) return;
    e->vocabulary_bytes = (size_t)(found->end - found->begin);
    add_item(loader, NULL, "halfclip.merges", found, TO_VOCABULARY, 1);
}

static void *take(uint8_t *base, uint64_t *at, uint64_t bytes)
{
    void *place = base ? base + *at : NULL;
    *at += (bytes + HC_ALIGN - 1) / HC_ALIGN * HC_ALIGN;
    return place;
}

/* Lays all packed weights one after the other and returns how many bytes they are; with base NULL only counts. */
static uint64_t place(hc_loader *loader, uint8_t *base)
{
    uint64_t at = 0;
    for (size_t i = 0; i < loader->tensor_count; i++) {
        const hc_tensor *t = &loader->tensors[i];
        hc_storage storage = storage_of(loader, t->role);
        size_t padded = hc_round_up(t->shape[0], HC_PANEL) * sizeof(float);
        if (t->role == HC_ROLE_VECTOR) {
            *(float **)t->slot = take(base, &at, hc_round_up(values_of(t->shape, t->rank), HC_PANEL) * sizeof(float));
        } else if (t->role == HC_ROLE_TABLE) {
            hc_table *table = t->slot;
            size_t size = storage == HC_STORE_F32 ? 4 : storage == HC_STORE_F16 ? 2 : 1;
            *table = (hc_table){(int)t->shape[0], (int)t->shape[1], storage, NULL, NULL};
            table->data = take(base, &at, (uint64_t)t->shape[0] * t->shape[1] * size);
            if (storage == HC_STORE_I8) table->scale = take(base, &at, padded);
        } else {
            hc_matrix *matrix = t->slot;
            int swapped = t->role == HC_ROLE_PROJECTION;
            *matrix = (hc_matrix){.n = (int)t->shape[swapped], .k = (int)(swapped ? t->shape[0] : values_of(t->shape + 1, t->rank - 1)), .storage = storage};
            matrix->data = take(base, &at, hc_matrix_bytes(matrix->n, matrix->k, storage));
            if (storage == HC_STORE_I8) {
                matrix->scale = take(base, &at, padded);
                matrix->sum = take(base, &at, padded);
            }
        }
    }
    return at;
}

static void allocate_weights(hc_loader *loader)
{
    hc_encoder *e = loader->encoder;
    uint64_t bytes = place(loader, NULL) + HC_ALIGN;
    e->packed = allocate(loader, bytes, 1, "the weights");
    if (!e->packed) return;
    e->packed_bytes = (size_t)bytes;
    /* malloc of some WebAssembly libraries aligns to 8 only. */
    place(loader, (uint8_t *)e->packed + (HC_ALIGN - (uintptr_t)e->packed % HC_ALIGN) % HC_ALIGN);
    e->arena_bytes = hc_tower_arena(&e->config, loader->dtype, hc_tower_batch(&e->config));
    e->arena = allocate(loader, e->arena_bytes, 1, "activations");
}

static int by_position(const void *a, const void *b)
{
    const item *const *x = a, *const *y = b;
    return (*x)->begin < (*y)->begin ? -1 : (*x)->begin > (*y)->begin;
}

/* Puts the items in file order, and links quantised values with their scales. */
static void order_items(hc_loader *loader)
{
    item **order = allocate(loader, loader->item_count, sizeof *order, "the plan");
    item *sorted = allocate(loader, loader->item_count, sizeof *sorted, "the plan");
    if (order && sorted) {
        for (size_t i = 0; i < loader->item_count; i++) order[i] = &loader->items[i];
        hc_sort(order, loader->item_count, sizeof *order, by_position);
        for (size_t i = 0; i < loader->item_count; i++) order[i]->partner = i;
        for (size_t i = 0; i < loader->item_count; i++) {
            item *it = order[i];
            sorted[i] = *it;
            if (it->has_partner) sorted[i].partner = (it->target == TO_SCALES ? it - 1 : it + 1)->partner;
            sorted[i].reach = i && sorted[i - 1].reach > it->end ? sorted[i - 1].reach : it->end;
        }
        free(loader->items);
        loader->items = sorted;
        sorted = NULL;
    }
    free(order);
    free(sorted);
}

static void plan_scales(hc_loader *loader)
{
    for (size_t i = 0; i < loader->item_count && loader->status == HC_OK; i++) {
        item *it = &loader->items[i];
        if (it->target != TO_SCALES) continue;
        it->scales = it->tensor->role == HC_ROLE_TABLE ? ((hc_table *)it->tensor->slot)->scale : ((hc_matrix *)it->tensor->slot)->scale;
        it->owns_scales = !it->scales;
        if (it->owns_scales) it->scales = allocate(loader, it->tensor->shape[0], sizeof(float), "scales");
    }
}

static void plan_ranges(hc_loader *loader)
{
    loader->ranges = allocate(loader, loader->item_count, sizeof *loader->ranges, "the plan");
    for (size_t i = 0; loader->ranges && i < loader->item_count; i++) {
        const item *it = &loader->items[i];
        hc_range *last = loader->ranges + loader->range_count - 1;
        if (loader->range_count && (it->begin < last->end || it->begin - last->end <= LARGEST_GAP)) last->end = it->reach;
        else loader->ranges[loader->range_count++] = (hc_range){it->begin, it->end};
    }
}

static void plan_rows(hc_loader *loader)
{
    size_t longest = 1;
    for (size_t i = 0; i < loader->item_count; i++)
        if (loader->items[i].unit_values > longest) longest = loader->items[i].unit_values;
    loader->row = allocate(loader, longest, sizeof *loader->row, "a row");
}

static void check_unexpected(hc_loader *loader, const hc_safetensors *file, const hc_layout_match *match)
{
    for (size_t i = 0; i < file->count; i++) {
        const hc_file_tensor *t = &file->tensors[i];
        if (!t->used && !hc_json_is(&t->name, "halfclip.merges") && hc_layout_owns(match, &t->name))
            FAIL(loader, HC_WEIGHTS_MISMATCH, "the file has tensor %t of shape %t, which the %s tower of this model does not have",
                 t->name.text + 1, t->name.length - 2, t->shape.text, t->shape.length, tower_name(loader->tower));
    }
}

static void plan_encoder(hc_loader *loader, const hc_safetensors *file)
{
    hc_encoder *e = loader->encoder = allocate(loader, 1, sizeof *e, "the encoder");
    if (!e) return;
    e->dtype = loader->dtype;
    e->config_json = compose_config(loader, &file->metadata);
    if (loader->status != HC_OK) return;
    loader->status = hc_config_parse(&e->config, loader->tower, e->config_json, strlen(e->config_json), loader->message, sizeof loader->message);
    if (loader->status != HC_OK) return;
    e->weights.blocks = allocate(loader, (uint64_t)e->config.layers, sizeof *e->weights.blocks, "the layers");
    if (!e->weights.blocks) return;
    loader->tensor_count = hc_tower_tensors(&e->config, &e->weights, NULL, 0);
    loader->tensors = allocate(loader, loader->tensor_count, sizeof *loader->tensors, "the plan");
    loader->items = allocate(loader, loader->tensor_count * HC_LAYOUT_PARTS + 1, sizeof *loader->items, "the plan");
    if (!loader->tensors || !loader->items) return;
    hc_tower_tensors(&e->config, &e->weights, loader->tensors, loader->tensor_count);
    for (size_t i = 0; i < loader->tensor_count; i++) e->parameters += values_of(loader->tensors[i].shape, loader->tensors[i].rank);

    hc_layout_match match = hc_layout_find(file, loader->tower, loader->tensors, loader->tensor_count);
    if (!match.layout) {
        char held[256];
        hc_layout_describe(file, loader->tower, held, sizeof held);
        FAIL(loader, HC_WEIGHTS_MISMATCH, "the file holds %s, the %s tower was asked for", held, tower_name(loader->tower));
        return;
    }
    for (size_t i = 0; i < loader->tensor_count && loader->status == HC_OK; i++) plan_tensor(loader, file, &match, &loader->tensors[i]);
    if (loader->status == HC_OK) check_unexpected(loader, file, &match);
    if (loader->status == HC_OK) plan_vocabulary(loader, file);
    if (loader->status == HC_OK) allocate_weights(loader);
    if (loader->status == HC_OK) order_items(loader);
    if (loader->status == HC_OK) plan_scales(loader);
    if (loader->status == HC_OK) plan_ranges(loader);
    if (loader->status == HC_OK) plan_rows(loader);
}

/* ---- the header --------------------------------------------------------------------------------------------------- */

hc_loader *hc_loader_new(hc_tower tower, const char *config, size_t config_length, hc_dtype dtype)
{
    hc_loader *loader = calloc(1, sizeof *loader);
    if (!loader) return NULL;
    loader->tower = tower;
    loader->dtype = dtype;
    loader->header_need = HC_SAFETENSORS_PREFIX;
    if (config) {
        hc_config checked;
        loader->config = malloc(config_length + 1);
        if (!loader->config) {
            free(loader);
            return NULL;
        }
        memcpy(loader->config, config, config_length);
        loader->config[config_length] = '\0';
        loader->config_length = config_length;
        loader->status = hc_config_parse(&checked, tower, config, config_length, loader->message, sizeof loader->message);
    }
    return loader;
}

hc_status hc_loader_status(const hc_loader *loader) { return loader->status; }
const char *hc_loader_message(const hc_loader *loader) { return loader->message; }

/* Compares what the header describes, once it is known, with the file's size, once that is known. */
static void check_size(hc_loader *loader)
{
    if (!loader->file_size_known || !loader->described_size) return;
    if (loader->file_size < loader->described_size)
        FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, expected %u bytes after its header", loader->file_size, loader->described_size);
    if (loader->file_size > loader->described_size)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file has %u bytes, expected %u after its header", loader->file_size, loader->described_size);
}

void hc_loader_file_size(hc_loader *loader, uint64_t size)
{
    loader->file_size = size;
    loader->file_size_known = 1;
    check_size(loader);
}

uint64_t hc_loader_header_need(const hc_loader *loader) { return loader->status == HC_OK ? loader->header_need : 0; }

/* The first 8 bytes and the one after them tell safetensors from everything else that comes under its name. */
static void check_prefix(hc_loader *loader, const uint8_t *bytes, size_t n)
{
    int ends = loader->file_size_known && loader->file_size < HC_SAFETENSORS_PREFIX + 2;
    if (n < HC_SAFETENSORS_PREFIX && !ends) return;
    const char *guess = hc_safetensors_guess(bytes, n);
    uint64_t length = n < HC_SAFETENSORS_PREFIX ? 0 : hc_safetensors_header_length(bytes);
    int plausible = length >= 2 && length <= HC_SAFETENSORS_MAX_HEADER && (n == HC_SAFETENSORS_PREFIX || bytes[HC_SAFETENSORS_PREFIX] == '{');
    ends |= plausible && loader->file_size_known && loader->file_size < HC_SAFETENSORS_PREFIX + length;
    if (guess && (ends || !plausible))
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file looks like %s, expected a safetensors file", guess);
    else if (ends)
        FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, before its safetensors header does", loader->file_size);
    else if (!plausible)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file does not begin as a safetensors file does (with its header's length and '{')");
    loader->header_need = HC_SAFETENSORS_PREFIX + length;
}

/* Plans from what was parsed, if it was, and frees it. */
static hc_status plan(hc_loader *loader, hc_safetensors *file)
{
    if (loader->status != HC_OK) return loader->status;
    loader->described_size = file->file_size;
    check_size(loader);
    read_shard_metadata(loader, &file->metadata);
    if (loader->status == HC_OK) plan_encoder(loader, file);
    hc_safetensors_free(file);
    loader->header_need = 0;
    return loader->status;
}

hc_status hc_loader_header(hc_loader *loader, const void *bytes, size_t n)
{
    if (loader->status != HC_OK || !loader->header_need) return loader->status;
    check_prefix(loader, bytes, n);
    if (loader->status != HC_OK || n < HC_SAFETENSORS_PREFIX || n < loader->header_need) return loader->status;

    hc_safetensors file;
    loader->status = hc_safetensors_parse(&file, (const char *)bytes + HC_SAFETENSORS_PREFIX, (size_t)loader->header_need - HC_SAFETENSORS_PREFIX,
                                          loader->message, sizeof loader->message);
    return plan(loader, &file);
}

hc_status hc_loader_directory(hc_loader *loader, const char *directory, size_t n)
{
    if (loader->status != HC_OK || !loader->header_need) return loader->status;
    hc_safetensors file;
    loader->status = hc_safetensors_parse_directory(&file, directory, n, loader->message, sizeof loader->message);
    return plan(loader, &file);
}

const hc_range *hc_loader_ranges(hc_loader *loader, size_t *count)
{
    *count = loader->status == HC_OK ? loader->range_count : 0;
    return loader->ranges;
}

/* ---- the data ----------------------------------------------------------------------------------------------------- */

/* Converts whole units to floats and checks them. 0 after a failure. */
static int convert(hc_loader *loader, item *it, const uint8_t *bytes, float *to, size_t values)
{
    uint32_t largest = hc_pack_floats(it->element, bytes, to, values);
    hc_role role = it->tensor->role;
    it->nonzero |= largest != 0;
    if (largest >= HC_INFINITY_BITS) {
        FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds NaN or infinity, expected finite weights", it->name);
    } else if (it->target != TO_SCALES && storage_of(loader, role) == HC_STORE_F16 && largest > HC_LARGEST_HALF_BITS) {
        FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds a weight beyond 65504, which fp16 cannot hold", it->name);
    }
    return loader->status == HC_OK;
}

/* Quantisers write -127 to 127. 0 after a failure. */
static int check_quantised(hc_loader *loader, item *it, const uint8_t *bytes, size_t n)
{
    uint8_t any = 0, lowest = 255;   /* q + 128, so that the lowest is unsigned, which every SIMD has a minimum for */
    for (size_t i = 0; i < n; i++) {
        uint8_t shifted = bytes[i] ^ 0x80;
        any |= bytes[i];
        lowest = shifted < lowest ? shifted : lowest;
    }
    it->nonzero |= any != 0;
    if (!lowest) FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds -128, expected -127 to 127", it->name);
    return loader->status == HC_OK;
}

/* Takes whole units in order. */
static void take_units(hc_loader *loader, item *it, const uint8_t *bytes, size_t units)
{
    void *slot = it->tensor ? it->tensor->slot : NULL;
    switch (it->target) {
    case TO_VOCABULARY: memcpy(loader->encoder->vocabulary + it->done, bytes, units); break;
    case TO_VECTOR: convert(loader, it, bytes, *(float **)slot + (size_t)it->first + it->done, units); break;
    case TO_SCALES: {
        float *scales = it->scales + it->done;
        /* 127 times a scale must still be a number of the storage. */
        float largest = storage_of(loader, it->tensor->role) == HC_STORE_F16 ? 65504.0f / 127 : 3.4e38f / 127;
        if (!convert(loader, it, bytes, scales, units)) break;
        for (size_t i = 0; i < units; i++)
            if (!(scales[i] >= 0 && scales[i] <= largest)) FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds a scale that is negative or too large", it->name);
        break;
    }
    case TO_BLOCKS:
        if (check_quantised(loader, it, bytes, units * it->unit)) hc_pack_blocks(slot, it->done, (const int8_t *)bytes, units);
        break;
    case TO_QUANTISED: {
        hc_table *table = slot;
        if (!check_quantised(loader, it, bytes, units * it->unit)) break;
        if (table->storage == HC_STORE_I8) {
            memcpy((int8_t *)table->data + it->done * it->unit, bytes, units * it->unit);
            break;
        }
        for (size_t i = 0; i < units; i++) {
            hc_pack_floats(HC_I8, bytes + i * it->unit, loader->row, it->unit_values);
            hc_pack_table_row(table, (int)(it->done + i), loader->row);
        }
        break;
    }
    case TO_ROWS:
    case TO_COLUMNS:
    case TO_TABLE:
        for (size_t i = 0; i < units && convert(loader, it, bytes + i * it->unit, loader->row, it->unit_values); i++) {
            int row = it->first + (int)(it->done + i);
            if (it->target == TO_ROWS) hc_pack_row(slot, row, loader->row);
            else if (it->target == TO_COLUMNS) hc_pack_column(slot, row, loader->row);
            else hc_pack_table_row(slot, row, loader->row);
        }
        break;
    }
    it->done += units;
}

/* Quantised values and their scales are both here. */
static void finish_quantised(const item *values, item *scales)
{
    if (values->target == TO_BLOCKS) hc_pack_finish(values->tensor->slot, scales->scales);
    else hc_pack_table_finish(values->tensor->slot, scales->scales);
    if (scales->owns_scales) {
        free(scales->scales);
        scales->scales = NULL;
    }
}

static void complete(hc_loader *loader, item *it)
{
    free(it->cut);
    it->cut = NULL;
    if (!it->nonzero && it->target != TO_VECTOR && it->target != TO_VOCABULARY) {
        FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds nothing but zeros", it->name);
        return;
    }
    if (!it->has_partner) return;
    item *partner = &loader->items[it->partner];
    if (partner->at < partner->end) return;
    finish_quantised(it->target == TO_SCALES ? partner : it, it->target == TO_SCALES ? it : partner);
}

/* The part of a chunk that this item waits for; a unit that the chunk cuts is kept. */
static void feed(hc_loader *loader, item *it, const uint8_t *bytes, size_t n)
{
    it->at += n;
    if (it->cut_bytes) {
        size_t missing = it->unit - it->cut_bytes, now = n < missing ? n : missing;
        memcpy(it->cut + it->cut_bytes, bytes, now);
        it->cut_bytes += now;
        bytes += now;
        n -= now;
        if (it->cut_bytes < it->unit) return;
        it->cut_bytes = 0;
        take_units(loader, it, it->cut, 1);
    }
    if (n >= it->unit && loader->status == HC_OK) take_units(loader, it, bytes, n / it->unit);
    if (loader->status != HC_OK) return;
    if (n % it->unit) {
        if (!it->cut) it->cut = allocate(loader, it->unit, 1, "a row");
        if (!it->cut) return;
        it->cut_bytes = n % it->unit;
        memcpy(it->cut, bytes + n - it->cut_bytes, it->cut_bytes);
    }
    if (it->at == it->end) complete(loader, it);
}

hc_status hc_loader_push(hc_loader *loader, uint64_t offset, const void *bytes, size_t n)
{
    uint64_t end = n > UINT64_MAX - offset ? UINT64_MAX : offset + n;
    size_t low = 0, high = loader->status == HC_OK && !loader->header_need ? loader->item_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (loader->items[middle].reach <= offset) low = middle + 1;
        else high = middle;
    }
    for (; low < loader->item_count && !loader->header_need && loader->status == HC_OK && loader->items[low].begin < end; low++) {
        item *it = &loader->items[low];
        uint64_t stop = it->end < end ? it->end : end;
        if (it->at >= offset && it->at < stop) feed(loader, it, (const uint8_t *)bytes + (it->at - offset), (size_t)(stop - it->at));
    }
    return loader->status;
}

hc_encoder *hc_loader_finish(hc_loader *loader)
{
    if (loader->header_need) FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends before its header does, expected %u bytes", loader->header_need);
    for (size_t i = 0; i < loader->item_count; i++) {
        const item *it = &loader->items[i];
        if (it->at < it->end)
            FAIL(loader, HC_WEIGHTS_TRUNCATED, "tensor %s has come to byte %u of its %u (bytes %u to %u of the file)", it->name,
                 it->at - it->begin, it->end - it->begin, it->begin, it->end);
    }
    if (loader->status != HC_OK) return NULL;
    hc_encoder *encoder = loader->encoder;
    loader->encoder = NULL;
    if (!encoder) FAIL(loader, HC_WEIGHTS_TRUNCATED, "the encoder was taken already");
    return encoder;
}

void hc_loader_free(hc_loader *loader)
{
    if (!loader) return;
    for (size_t i = 0; i < loader->item_count; i++) {
        free(loader->items[i].cut);
        if (loader->items[i].owns_scales) free(loader->items[i].scales);
    }
    hc_encoder_free(loader->encoder);
    free(loader->items);
    free(loader->tensors);
    free(loader->ranges);
    free(loader->row);
    free(loader->config);
    free(loader);
}
