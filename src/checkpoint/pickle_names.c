/* pickle_names.c: the few names that tensors are made by, and what calling one gives. Nothing is ever run. */
#include "checkpoint/pickle_machine.h"

/* What a name is, or what calling it gives. */
typedef enum meaning {
    STORAGE_TYPE,
    DTYPE,
    CLASS,
    MAKES_DICT,
    MAKES_OBJECT,
    MAKES_OPAQUE,
    MAKES_TENSOR,       /* of (storage, offset, size, stride, …)                                        */
    MAKES_TYPED_TENSOR, /* of (storage of bytes, offset, size, stride, requires_grad, hooks, dtype, …)  */
    MAKES_FIRST,        /* its first argument, wrapped in something that does not matter here           */
    MAKES_OF_TYPE       /* what (function, type, arguments, …) make                                     */
} meaning;

const hc_pickle_type HC_PICKLE_TYPES[] = {
    {"DoubleStorage", "float64", "F64", 8},
    {"FloatStorage", "float32", "F32", 4},
    {"HalfStorage", "float16", "F16", 2},
    {"BFloat16Storage", "bfloat16", "BF16", 2},
    {"LongStorage", "int64", "I64", 8},
    {"IntStorage", "int32", "I32", 4},
    {"ShortStorage", "int16", "I16", 2},
    {"CharStorage", "int8", "I8", 1},
    {"ByteStorage", "uint8", "U8", 1},
    {"BoolStorage", "bool", "BOOL", 1},
    {"ComplexFloatStorage", "complex64", "C64", 8},
    {"ComplexDoubleStorage", "complex128", "C128", 16},
    {NULL, "complex32", "C32", 4},
    {NULL, "uint16", "U16", 2},
    {NULL, "uint32", "U32", 4},
    {NULL, "uint64", "U64", 8},
    {NULL, "float8_e4m3fn", "F8_E4M3", 1},
    {NULL, "float8_e5m2", "F8_E5M2", 1},
    {NULL, "float8_e8m0fnu", "F8_E8M0", 1},
    {NULL, "float8_e4m3fnuz", "F8_E4M3FNUZ", 1},
    {NULL, "float8_e5m2fnuz", "F8_E5M2FNUZ", 1},
};

_Static_assert(sizeof HC_PICKLE_TYPES / sizeof *HC_PICKLE_TYPES == TYPE_COUNT, "as many as the header says");

static const struct {
    const char *module, *name;
    meaning meaning;
} NAMES[] = {
    {"collections", "OrderedDict", MAKES_DICT},
    {"collections", "Counter", MAKES_OPAQUE},
    {"torch._utils", "_rebuild_tensor", MAKES_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", MAKES_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", MAKES_TYPED_TENSOR},
    {"torch._utils", "_rebuild_parameter", MAKES_FIRST},
    {"torch._utils", "_rebuild_parameter_with_state", MAKES_FIRST},
    {"torch._tensor", "_rebuild_from_type_v2", MAKES_OF_TYPE},
    {"torch", "Tensor", CLASS},
    {"torch.nn.parameter", "Parameter", MAKES_FIRST},
    {"torch", "Size", MAKES_FIRST},
    {"torch", "device", MAKES_OPAQUE},
    {"torch.serialization", "_get_layout", MAKES_OPAQUE},
    {"torch.jit._pickle", "restore_type_tag", MAKES_FIRST},
    {"torch.jit._pickle", "build_intlist", MAKES_OPAQUE},
    {"torch.jit._pickle", "build_tensorlist", MAKES_OPAQUE},
    {"torch.jit._pickle", "build_doublelist", MAKES_OPAQUE},
    {"torch.jit._pickle", "build_boollist", MAKES_OPAQUE},
    /* Python 3 writes protocol 2 with Python 2's module names. */
    {"_codecs", "encode", MAKES_OPAQUE},
    {"builtins", "bytearray", MAKES_OPAQUE},
    {"__builtin__", "bytearray", MAKES_OPAQUE},
    {"builtins", "complex", MAKES_OPAQUE},
    {"__builtin__", "complex", MAKES_OPAQUE},
    {"builtins", "set", MAKES_OPAQUE},
    {"__builtin__", "set", MAKES_OPAQUE},
};

enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

/* TorchScript's classes are those of the archive's code, which nobody runs: their objects are their attributes. */
static int is_torchscript(const machine *m, ref module)
{
    static const char package[] = "__torch__";
    size_t n = sizeof package - 1;
    return length_of(m, module) >= n && !memcmp(text_of(m, module), package, n) &&
           (length_of(m, module) == n || text_of(m, module)[n] == '.');
}

int hc_pickle_push_global(machine *m, ref module, ref name)
{
    ref r = module && name ? hc_pickle_new_value(m, GLOBAL) : 0;
    if (!r) return 0;
    value *v = value_at(m, r);
    if (is_torchscript(m, module)) {
        v->as.global.meaning = MAKES_OBJECT;
        return hc_pickle_push(m, r);
    }
    if (hc_pickle_is_string(m, module, "torch.storage") && hc_pickle_is_string(m, name, "UntypedStorage")) {
        v->as.global.meaning = STORAGE_TYPE;
        v->as.global.index = UNTYPED;
        return hc_pickle_push(m, r);
    }
    for (uint32_t i = 0; i < TYPE_COUNT && hc_pickle_is_string(m, module, "torch"); i++) {
        int storage = HC_PICKLE_TYPES[i].storage && hc_pickle_is_string(m, name, HC_PICKLE_TYPES[i].storage);
        if (!storage && !hc_pickle_is_string(m, name, HC_PICKLE_TYPES[i].dtype)) continue;
        v->as.global.meaning = storage ? STORAGE_TYPE : DTYPE;
        v->as.global.index = i;
        return hc_pickle_push(m, r);
    }
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
        if (!hc_pickle_is_string(m, name, NAMES[i].name) || !hc_pickle_is_string(m, module, NAMES[i].module)) continue;
        v->as.global.meaning = NAMES[i].meaning;
        v->as.global.index = i;
        return hc_pickle_push(m, r);
    }
    return REFUSE(m,
                  "the pickle names %t.%t, which is not among the few names that tensors need; nothing of it was run",
                  text_of(m, module), length_of(m, module), text_of(m, name), length_of(m, name));
}

int hc_pickle_push_storage(machine *m, ref id)
{
    ref type = id ? hc_pickle_item(m, id, 1) : 0;
    uint64_t count;
    if (!id) return 0;
    if (!hc_pickle_is_string(m, hc_pickle_item(m, id, 0), "storage") || !is_kind(m, type, GLOBAL) ||
        value_at(m, type)->as.global.meaning != STORAGE_TYPE || !is_kind(m, hc_pickle_item(m, id, 2), STRING) ||
        length_of(m, hc_pickle_item(m, id, 2)) > MAX_KEY || !hc_pickle_natural(m, hc_pickle_item(m, id, 4), &count))
        return REFUSE(m, "the pickle has a persistent id that is no storage of tensors");
    ref r = hc_pickle_new_value(m, STORAGE);
    if (!r) return 0;
    value_at(m, r)->as.storage.args = id;
    value_at(m, r)->as.storage.type = (uint16_t)value_at(m, type)->as.global.index;
    return hc_pickle_push(m, r);
}

