/* pickle_list.c: from what a pickle holds to the tensors of its state dict, by name. */
#include "checkpoint/pickle_machine.h"

#include "base/sort.h"

typedef struct path {
    char text[HC_PICKLE_MAX_NAME];
    size_t length;
} path;

/* Two dictionaries that hold each other twice are names without end: members looked at and bytes of names stay in
 * proportion to the pickle. */
static int within_bounds(machine *m, size_t name_length)
{
    size_t length = (size_t)(m->end - m->begin);
    if (++m->visited <= 4 * m->cells.count + 1024 && m->names.count + name_length <= 16 * (uint64_t)length + 65536)
        return 1;
    return REFUSE(m, "the pickle holds the same things in more places than a model does");
}

/* Reads a tuple of sizes or strides; -1 after a refusal. */
static int read_sizes(machine *m, ref tuple, const path *name, uint64_t sizes[HC_PICKLE_MAX_RANK])
{
    int rank = 0;
    for (ref c = value_at(m, tuple)->as.cells.first; c; c = cell_at(m, c)->next) {
        if (rank == HC_PICKLE_MAX_RANK)
            return REFUSE(m, "tensor %t has more than %d dimensions", name->text, name->length,
                          (int)HC_PICKLE_MAX_RANK) -
                   1;
        if (!hc_pickle_natural(m, cell_at(m, c)->value, &sizes[rank++]))
            return REFUSE(m, "tensor %t has a shape or strides that are not of unsigned integers", name->text,
                          name->length) -
                   1;
    }
    return rank;
}

static int has_key(const machine *m, ref dict, const char *key)
{
    if (!is_kind(m, dict, DICT)) return 0;
    for (ref c = value_at(m, dict)->as.cells.first; c; c = cell_at(m, cell_at(m, c)->next)->next)
        if (hc_pickle_is_string(m, cell_at(m, c)->value, key)) return 1;
    return 0;
}

/* Its elements lie in the storage from the first at `offset` to the last, and must all be there. */
static int describe(machine *m, ref r, const path *name, hc_pickle_tensor *t)
{
    ref args = value_at(m, r)->as.tensor.args, storage = hc_pickle_item(m, args, 0),
        id = value_at(m, storage)->as.storage.args, key = hc_pickle_item(m, id, 2);
    uint32_t type = value_at(m, r)->as.tensor.type, storage_type = value_at(m, storage)->as.storage.type;
    ref metadata = hc_pickle_item(
        m, args, value_at(m, r)->as.tensor.typed ? 7 : 6); /* has a key for what lazy views do to every number */
    uint64_t offset = 0, count = 0, last = 0, expected = 1, size = HC_PICKLE_TYPES[type].size;
    unsigned storage_unit = storage_type == UNTYPED ? 1 : HC_PICKLE_TYPES[storage_type].size;
    t->rank = read_sizes(m, hc_pickle_item(m, args, 2), name, t->shape);
    int stride_rank = t->rank < 0 ? -1 : read_sizes(m, hc_pickle_item(m, args, 3), name, t->strides);
    if (stride_rank < 0) return 0;
    if (stride_rank != t->rank)
        return REFUSE(m, "tensor %t has %d strides for a shape of %d dimensions", name->text, name->length, stride_rank,
                      t->rank);
    hc_pickle_natural(m, hc_pickle_item(m, args, 1), &offset);
    hc_pickle_natural(m, hc_pickle_item(m, id, 4), &count);

    t->dtype = has_key(m, metadata, "neg")    ? "NEGATED"
               : has_key(m, metadata, "conj") ? "CONJUGATED"
                                              : HC_PICKLE_TYPES[type].name;
    t->storage = text_of(m, key);
    t->storage_length = value_at(m, key)->as.string.length;
    int empty = 0, huge = offset > INT64_MAX / size || count > INT64_MAX / storage_unit;
    t->contiguous = 1;
    for (int i = 0; i < t->rank; i++) {
        empty |= !t->shape[i];
        if (t->shape[i] == 1) t->strides[i] = 0;
    }
    for (int i = t->rank; i-- && !empty && !huge;) {
        if (t->shape[i] == 1) continue;
        t->contiguous &= t->strides[i] == expected;
        huge = t->shape[i] > INT64_MAX / size / expected ||
               t->strides[i] > (INT64_MAX / size - 1 - last) / (t->shape[i] - 1);
        if (huge) break;
        last += t->strides[i] * (t->shape[i] - 1);
        expected *= t->shape[i];
    }
    t->storage_size = huge ? 0 : count * storage_unit;
    t->begin = huge ? 0 : offset * size;
    uint64_t span = huge || empty ? 0 : (last + 1) * size;
    if (huge || t->begin > t->storage_size || span > t->storage_size - t->begin)
        return REFUSE(m, "the pickle lies: tensor %t does not fit in its storage %t of %u bytes", name->text,
                      name->length, t->storage, (size_t)t->storage_length, t->storage_size);
    t->end = t->begin + span;
    return 1;
}

static int list_tensor(machine *m, ref r, const path *name)
{
    hc_pickle_tensor t = {0};
    if (!describe(m, r, name, &t) || !hc_pickle_reserve(m, &m->tensors, 1, sizeof t) ||
        !hc_pickle_reserve(m, &m->names, name->length, 1))
        return 0;
    memcpy((char *)m->names.items + m->names.count, name->text, name->length);
    t.name_length = (uint32_t)name->length;
    m->names.count += name->length;
    ((hc_pickle_tensor *)m->tensors.items)[m->tensors.count++] = t;
    return 1;
}

