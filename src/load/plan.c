/* plan.c: from a file's header to a plan: the config in force, one item for each tensor of the file that the tower
 * needs, the ranges of bytes to ask for, and the memory that they are packed to. */
#include "checkpoint/json.h"
#include "load/loader.h"
#include "load/pack.h"
#include "base/sort.h"
#include "families/transformer.h"

#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_GAP = 64 * 1024,
    LARGEST_VOCABULARY = 65536 * 4, /* ids have 16 bits, and every merge makes one from two */
    ANY_FILE = 64 << 20,            /* bytes of weights, and as many to compute one input, that any file may take … */
    WEIGHTS_A_BYTE = 16,            /* … and how many more of each for a byte of its own                            */
    ACTIVATIONS_A_BYTE = 32
};

void *hc_loader_allocate(hc_loader *loader, uint64_t count, size_t size, const char *what)
{
    void *block = hc_allocate_zeros(count, size);
    if (!block) FAIL(loader, HC_OUT_OF_MEMORY, "out of memory: %m for %s", hc_size_product(count, size), what);
    return block;
}

const char *hc_tower_name(hc_tower tower) { return tower == HC_IMAGE ? "image" : "text"; }

/* ---- the config ---------------------------------------------------------------------------------------------------
 */

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
    char *text = hc_loader_allocate(loader, length + 1, 1, "the config"), *at = text;
    for (size_t i = 0; text && i < count; i++) {
        memcpy(at, pieces[i].text, pieces[i].length);
        at += pieces[i].length;
    }
    return text;
}

/* The text of a JSON object that a shard's metadata holds as a string, which the caller frees; NULL if there is none.
 */
static char *metadata_object(hc_loader *loader, const hc_json *metadata, const char *key, hc_json *object)
{
    hc_json value = hc_json_get(metadata, key);
    hc_json_error error;
    *object = (hc_json){HC_JSON_ABSENT, "", 0};
    if (value.type == HC_JSON_ABSENT || loader->status != HC_OK) return NULL;
    size_t length = hc_json_string(&value, NULL, 0);
    char *text = hc_loader_allocate(loader, length + 1, 1, "the shard's metadata");
    if (!text) return NULL;
    hc_json_string(&value, text, length + 1);
    if (!hc_json_parse(text, length, object, &error) || object->type != HC_JSON_OBJECT) {
        FAIL(loader, HC_WEIGHTS_FORMAT, "the shard's metadata has a %s that is not a JSON object", key);
        *object = (hc_json){HC_JSON_ABSENT, "", 0};
    }
    return text;
}

/* What get_tokenizer of OpenCLIP would be told: `clean` is "lower" for its own tokenizer, "whitespace" for Hugging
 * Face's. */
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

/* The given model in up to three pieces, of which the second says that the activation is QuickGELU where the model
 * leaves it open and the file does not. A model that says otherwise than the file is a failure. `own` is a shard's. */
static void settle_activation(hc_loader *loader, const hc_safetensors *file, const hc_json *model, const hc_json *own,
                              piece pieces[3])
{
    hc_json asked = hc_json_get(model, "quick_gelu"), held = hc_json_get(own, "quick_gelu"), member;
    const char *source = own->type == HC_JSON_OBJECT ? "a shard whose own model_cfg" : hc_layout_quick_gelu(file),
               *cursor = NULL;
    int quick = own->type == HC_JSON_OBJECT ? hc_json_truthy(&held) : source != NULL;
    int open = asked.type == HC_JSON_ABSENT || asked.type == HC_JSON_NULL,
        members = hc_json_next(model, &cursor, NULL, &member);
    pieces[0] = piece_of_json(model);
    pieces[1] = pieces[2] = piece_of("");
    if (source && !open && hc_json_truthy(&asked) != quick)
        FAIL(loader, HC_WEIGHTS_MISMATCH, "the model has quick_gelu %t, but the file is %s%s %s", asked.text,
             asked.length, source, own->type == HC_JSON_OBJECT ? " computes" : ", which were trained with",
             quick ? "QuickGELU" : "GELU");
    if (!quick || !open || !members) return;
    size_t at = asked.type == HC_JSON_NULL ? (size_t)(asked.text - model->text) : 1,
           skipped = asked.type == HC_JSON_NULL ? asked.length : 0;
    pieces[0].length = at;
    pieces[1] = piece_of(asked.type == HC_JSON_NULL ? "true" : "\"quick_gelu\":true,");
    pieces[2] = (piece){model->text + at + skipped, model->length - at - skipped};
}

