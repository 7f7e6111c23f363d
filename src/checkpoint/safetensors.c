/* safetensors.c: {"name": {"dtype", "shape", "data_offsets"}, …, "__metadata__": {…}} after an 8-byte length. */
#include "checkpoint/safetensors.h"

#include "base/size.h"
#include "base/sort.h"
#include "base/text_format.h"

#include <stdlib.h>
#include <string.h>

typedef struct element_type {
    const char *name;
    uint64_t bits;
    hc_element element;
} element_type;

static const element_type TYPES[] = {
    {"F64", 64, HC_F64},      {"F32", 32, HC_F32},      {"F16", 16, HC_F16},      {"BF16", 16, HC_BF16},
    {"I8", 8, HC_I8},         {"U8", 8, HC_U8},         {"BOOL", 8, HC_OTHER},    {"I16", 16, HC_OTHER},
    {"U16", 16, HC_OTHER},    {"I32", 32, HC_OTHER},    {"U32", 32, HC_OTHER},    {"I64", 64, HC_OTHER},
    {"U64", 64, HC_OTHER},    {"C64", 64, HC_OTHER},    {"F8_E4M3", 8, HC_OTHER}, {"F8_E5M2", 8, HC_OTHER},
    {"F8_E8M0", 8, HC_OTHER}, {"F6_E2M3", 6, HC_OTHER}, {"F6_E3M2", 6, HC_OTHER}, {"F4", 4, HC_OTHER},
};

uint64_t hc_safetensors_header_length(const void *prefix)
{
    const uint8_t *p = prefix;
    uint64_t length = 0;
    for (int i = 8; i-- > 0;) length = length << 8 | p[i];
    return length;
}

/* ---- other files --------------------------------------------------------------------------------------------------
 */

static int starts(const uint8_t *bytes, size_t n, const char *with, size_t length)
{
    return n >= length && !memcmp(bytes, with, length);
}

const char *hc_safetensors_guess(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t zeros = 0;
    while (zeros < n && !p[zeros]) zeros++;
    if (n && zeros == n) return "a file of zeros";
    if (starts(p, n, "PK\3\4", 4)) return "a zip archive, as PyTorch's .pt, .pth and .bin files are";
    if (n > 1 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5) return "a Python pickle, as old PyTorch files are";
    if (starts(p, n, "\x1F\x8B", 2)) return "a gzip archive";
    if (starts(p, n, "GGUF", 4)) return "a GGUF file";
    if (starts(p, n, "version ", 8)) return "a Git LFS pointer, not the file it points to";
    if (starts(p, n, "\x93NUMPY", 6)) return "a NumPy array";
    if (starts(p, n, "\x89HDF", 4)) return "an HDF5 file";
    if (n > 2 && p[0] == 0x08 && p[1] < 0x20 && p[2] == 0x12) return "an ONNX model";
    size_t at = starts(p, n, "\xEF\xBB\xBF", 3) ? 3 : 0;
    while (at < n && (p[at] == ' ' || p[at] == '\t' || p[at] == '\r' || p[at] == '\n')) at++;
    if (at < n && p[at] == '<') return at + 1 < n && p[at + 1] == '?' ? "an XML document" : "an HTML page";
    if (at < n && p[at] == '{') return "a JSON text";
    return NULL;
}

/* ---- the header ---------------------------------------------------------------------------------------------------
 */

#define NAME(tensor) (tensor)->name.text + 1, (tensor)->name.length - 2

/* How many elements lie from the first to the last of a tensor with strides; HC_SIZE_TOO_LARGE if these don't fit its
 * shape. */