static int push_tensor(machine *m, ref args, meaning how)
{
    ref storage = hc_pickle_item(m, args, 0), dtype = how == MAKES_TYPED_TENSOR ? hc_pickle_item(m, args, 6) : 0;
    uint64_t offset;
    if (!is_kind(m, storage, STORAGE) || !hc_pickle_natural(m, hc_pickle_item(m, args, 1), &offset) ||
        !is_kind(m, hc_pickle_item(m, args, 2), TUPLE) || !is_kind(m, hc_pickle_item(m, args, 3), TUPLE))
        return REFUSE(m, "the pickle makes a tensor of something that is no storage, offset, shape and strides");
    uint32_t type = value_at(m, storage)->as.storage.type;
    if (how == MAKES_TYPED_TENSOR) {
        if (!is_kind(m, dtype, GLOBAL) || value_at(m, dtype)->as.global.meaning != DTYPE)
            return REFUSE(m, "the pickle makes a tensor of an unknown dtype");
        type = value_at(m, dtype)->as.global.index;
    } else if (type == UNTYPED) {
        return REFUSE(m, "the pickle makes a tensor without a dtype");
    }
    ref r = hc_pickle_new_value(m, TENSOR);
    if (!r) return 0;
    value_at(m, r)->as.tensor.args = args;
    value_at(m, r)->as.tensor.type = (uint16_t)type;
    value_at(m, r)->as.tensor.typed = how == MAKES_TYPED_TENSOR;
    return hc_pickle_push(m, r);
}

/* What calling a name with a tuple of arguments would have built. */
static int call(machine *m, ref callable, ref args)
{
    meaning how = (meaning)value_at(m, callable)->as.global.meaning;
    ref first = hc_pickle_item(m, args, 0);
    switch (how) {
    case MAKES_DICT:
        return first ? REFUSE(m, "the pickle fills a dictionary in a way that torch.save does not use")
                     : hc_pickle_push_new(m, DICT);
    case MAKES_OBJECT: return hc_pickle_push_new(m, OBJECT);
    case MAKES_OPAQUE: return hc_pickle_push_opaque(m);
    case MAKES_FIRST: return first ? hc_pickle_push(m, first) : hc_pickle_push_opaque(m);
    case MAKES_TENSOR:
    case MAKES_TYPED_TENSOR: return push_tensor(m, args, how);
    case MAKES_OF_TYPE: {
        ref inner = hc_pickle_item(m, args, 2);
        if (is_kind(m, first, GLOBAL) && is_kind(m, inner, TUPLE) &&
            value_at(m, first)->as.global.meaning != MAKES_OF_TYPE)
            return call(m, first, inner);
        return REFUSE(m, "the pickle makes a tensor of a type in a way that torch.save does not use");
    }
    case STORAGE_TYPE:
    case DTYPE:
    case CLASS: break;
    }
    return REFUSE(m, "the pickle calls a type, which data does not need; nothing of it was run");
}

int hc_pickle_reduce(machine *m)
{
    ref args = hc_pickle_pop_kind(m, TUPLE, "arguments"),
        callable = args ? hc_pickle_pop_kind(m, GLOBAL, "a name to call") : 0;
    return callable && call(m, callable, args);
}

int hc_pickle_build(machine *m)
{
    ref state = hc_pickle_pop(m), object = state ? hc_pickle_top(m) : 0;
    if (!object || is_kind(m, object, DICT) || is_kind(m, object, OPAQUE)) return object != 0;
    if (!is_kind(m, object, OBJECT)) return REFUSE(m, "the pickle sets the state of something that has none");
    if (value_at(m, object)->as.cells.first) return REFUSE(m, "the pickle sets an object's state twice");
    return hc_pickle_append(m, object, state);
}

int hc_pickle_memoize(machine *m, uint64_t index)
{
    ref r = hc_pickle_top(m);
    if (!r) return 0;
    if (index > (uint64_t)(m->at - m->begin))
        return REFUSE(m, "the pickle is damaged: memo index %u at byte %u", index, (uint64_t)(m->at - m->begin));
    if (index >= m->memo.count) {
        size_t more = (size_t)index + 1 - m->memo.count;
        if (!hc_pickle_reserve(m, &m->memo, more, sizeof(ref))) return 0;
        memset((ref *)m->memo.items + m->memo.count, 0, more * sizeof(ref));
        m->memo.count += more;
    }
    ((ref *)m->memo.items)[index] = r;
    return 1;
}

int hc_pickle_recall(machine *m, uint64_t index)
{
    ref r = index < m->memo.count ? ((ref *)m->memo.items)[index] : 0;
    return r ? hc_pickle_push(m, r) : REFUSE(m, "the pickle is damaged: it recalls a value that it never kept");
}