/* {"model_cfg", "preprocess_cfg", "tokenizer"}: the given config first, then what a shard's metadata adds. */
static char *compose_config(hc_loader *loader, const hc_safetensors *file)
{
    const hc_json *metadata = &file->metadata;
    hc_json given = {HC_JSON_ABSENT, "", 0}, model, preprocess, tokenizer, held[3];
    hc_json_error error;
    char *texts[4] = {NULL}, *config = NULL;
    static const char *const keys[] = {"model_cfg", "preprocess_cfg", "tokenizer"};
    for (int i = 0; i < 3; i++) texts[i] = metadata_object(loader, metadata, keys[i], &held[i]);
    if (loader->config && !hc_json_parse(loader->config, loader->config_length, &given, &error))
        given.type = HC_JSON_ABSENT;

    model = hc_json_get(&given, "model_cfg");
    if (model.type != HC_JSON_OBJECT) model = given.type == HC_JSON_OBJECT ? given : held[0];
    preprocess = hc_json_get(&given, "preprocess_cfg");
    if (preprocess.type != HC_JSON_OBJECT) preprocess = held[1];
    tokenizer = hc_json_get(&given, "tokenizer");
    if (tokenizer.type != HC_JSON_OBJECT) tokenizer = held[2];

    if (model.type != HC_JSON_OBJECT) {
        FAIL(loader, HC_MODEL_CONFIG,
             "no model was given, and the file is no shard, which would hold its own (model_cfg in __metadata__)");
    } else if (loader->status == HC_OK) {
        int text = loader->tower == HC_TEXT;
        piece of_model[3];
        settle_activation(loader, file, &model, &held[0], of_model);
        if (text && tokenizer.type == HC_JSON_ABSENT) texts[3] = derive_tokenizer(loader, &model);
        piece pieces[] = {
            piece_of("{\"model_cfg\":"),
            of_model[0],
            of_model[1],
            of_model[2],
            piece_of(",\"preprocess_cfg\":"),
            preprocess.type == HC_JSON_OBJECT ? piece_of_json(&preprocess) : piece_of("{}"),
            piece_of(text ? ",\"tokenizer\":" : ""),
            !text      ? piece_of("")
            : texts[3] ? piece_of(texts[3])
                       : piece_of_json(&tokenizer),
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
    static const char *const dtypes[] = {"", "fp32", "fp16", "int8", "int4"};
    hc_json version = hc_json_get(metadata, "halfclip"), tower = hc_json_get(metadata, "tower"),
            dtype = hc_json_get(metadata, "dtype");
    if (version.type == HC_JSON_ABSENT) {
        if (loader->dtype == HC_AUTO) loader->dtype = HC_INT8;
        return;
    }
    if (!hc_json_is(&version, "1"))
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file is a halfclip shard of version %t, expected \"1\"", version.text,
             version.length);
    if (!hc_json_is(&tower, hc_tower_name(loader->tower)))
        FAIL(loader, HC_WEIGHTS_MISMATCH, "the file is a shard that holds the %t tower, the %s tower was asked for",
             tower.text, tower.length, hc_tower_name(loader->tower));
    if (loader->dtype != HC_AUTO) return;
    for (int i = HC_FP32; i <= HC_INT4; i++)
        if (hc_json_is(&dtype, dtypes[i])) loader->dtype = (hc_dtype)i;
    if (loader->dtype == HC_AUTO)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file is a shard of dtype %t, expected fp32, fp16, int8 or int4",
             dtype.text, dtype.length);
}