static uint64_t span_of(const hc_file_tensor *t)
{
    const char *of_shape = NULL, *of_strides = NULL;
    hc_json dim, stride;
    uint64_t n, step, last = 0;
    int empty = 0;
    while (hc_json_next(&t->shape, &of_shape, NULL, &dim)) {
        if (!hc_json_next(&t->strides, &of_strides, NULL, &stride) || !hc_json_unsigned(&dim, &n) ||
            !hc_json_unsigned(&stride, &step))
            return HC_SIZE_TOO_LARGE;
        empty |= !n;
        if (n) last = hc_size_sum(last, hc_size_product(n - 1, step));
    }
    if (hc_json_next(&t->strides, &of_strides, NULL, &stride)) return HC_SIZE_TOO_LARGE;
    return empty ? 0 : hc_size_sum(last, 1);
}

/* Finds an entry's members. NULL, or what is wrong with them. */
static const char *read_members(const hc_json *value, hc_file_tensor *t, int directory)
{
    hc_json offsets = {0}, member, key, begin = {0}, end = {0}, beyond;
    t->dtype = t->shape = t->strides = offsets;
    for (const char *cursor = NULL; value->type == HC_JSON_OBJECT && hc_json_next(value, &cursor, &key, &member);) {
        if (hc_json_is(&key, "dtype")) t->dtype = member;
        else if (hc_json_is(&key, "shape")) t->shape = member;
        else if (hc_json_is(&key, "data_offsets")) offsets = member;
        else if (directory && hc_json_is(&key, "strides")) t->strides = member;
    }
    if (t->dtype.type != HC_JSON_STRING) return "has no dtype";
    if (t->shape.type != HC_JSON_ARRAY) return "has no shape";
    const char *cursor = NULL;
    if (offsets.type != HC_JSON_ARRAY || !hc_json_next(&offsets, &cursor, NULL, &begin) ||
        !hc_json_next(&offsets, &cursor, NULL, &end) || hc_json_next(&offsets, &cursor, NULL, &beyond) ||
        !hc_json_unsigned(&begin, &t->begin) || !hc_json_unsigned(&end, &t->end))
        return "has no data_offsets of two integers";
    return NULL;
}

/* NULL if it is none that is known. */
static const element_type *type_named(const hc_json *dtype)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (hc_json_is(dtype, TYPES[i].name)) return &TYPES[i];
    return NULL;
}

/* How many bits elements of `*bits` fill in this shape. NULL, or what is wrong with the shape. */
static const char *fill_shape(const hc_json *shape, uint64_t *bits)
{
    hc_json dim;
    uint64_t n;
    int empty = 0, rank = 0;
    const char *cursor = NULL;
    while (hc_json_next(shape, &cursor, NULL, &dim)) {
        if (rank++ == HC_SAFETENSORS_MOST_DIMENSIONS) return "has a shape of more than 64 dimensions";
        if (!hc_json_unsigned(&dim, &n)) return "has a shape that is not of unsigned integers";
        if (n && *bits > UINT64_MAX / n) return "has a shape whose size overflows";
        if (n) *bits *= n;
        empty |= !n;
    }
    if (empty) *bits = 0;
    return *bits % 8 ? "does not end at a whole byte" : NULL;
}

/* Do strides fit the shape and, where the type is known, the offsets? */
static int strides_fit(const hc_file_tensor *t, const element_type *type)
{
    uint64_t span = t->strides.type == HC_JSON_ARRAY ? span_of(t) : HC_SIZE_TOO_LARGE;
    if (span == HC_SIZE_TOO_LARGE) return 0;
    return !type || (type->bits % 8 == 0 && t->end - t->begin == hc_size_product(span, type->bits / 8));
}

/* Reads one entry up to its offsets. NULL, or what is wrong with it. A directory may name types of its own, whose size
 * nobody knows. */
static const char *read_tensor(const hc_json *value, hc_file_tensor *t, int directory)
{
    const char *wrong = read_members(value, t, directory);
    if (wrong) return wrong;
    const element_type *type = type_named(&t->dtype);
    if (!type && !directory) return "has an unknown dtype";
    t->element = type ? type->element : HC_OTHER;

    uint64_t bits = type ? type->bits : 8;
    wrong = fill_shape(&t->shape, &bits);
    if (wrong) return wrong;
    if (t->end < t->begin) return "ends before it begins";
    if (t->strides.type != HC_JSON_ABSENT)
        return strides_fit(t, type) ? NULL : "has strides that do not fit its shape and data_offsets";
    if (type && t->end - t->begin != bits / 8) return "has data_offsets that are not the size of its shape and dtype";
    return NULL;
}