/* Is it UTF-8 that JSON can hold: no surrogates, nothing overlong? */
static int is_utf8(const char *text, size_t length)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + length;
    while (p < end) {
        uint8_t lead = *p++, low = 0x80, high = 0xBF;
        int more = lead < 0x80                    ? 0
                   : lead >= 0xC2 && lead <= 0xDF ? 1
                   : lead >= 0xE0 && lead <= 0xEF ? 2
                   : lead >= 0xF0 && lead <= 0xF4 ? 3
                                                  : -1;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
        if (more < 0 || end - p < more) return 0;
        for (; more; more--, p++, low = 0x80, high = 0xBF)
            if (*p < low || *p > high) return 0;
    }
    return 1;
}

static int list_members(machine *m, ref dict, path *name, int depth);

/* A key and its value: the name grows by the key while the value is looked into. */
static int list_member(machine *m, ref key, ref member, path *name, int depth)
{
    size_t before = name->length;
    if (!within_bounds(m, 0)) return 0;
    if (is_kind(m, member, OBJECT)) member = value_at(m, member)->as.cells.first ? hc_pickle_item(m, member, 0) : 0;
    if (!is_kind(m, key, STRING) || (!is_kind(m, member, TENSOR) && !is_kind(m, member, DICT))) return 1;
    size_t length = length_of(m, key), dot = before > 0;
    if (before + dot + length > HC_PICKLE_MAX_NAME)
        return REFUSE(m, "the pickle has a tensor whose name is longer than %d bytes: %t", (int)HC_PICKLE_MAX_NAME,
                      text_of(m, key), length);
    if (!is_utf8(text_of(m, key), length)) return REFUSE(m, "the pickle has a tensor whose name is not UTF-8");
    if (dot) name->text[name->length++] = '.';
    memcpy(name->text + name->length, text_of(m, key), length);
    name->length += length;
    int done = is_kind(m, member, DICT) ? list_members(m, member, name, depth + 1)
                                        : within_bounds(m, name->length) && list_tensor(m, member, name);
    name->length = before;
    return done;
}

static int list_members(machine *m, ref dict, path *name, int depth)
{
    if (depth > MAX_DEPTH) return REFUSE(m, "the pickle is nested more deeply than a model is");
    for (ref c = value_at(m, dict)->as.cells.first; c;) {
        ref second = cell_at(m, c)->next;
        if (!list_member(m, cell_at(m, c)->value, cell_at(m, second)->value, name, depth)) return 0;
        c = cell_at(m, second)->next;
    }
    return 1;
}

/* The dictionary of a value that is one, or is a module with attributes; else 0. */
static ref as_dict(const machine *m, ref r)
{
    if (is_kind(m, r, OBJECT)) r = hc_pickle_item(m, r, 0);
    return is_kind(m, r, DICT) ? r : 0;
}

/* The dictionary that holds the weights: `dict` itself, or the one under a key that training scripts use. */
static ref find_state_dict(const machine *m, ref dict)
{
    static const char *const KEYS[] = {"state_dict", "model", "module", "model_state_dict"};
    for (int depth = 0; depth < 3; depth++) {
        ref inner = 0;
        for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS && !inner; i++)
            for (ref c = value_at(m, dict)->as.cells.first; c && !inner; c = cell_at(m, cell_at(m, c)->next)->next)
                if (hc_pickle_is_string(m, cell_at(m, c)->value, KEYS[i]))
                    inner = as_dict(m, cell_at(m, cell_at(m, c)->next)->value);
        if (!inner) break;
        dict = inner;
    }
    return dict;
}

static int by_name(const void *a, const void *b)
{
    const hc_pickle_tensor *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_length < y->name_length ? x->name_length : y->name_length);
    return order ? order : x->name_length < y->name_length ? -1 : x->name_length > y->name_length;
}

static void sort_tensors(machine *m)
{
    hc_pickle_tensor *tensors = m->tensors.items;
    const char *name = m->names.items;
    _Static_assert(sizeof *tensors <= HC_SORT_LARGEST, "hc_sort moves them");
    for (size_t i = 0; i < m->tensors.count; i++) {
        tensors[i].name = name;
        name += tensors[i].name_length;
    }
    hc_sort(tensors, m->tensors.count, sizeof *tensors, by_name);
    for (size_t i = 1; i < m->tensors.count; i++)
        if (!by_name(&tensors[i - 1], &tensors[i]))
            REFUSE(m, "the pickle has tensor %t twice", tensors[i].name, (size_t)tensors[i].name_length);
}

void hc_pickle_list(machine *m, ref root)
{
    path name = {.length = 0};
    ref dict = as_dict(m, root);
    if (!dict) {
        REFUSE(m, "the pickle holds %s, expected a state dict",
               is_kind(m, root, TENSOR) ? "one tensor" : "no dictionary and no module");
        return;
    }
    /* A module's attributes are its parameters' names already. */
    if (is_kind(m, root, DICT)) dict = find_state_dict(m, dict);
    if (!list_members(m, dict, &name, 0)) return;
    if (!m->tensors.count) REFUSE(m, "the pickle holds no tensors");
    sort_tensors(m);
}