/* ---- the plan -----------------------------------------------------------------------------------------------------
 */

hc_storage hc_loader_storage(const hc_loader *loader, hc_role role)
{
    if (role == HC_ROLE_VECTOR || loader->dtype == HC_FP32) return HC_STORE_F32;
    if (loader->dtype == HC_FP16 || role == HC_ROLE_FILTER || role == HC_ROLE_PROJECTION) return HC_STORE_F16;
    return loader->dtype == HC_INT4 ? HC_STORE_I4 : HC_STORE_I8;
}

static int is_weight(hc_element element)
{
    return element == HC_F32 || element == HC_F16 || element == HC_BF16 || element == HC_F64;
}

static uint64_t values_of(const uint32_t *shape, int rank)
{
    uint64_t n = 1;
    for (int i = 0; i < rank; i++) n = hc_size_product(n, shape[i]);
    return n;
}

uint64_t hc_item_bytes(const hc_item *it)
{
    return it->strided ? hc_size_product(values_of(it->shape, it->strided), hc_pack_element_bytes(it->element))
                       : it->end - it->begin;
}

/* Finds a tensor of the expected shape; NULL and an error else. */
static hc_file_tensor *require(hc_loader *loader, const hc_safetensors *file, const char *name, const uint32_t *shape,
                               int rank)
{
    hc_file_tensor *found = hc_safetensors_find(file, name);
    uint32_t has[4];
    if (!found) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s is missing from the file, expected with shape %x", name, shape,
             rank);
        return NULL;
    }
    found->used = 1;
    if (hc_safetensors_shape(found, has) != rank || memcmp(has, shape, (size_t)rank * sizeof *shape)) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has shape %t, expected %x", name, found->shape.text,
             found->shape.length, shape, rank);
        return NULL;
    }
    return found;
}

static hc_item *add_item(hc_loader *loader, const hc_tensor *tensor, const char *name, const hc_file_tensor *found,
                         hc_target where, uint64_t unit_values)
{
    hc_item *it = &loader->items[loader->item_count++];
    it->tensor = tensor;
    hc_format(it->name, sizeof it->name, "%s", name);
    it->target = where;
    it->element = found->element;
    it->begin = it->at = found->begin;
    it->end = found->end;
    uint64_t unit = hc_size_product(unit_values, hc_pack_element_bytes(found->element));
    if (unit > HC_SIZE_MOST)
        FAIL(loader, HC_OUT_OF_MEMORY, "a row of tensor %s has %m, expected at most %m", name, unit, HC_SIZE_MOST);
    it->unit_values = (size_t)unit_values;
    it->unit = (size_t)unit;
    if (found->strides.type != HC_JSON_ABSENT) {
        it->strided = hc_safetensors_shape(found, it->shape);
        hc_safetensors_strides(found, it->strides);
    }
    return it;
}