static int by_offset(const void *a, const void *b)
{
    const hc_file_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int read_metadata(hc_safetensors *out, const hc_json *value, hc_problem *problem)
{
    hc_json member;
    const char *cursor = NULL;
    int count = 0;
    if (value->type == HC_JSON_NULL) return 1;
    if (out->metadata.type != HC_JSON_ABSENT || value->type != HC_JSON_OBJECT) {
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header has a __metadata__ that is not one object");
    }
    while (hc_json_next(value, &cursor, NULL, &member)) {
        if (count++ == HC_SAFETENSORS_MOST_METADATA) {
            return hc_fail(problem, HC_WEIGHTS_FORMAT,
                           "the safetensors header has more than %d entries in its __metadata__",
                           (int)HC_SAFETENSORS_MOST_METADATA);
        }
        if (member.type == HC_JSON_STRING) continue;
        return hc_fail(problem, HC_WEIGHTS_FORMAT,
                       "the safetensors header has %t in its __metadata__, expected strings", member.text,
                       member.length);
    }
    out->metadata = *value;
    return 1;
}

/* No holes and no overlaps; offsets become those in the file. */
static int place_tensors(hc_safetensors *out, uint64_t data, hc_problem *problem)
{
    uint64_t at = 0;
    size_t ordered = 1;
    while (ordered < out->count && by_offset(&out->tensors[ordered - 1], &out->tensors[ordered]) <= 0) ordered++;
    if (ordered < out->count) hc_sort(out->tensors, out->count, sizeof *out->tensors, by_offset);
    for (size_t i = 0; i < out->count; i++) {
        hc_file_tensor *t = &out->tensors[i];
        if (t->begin != at) {
            return hc_fail(
                problem, HC_WEIGHTS_FORMAT,
                "the safetensors header lies: tensor %t begins at byte %u of the data, expected %u (no gaps, no "
                "overlaps)",
                NAME(t), t->begin, at);
        }
        at = t->end;
        if (at > UINT64_MAX - data) {
            return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header lies: tensor %t ends beyond 64 bits",
                           NAME(t));
        }
        t->begin += data;
        t->end += data;
    }
    out->file_size = data + at;
    return 1;
}

/* Makes the table of names, of which no two may be the same. */
static int list_names(hc_safetensors *out, hc_problem *problem)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)out->count) slots *= 2;
    out->slots = hc_allocate_zeros(slots, sizeof *out->slots);
    out->slot_mask = slots - 1;
    if (!out->slots) {
        return hc_fail(problem, HC_OUT_OF_MEMORY, "out of memory for a header of %u tensors", (uint64_t)out->count);
    }
    for (size_t i = 0; i < out->count; i++) {
        hc_file_tensor *t = &out->tensors[i];
        uint64_t slot = (t->hash = hc_json_hash(&t->name)) & out->slot_mask;
        for (; out->slots[slot]; slot = (slot + 1) & out->slot_mask) {
            const hc_file_tensor *other = &out->tensors[out->slots[slot] - 1];
            if (other->hash != t->hash || !hc_json_same(&other->name, &t->name)) continue;
            return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header has tensor %t twice", NAME(t));
        }
        out->slots[slot] = (uint32_t)i + 1;
    }
    return 1;
}

/* Room for one more tensor. */
static hc_file_tensor *add_tensor(hc_safetensors *out, size_t *room, hc_problem *problem)
{
    if (out->count == *room) {
        *room += *room / 2 + 256;
        hc_file_tensor *grown = hc_reallocate(out->tensors, *room, sizeof *grown);
        if (!grown) {
            hc_fail(problem, HC_OUT_OF_MEMORY, "out of memory for a header of %u tensors", (uint64_t)*room);
            return NULL;
        }
        out->tensors = grown;
    }
    return &out->tensors[out->count++];
}