/* A shard's quantised tensor and its scales: at int8 a scale a channel or row, at int4 one a group. */
static void plan_quantised(hc_loader *loader, const hc_safetensors *file, const hc_tensor *tensor, const char *name,
                           hc_element element)
{
    char scale_name[HC_LAYOUT_NAME];
    int table = tensor->role == HC_ROLE_TABLE, int4 = element == HC_U8;
    uint32_t rows = tensor->shape[0], k = tensor->shape[1], panels = (rows + HC_PANEL - 1) / HC_PANEL;
    uint32_t steps = (k + HC_DEPTH - 1) / HC_DEPTH, groups = (uint32_t)hc_groups((int)k);
    uint32_t matrix_i8[] = {panels, steps, HC_PANEL, HC_DEPTH},
             matrix_i4[] = {panels, groups, HC_PANEL, HC_GROUP_BYTES};
    uint32_t table_i8[] = {rows, k}, table_i4[] = {rows, groups, HC_GROUP_BYTES}, scales_i8[] = {rows};
    hc_format(scale_name, sizeof scale_name, "%s.scale", name);
    const hc_file_tensor *values = require(loader, file, name,
                                           table  ? int4 ? table_i4 : table_i8
                                           : int4 ? matrix_i4
                                                  : matrix_i8,
                                           table ? 2 + int4 : 4);
    const hc_file_tensor *scales =
        require(loader, file, scale_name, int4 ? table ? table_i4 : matrix_i4 : scales_i8, int4 ? table ? 2 : 3 : 1);
    if (!values || !scales) return;
    if (scales->element != (int4 ? HC_F16 : HC_F32)) {
        FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected %s", scale_name, scales->dtype.text,
             scales->dtype.length, int4 ? "F16" : "F32");
        return;
    }
    hc_item *it = add_item(loader, tensor, name, values, TO_QUANTISED, 1);
    hc_item *scale = add_item(loader, tensor, scale_name, scales, TO_SCALES, 1);
    it->has_partner = scale->has_partner = 1;
}

/* What the file calls a tensor, in one piece or three, each of the shape that the config implies. */
static void plan_tensor(hc_loader *loader, const hc_safetensors *file, const hc_layout_match *match,
                        const hc_tensor *tensor)
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
        if (found && (found->element == HC_I8 || found->element == HC_U8) &&
            (tensor->role == HC_ROLE_MATRIX || tensor->role == HC_ROLE_TABLE) && parts == 1) {
            plan_quantised(loader, file, tensor, names[part], found->element);
            return;
        }
        found = require(loader, file, names[part], shape, tensor->rank);
        if (!found) return;
        if (!is_weight(found->element)) {
            FAIL(loader, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected F32, F16, BF16 or F64", names[part],
                 found->dtype.text, found->dtype.length);
            return;
        }
        hc_target where = tensor->role == HC_ROLE_VECTOR                  ? TO_VECTOR
                          : tensor->role == HC_ROLE_TABLE                 ? TO_TABLE
                          : tensor->role == HC_ROLE_PROJECTION && !linear ? TO_COLUMNS
                                                                          : TO_ROWS;
        uint64_t row = where == TO_VECTOR ? 1 : values_of(shape + 1, tensor->rank - 1);
        add_item(loader, tensor, names[part], found, where, row)->first = part * (int)shape[0];
    }
}

static void plan_vocabulary(hc_loader *loader, const hc_safetensors *file)
{
    const hc_file_tensor *found = loader->tower == HC_TEXT ? hc_safetensors_find(file, "halfclip.merges") : NULL;
    if (!found || found->element != HC_U8 || found->begin == found->end) return;
    uint32_t shape[4];
    int rank = hc_safetensors_shape(found, shape);
    uint64_t bytes = rank < 0 ? HC_SIZE_TOO_LARGE : values_of(shape, rank);
    if (bytes > LARGEST_VOCABULARY) {
        FAIL(loader, HC_WEIGHTS_FORMAT, "tensor halfclip.merges has shape %t, expected at most %u bytes",
             found->shape.text, found->shape.length, (uint64_t)LARGEST_VOCABULARY);
        return;
    }
    hc_encoder *e = loader->encoder;
    e->vocabulary = hc_loader_allocate(loader, bytes, 1, "the vocabulary");
    if (!e->vocabulary) return;
    e->vocabulary_bytes = (size_t)bytes;
    add_item(loader, NULL, "halfclip.merges", found, TO_VOCABULARY, 1);
}

static void *take(uint8_t *base, uint64_t *at, uint64_t bytes)
{
    void *place = base ? base + (size_t)*at : NULL;
    *at = hc_size_sum(*at, hc_size_round_up(bytes, HC_ALIGN));
    return place;
}

/* Lays all packed weights one after the other and returns how many bytes they are; with base NULL only counts. */
static uint64_t place(hc_loader *loader, uint8_t *base)
{
    uint64_t at = 0;
    for (size_t i = 0; i < loader->tensor_count; i++) {
        const hc_tensor *t = &loader->tensors[i];
        hc_storage storage = hc_loader_storage(loader, t->role);
        uint64_t padded = hc_size_round_up(t->shape[0], HC_PANEL) * sizeof(float);
        if (t->role == HC_ROLE_VECTOR) {
            *(float **)t->slot = take(
                base, &at, hc_size_product(hc_size_round_up(values_of(t->shape, t->rank), HC_PANEL), sizeof(float)));
        } else if (t->role == HC_ROLE_TABLE) {
            hc_table *table = t->slot;
            *table = (hc_table){.rows = (int)t->shape[0], .width = (int)t->shape[1], .storage = storage};
            table->data = take(base, &at, hc_table_bytes(table->rows, table->width, storage));
            if (storage == HC_STORE_I8) table->scale = take(base, &at, padded);
            if (storage == HC_STORE_I4)
                table->group_scale =
                    take(base, &at, (uint64_t)t->shape[0] * hc_groups(table->width) * sizeof(uint16_t));
        } else {
            hc_matrix *matrix = t->slot;
            int swapped = t->role == HC_ROLE_PROJECTION;
            uint64_t k = swapped ? t->shape[0] : values_of(t->shape + 1, t->rank - 1);
            *matrix = (hc_matrix){.n = (int)t->shape[swapped], .k = (int)k, .storage = storage};
            matrix->data = take(base, &at, hc_matrix_bytes(matrix->n, matrix->k, storage));
            if (storage == HC_STORE_I8) {
                matrix->scale = take(base, &at, padded);
                matrix->sum = take(base, &at, padded);
            } else if (storage == HC_STORE_I4) {
                matrix->group_scale =
                    take(base, &at, (uint64_t)hc_group_scales(matrix->n, matrix->k) * sizeof(uint16_t));
                matrix->total = take(base, &at, padded);
            }
        }
    }
    return at;
}

/* Bytes of the file that the tower is made of. */
static uint64_t bytes_of_file(const hc_loader *loader)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < loader->item_count; i++)
        bytes = hc_size_sum(bytes, loader->items[i].end - loader->items[i].begin);
    return bytes;
}

/* Chooses the batch and returns the bytes of its arena. A small file must not take the memory of a large one: a few
 * numbers in a config make any tower's arena large, and a view of a few bytes any tensor. */
static uint64_t plan_arena(hc_loader *loader, uint64_t weights)
{
    hc_encoder *e = loader->encoder;
    hc_pass pass;
    uint64_t file = bytes_of_file(loader), most = hc_size_sum(ANY_FILE, hc_size_product(file, ACTIVATIONS_A_BYTE)),
             bytes;
    uint64_t most_weights = hc_size_sum(ANY_FILE, hc_size_product(file, WEIGHTS_A_BYTE));
    if (weights > most_weights)
        FAIL(loader, HC_MODEL_UNSUPPORTED,
             "the weights take %m of memory, expected at most %m for tensors of %m in the file", weights, most_weights,
             file);
    e->batch = (hc_batch){1, 1, 1};
    bytes = hc_pass_plan(&pass, &e->config, loader->dtype, e->batch, NULL);
    if (bytes > most)
        FAIL(loader, HC_MODEL_UNSUPPORTED,
             "one input takes %m of memory to compute, expected at most %m for tensors of %m in the file", bytes, most,
             file);
    if (loader->status != HC_OK) return bytes;
    e->batch = hc_pass_batch(&e->config, loader->dtype, loader->threads, weights);
    bytes = hc_pass_plan(&pass, &e->config, loader->dtype, e->batch, NULL);
    if (bytes <= most) return bytes;
    /* Each thread has memory of its own, in proportion to the longest sequence. */
    loader->threads = 1;
    e->batch = hc_pass_batch(&e->config, loader->dtype, 1, weights);
    return hc_pass_plan(&pass, &e->config, loader->dtype, e->batch, NULL);
}