/* `data` is where the data begin; 0 for a directory. */
static int read_entries(hc_safetensors *out, const hc_json *root, uint64_t data, hc_problem *problem)
{
    hc_json key, value;
    const char *cursor = NULL;
    size_t room = 0;
    while (hc_json_next(root, &cursor, &key, &value)) {
        if (hc_json_is(&key, "__metadata__")) {
            if (!read_metadata(out, &value, problem)) return 0;
            continue;
        }
        if (out->count == HC_SAFETENSORS_MOST_TENSORS) {
            return hc_fail(problem, HC_WEIGHTS_FORMAT,
                           "the safetensors header has more than %d tensors, which no model here has",
                           (int)HC_SAFETENSORS_MOST_TENSORS);
        }
        hc_file_tensor *t = add_tensor(out, &room, problem);
        if (!t) return 0;
        t->name = key;
        t->used = 0;
        const char *wrong = read_tensor(&value, t, !data);
        if (!wrong) continue;
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header lies: tensor %t %s: %t", NAME(t), wrong,
                       value.text, value.length);
    }
    return (!data || place_tensors(out, data, problem)) && list_names(out, problem);
}

static int parse(hc_safetensors *out, const char *header, size_t length, uint64_t data, hc_problem *problem)
{
    hc_json root;
    hc_json_error error;
    memset(out, 0, sizeof *out);
    if (!hc_json_parse(header, length, &root, &error)) {
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header is not JSON: %s at byte %u", error.reason,
                       (uint64_t)error.position + HC_SAFETENSORS_PREFIX);
    }
    if (root.type != HC_JSON_OBJECT) {
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the safetensors header is %t, expected an object", root.text,
                       root.length);
    }
    if (read_entries(out, &root, data, problem)) return 1;
    hc_safetensors_free(out);
    return 0;
}

hc_status hc_safetensors_parse(hc_safetensors *out, const char *header, size_t length, hc_problem *problem)
{
    parse(out, header, length, HC_SAFETENSORS_PREFIX + (uint64_t)length, problem);
    return problem->status;
}

hc_status hc_safetensors_parse_directory(hc_safetensors *out, const char *directory, size_t length, hc_problem *problem)
{
    parse(out, directory, length, 0, problem);
    return problem->status;
}

void hc_safetensors_free(hc_safetensors *file)
{
    free(file->tensors);
    free(file->slots);
    file->tensors = NULL;
    file->slots = NULL;
    file->count = 0;
}

hc_file_tensor *hc_safetensors_find(const hc_safetensors *file, const char *name)
{
    if (!file->slots) return NULL;
    uint64_t hash = hc_hash(name, strlen(name));
    for (uint64_t slot = hash & file->slot_mask; file->slots[slot]; slot = (slot + 1) & file->slot_mask) {
        hc_file_tensor *t = &file->tensors[file->slots[slot] - 1];
        if (t->hash == hash && hc_json_is(&t->name, name)) return t;
    }
    return NULL;
}

int hc_safetensors_shape(const hc_file_tensor *tensor, uint32_t shape[HC_MOST_RANK])
{
    hc_json dim;
    const char *cursor = NULL;
    int rank = 0;
    while (hc_json_next(&tensor->shape, &cursor, NULL, &dim)) {
        uint64_t n;
        if (rank == HC_MOST_RANK || !hc_json_unsigned(&dim, &n) || n > UINT32_MAX) return -1;
        shape[rank++] = (uint32_t)n;
    }
    return rank;
}

void hc_safetensors_strides(const hc_file_tensor *tensor, uint64_t strides[HC_MOST_RANK])
{
    hc_json stride;
    const char *cursor = NULL;
    for (int i = 0; i < HC_MOST_RANK && hc_json_next(&tensor->strides, &cursor, NULL, &stride); i++)
        hc_json_unsigned(&stride, &strides[i]);
}