static void allocate_weights(hc_loader *loader)
{
    hc_encoder *e = loader->encoder;
    uint64_t bytes = hc_size_sum(place(loader, NULL), HC_ALIGN), arena = plan_arena(loader, bytes),
             all = hc_size_sum(bytes, arena);
    if (all > HC_SIZE_MOST)
        FAIL(loader, HC_OUT_OF_MEMORY,
             "the tower needs %m of memory (%m of weights, %m to compute), expected at most %m", all, bytes, arena,
             HC_SIZE_MOST);
    if (loader->status != HC_OK) return;
    e->packed = hc_loader_allocate(loader, bytes, 1, "the weights");
    if (!e->packed) return;
    e->packed_bytes = (size_t)bytes;
    /* malloc of some WebAssembly libraries aligns to 8 only. */
    place(loader, (uint8_t *)e->packed + (HC_ALIGN - (uintptr_t)e->packed % HC_ALIGN) % HC_ALIGN);
    e->arena_bytes = (size_t)arena;
    e->arena = hc_loader_allocate(loader, arena, 1, "activations");
    if (!e->arena || loader->threads == 1) return;
    e->threads = hc_threads_new(loader->threads);
    if (!e->threads) FAIL(loader, HC_OUT_OF_MEMORY, "no memory left for %u threads", (uint64_t)loader->threads);
}

static int by_position(const void *a, const void *b)
{
    const hc_item *const *x = a, *const *y = b;
    return (*x)->begin<(*y)->begin ? -1 : (*x)->begin>(*y)->begin;
}

/* Puts the items in file order, and links quantised values with their scales. */
static void order_items(hc_loader *loader)
{
    hc_item **order = hc_loader_allocate(loader, loader->item_count, sizeof *order, "the plan");
    hc_item *sorted = hc_loader_allocate(loader, loader->item_count, sizeof *sorted, "the plan");
    if (order && sorted) {
        for (size_t i = 0; i < loader->item_count; i++) order[i] = &loader->items[i];
        hc_sort(order, loader->item_count, sizeof *order, by_position);
        for (size_t i = 0; i < loader->item_count; i++) order[i]->partner = i;
        for (size_t i = 0; i < loader->item_count; i++) {
            hc_item *it = order[i];
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

/* Where quantised values and their scales go. */
static void plan_places(hc_loader *loader)
{
    for (size_t i = 0; i < loader->item_count && loader->status == HC_OK; i++) {
        hc_item *it = &loader->items[i];
        if (!it->has_partner) continue;
        int scales = it->target == TO_SCALES;
        hc_element element = scales ? loader->items[it->partner].element : it->element;
        hc_storage storage = element == HC_U8 ? HC_STORE_I4 : HC_STORE_I8;
        const hc_table *table = it->tensor->role == HC_ROLE_TABLE ? it->tensor->slot : NULL;
        const hc_matrix *matrix = table ? NULL : it->tensor->slot;
        if (storage != hc_loader_storage(loader, it->tensor->role)) {
            it->place = hc_loader_allocate(loader, hc_item_bytes(it), 1, "quantised weights");
            it->owns_place = it->place != NULL;
        } else if (!scales) {
            it->place = table ? table->data : matrix->data;
        } else if (storage == HC_STORE_I4) {
            it->place = (uint8_t *)(table ? table->group_scale : matrix->group_scale);
        } else {
            it->place = (uint8_t *)(table ? table->scale : matrix->scale);
        }
    }
}

static void plan_ranges(hc_loader *loader)
{
    loader->ranges = hc_loader_allocate(loader, loader->item_count, sizeof *loader->ranges, "the plan");
    for (size_t i = 0; loader->ranges && i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        hc_range *last = loader->ranges + loader->range_count - 1;
        if (loader->range_count && (it->begin < last->end || it->begin - last->end <= LARGEST_GAP))
            last->end = it->reach;
        else loader->ranges[loader->range_count++] = (hc_range){it->begin, it->end};
    }
}

static void plan_rows(hc_loader *loader)
{
    size_t longest = 1;
    for (size_t i = 0; i < loader->item_count; i++)
        if (loader->items[i].unit_values > longest) longest = loader->items[i].unit_values;
    for (size_t i = 0; i < loader->tensor_count; i++) {
        const hc_tensor *t = &loader->tensors[i];
        if ((t->role == HC_ROLE_MATRIX || t->role == HC_ROLE_TABLE) && t->shape[1] > longest) longest = t->shape[1];
    }
    loader->row = hc_loader_allocate(loader, longest, sizeof *loader->row, "a row");
}

static void check_unexpected(hc_loader *loader, const hc_safetensors *file, const hc_layout_match *match)
{
    for (size_t i = 0; i < file->count; i++) {
        const hc_file_tensor *t = &file->tensors[i];
        if (!t->used && !hc_json_is(&t->name, "halfclip.merges") && hc_layout_owns(match, &t->name))
            FAIL(loader, HC_WEIGHTS_MISMATCH,
                 "the file has tensor %t of shape %t, which the %s tower of this model does not have", t->name.text + 1,
                 t->name.length - 2, t->shape.text, t->shape.length, hc_tower_name(loader->tower));
    }
}

static void plan_encoder(hc_loader *loader, const hc_safetensors *file)
{
    hc_encoder *e = loader->encoder = hc_loader_allocate(loader, 1, sizeof *e, "the encoder");
    if (!e) return;
    e->dtype = loader->dtype;
    e->dot = HC_DOT_DEFAULT;
    e->config_json = compose_config(loader, file);
    if (loader->status != HC_OK) return;
    loader->status = hc_config_parse(&e->config, loader->tower, e->config_json, strlen(e->config_json), loader->message,
                                     sizeof loader->message);
    if (loader->status != HC_OK) return;
    e->weights.blocks = hc_loader_allocate(loader, (uint64_t)e->config.layers, sizeof *e->weights.blocks, "the layers");
    if (!e->weights.blocks) return;
    loader->tensor_count = hc_tower_tensors(&e->config, &e->weights, NULL, 0);
    loader->tensors = hc_loader_allocate(loader, loader->tensor_count, sizeof *loader->tensors, "the plan");
    loader->items =
        hc_loader_allocate(loader, loader->tensor_count * HC_LAYOUT_PARTS + 1, sizeof *loader->items, "the plan");
    if (!loader->tensors || !loader->items) return;
    hc_tower_tensors(&e->config, &e->weights, loader->tensors, loader->tensor_count);
    for (size_t i = 0; i < loader->tensor_count; i++)
        e->parameters += values_of(loader->tensors[i].shape, loader->tensors[i].rank);

    hc_layout_match match = hc_layout_find(file, loader->tower, loader->tensors, loader->tensor_count);
    if (!match.layout) {
        char held[256];
        hc_layout_describe(file, loader->tower, held, sizeof held);
        FAIL(loader, HC_WEIGHTS_MISMATCH, "the file holds %s, the %s tower was asked for", held,
             hc_tower_name(loader->tower));
        return;
    }
    for (size_t i = 0; i < loader->tensor_count && loader->status == HC_OK; i++)
        plan_tensor(loader, file, &match, &loader->tensors[i]);
    if (loader->status == HC_OK) check_unexpected(loader, file, &match);
    if (loader->status == HC_OK) plan_vocabulary(loader, file);
    if (loader->status == HC_OK) allocate_weights(loader);
    if (loader->status == HC_OK) order_items(loader);
    if (loader->status == HC_OK) plan_places(loader);
    if (loader->status == HC_OK) plan_ranges(loader);
    if (loader->status == HC_OK) plan_rows(loader);
}

void hc_plan(hc_loader *loader, const hc_safetensors *file)
{
    read_shard_metadata(loader, &file->metadata);
    if (loader->status == HC_OK) plan_encoder(loader, file);
}
