/* pickle.c: see pickle.h. Values are numbers of an array and containers are lists of cells, so that nothing is nested
 * in memory, a value may stand in several places, and freeing is a few calls whatever the pickle says. */
#include "checkpoint/pickle.h"

#include "base/sort.h"
#include "base/text_format.h"

#include <stdlib.h>
#include <string.h>

/* OPAQUE is all that no tensor is made of: None, floats, bytes, lists, sets, devices. */
typedef enum kind { OPAQUE, NUMBER, STRING, TUPLE, DICT, GLOBAL, STORAGE, TENSOR, OBJECT } kind;

typedef uint32_t ref; /* of a value or a cell; 0 is none */

typedef struct value {
    kind kind;
    union {
        struct {
            uint32_t low, high;
        } number; /* halves keep a value at 12 bytes                  */
        struct {
            uint32_t at, length;
        } string; /* in the pickle                                    */
        struct {
            ref first, last;
        } cells; /* DICT: keys and values in turn; OBJECT: its state */
        struct {
            uint32_t meaning, index;
        } global; /* index: of NAMES, or of TYPES                     */
        struct {
            ref args;
            uint16_t type, typed;
        } storage, tensor; /* args: the tuple that describes it; typed: of _v3  */
    } as;
} value;

typedef struct cell {
    ref value, next;
} cell;

typedef struct array {
    void *items;
    size_t count, capacity;
} array;

typedef struct machine {
    const uint8_t *begin, *at, *end;
    array values, cells, stack, marks, memo; /* of value, cell, ref, uint32_t (heights of the stack), ref */
    array tensors, names;                    /* of hc_pickle_tensor, char */
    size_t visited;                          /* members looked at while listing */
    hc_status status;
    char *message;
    size_t message_size;
} machine;

/* Modules nest about ten deep. A storage's key is a number. */
enum { MAX_DEPTH = 64, MAX_KEY = 255 };

/* Value 0 is none and value 1 the only OPAQUE. */
enum { OPAQUE_VALUE = 1 };

static value *value_at(const machine *m, ref r) { return (value *)m->values.items + r; }
static cell *cell_at(const machine *m, ref r) { return (cell *)m->cells.items + r; }
static ref *stack_at(const machine *m, size_t i) { return (ref *)m->stack.items + i; }
static const char *text_of(const machine *m, ref r) { return (const char *)m->begin + value_at(m, r)->as.string.at; }
static size_t length_of(const machine *m, ref r) { return value_at(m, r)->as.string.length; }
static int is_kind(const machine *m, ref r, kind k) { return r && value_at(m, r)->kind == k; }

#define REFUSE(m, ...) \
    ((m)->status ? 0 : (hc_format((m)->message, (m)->message_size, __VA_ARGS__), (m)->status = HC_WEIGHTS_FORMAT, 0))

/* Room for `more` further items. */
static int reserve(machine *m, array *a, size_t more, size_t size)
{
    size_t needed = a->count + more, capacity = a->capacity ? a->capacity : 64;
    if (needed <= a->capacity) return 1;
    while (capacity < needed && capacity <= SIZE_MAX / 2 / size) capacity *= 2;
    void *items = capacity < needed ? NULL : realloc(a->items, capacity * size);
    if (!items) {
        hc_format(m->message, m->message_size, "out of memory for the pickle of a PyTorch file");
        m->status = HC_OUT_OF_MEMORY;
        return 0;
    }
    a->items = items;
    a->capacity = capacity;
    return 1;
}

/* ---- the stack -----------------------------------------------------------------------------------------------------
 */

static ref new_value(machine *m, kind k)
{
    if (!reserve(m, &m->values, 1, sizeof(value))) return 0;
    ref r = (ref)m->values.count++;
    memset(value_at(m, r), 0, sizeof(value));
    value_at(m, r)->kind = k;
    return r;
}

static int push(machine *m, ref r)
{
    if (!r || !reserve(m, &m->stack, 1, sizeof(ref))) return 0;
    *stack_at(m, m->stack.count++) = r;
    return 1;
}

static int push_new(machine *m, kind k) { return push(m, new_value(m, k)); }
static int push_opaque(machine *m) { return push(m, OPAQUE_VALUE); }

static int push_number(machine *m, uint64_t number)
{
    ref r = new_value(m, NUMBER);
    if (!r) return 0;
    value_at(m, r)->as.number.low = (uint32_t)number;
    value_at(m, r)->as.number.high = (uint32_t)(number >> 32);
    return push(m, r);
}

static ref new_string(machine *m, const uint8_t *text, size_t length)
{
    ref r = new_value(m, STRING);
    if (!r) return 0;
    value_at(m, r)->as.string.at = (uint32_t)(text - m->begin);
    value_at(m, r)->as.string.length = (uint32_t)length;
    return r;
}

/* How high the stack was at the last mark: what lies below is out of reach until the mark is taken. */
static size_t floor_of(const machine *m)
{
    return m->marks.count ? ((uint32_t *)m->marks.items)[m->marks.count - 1] : 0;
}

static int has(machine *m, size_t count)
{
    return m->stack.count - floor_of(m) >= count || REFUSE(m, "the pickle is damaged: it takes from an empty stack");
}

static ref top(machine *m) { return has(m, 1) ? *stack_at(m, m->stack.count - 1) : 0; }
static ref pop(machine *m) { return has(m, 1) ? *stack_at(m, --m->stack.count) : 0; }

static ref pop_kind(machine *m, kind k, const char *expected)
{
    ref r = pop(m);
    if (!r || is_kind(m, r, k)) return r;
    return (ref)REFUSE(m, "the pickle is damaged: it uses something else as %s", expected);
}

static int push_mark(machine *m)
{
    if (!reserve(m, &m->marks, 1, sizeof(uint32_t))) return 0;
    ((uint32_t *)m->marks.items)[m->marks.count++] = (uint32_t)m->stack.count;
    return 1;
}

/* Takes the last mark away; *count is how many values lay above it. */
static int take_mark(machine *m, size_t *count)
{
    if (!m->marks.count) return REFUSE(m, "the pickle is damaged: it has fewer marks than it needs");
    *count = m->stack.count - floor_of(m);
    m->marks.count--;
    return 1;
}

static int append(machine *m, ref container, ref item)
{
    if (!reserve(m, &m->cells, 1, sizeof(cell))) return 0;
    ref c = (ref)m->cells.count++;
    *cell_at(m, c) = (cell){item, 0};
    value *v = value_at(m, container);
    if (v->as.cells.last) cell_at(m, v->as.cells.last)->next = c;
    else v->as.cells.first = c;
    v->as.cells.last = c;
    return 1;
}

/* Moves the uppermost `count` values into a container. */
static int move(machine *m, ref container, size_t count)
{
    size_t from = m->stack.count - count;
    for (size_t i = from; i < m->stack.count; i++)
        if (!append(m, container, *stack_at(m, i))) return 0;
    m->stack.count = from;
    return 1;
}

static int push_container(machine *m, kind k, size_t count)
{
    if (k == DICT && count % 2) return REFUSE(m, "the pickle is damaged: a key without a value");
    if (!has(m, count)) return 0;
    ref r = new_value(m, k);
    return r && move(m, r, count) && push(m, r);
}

/* Keys and values for the dictionary below them; one that nothing is known of (a Counter's, say) forgets them. */
static int set_items(machine *m, size_t count)
{
    if (!has(m, count + 1)) return 0;
    ref container = *stack_at(m, m->stack.count - 1 - count);
    if (count % 2) return REFUSE(m, "the pickle is damaged: a key without a value");
    if (is_kind(m, container, DICT)) return move(m, container, count);
    if (!is_kind(m, container, OPAQUE))
        return REFUSE(m, "the pickle is damaged: it sets items of something that is no dictionary");
    m->stack.count -= count;
    return 1;
}

/* Items for the list or set below them: nothing that a tensor is made of. */
static int drop_items(machine *m, size_t count)
{
    if (!has(m, count + 1)) return 0;
    m->stack.count -= count;
    return is_kind(m, top(m), OPAQUE) || REFUSE(m, "the pickle is damaged: it adds items to something that is no list");
}

/* The item at `index` of a tuple, or 0. */
static ref item(const machine *m, ref tuple, unsigned index)
{
    ref c = value_at(m, tuple)->as.cells.first;
    while (c && index--) c = cell_at(m, c)->next;
    return c ? cell_at(m, c)->value : 0;
}

/* 1 and *number if the value is a number that is not negative. */
static int natural(const machine *m, ref r, uint64_t *number)
{
    if (!is_kind(m, r, NUMBER)) return 0;
    const value *v = value_at(m, r);
    *number = (uint64_t)v->as.number.high << 32 | v->as.number.low;
    return *number <= INT64_MAX;
}

static int is_string(const machine *m, ref r, const char *text)
{
    return is_kind(m, r, STRING) && length_of(m, r) == strlen(text) && !memcmp(text_of(m, r), text, strlen(text));
}

/* ---- names ---------------------------------------------------------------------------------------------------------
 */

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

static const struct {
    const char *storage, *dtype; /* in the module torch */
    const char *name;
    unsigned size; /* bytes of an element */
} TYPES[] = {
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

enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES, UNTYPED = TYPE_COUNT };

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

/* Pushes the name `name` of `module`, if it is one of those that tensors need. */
static int push_global(machine *m, ref module, ref name)
{
    ref r = module && name ? new_value(m, GLOBAL) : 0;
    if (!r) return 0;
    value *v = value_at(m, r);
    if (is_torchscript(m, module)) {
        v->as.global.meaning = MAKES_OBJECT;
        return push(m, r);
    }
    if (is_string(m, module, "torch.storage") && is_string(m, name, "UntypedStorage")) {
        v->as.global.meaning = STORAGE_TYPE;
        v->as.global.index = UNTYPED;
        return push(m, r);
    }
    for (uint32_t i = 0; i < TYPE_COUNT && is_string(m, module, "torch"); i++) {
        int storage = TYPES[i].storage && is_string(m, name, TYPES[i].storage);
        if (!storage && !is_string(m, name, TYPES[i].dtype)) continue;
        v->as.global.meaning = storage ? STORAGE_TYPE : DTYPE;
        v->as.global.index = i;
        return push(m, r);
    }
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
        if (!is_string(m, name, NAMES[i].name) || !is_string(m, module, NAMES[i].module)) continue;
        v->as.global.meaning = NAMES[i].meaning;
        v->as.global.index = i;
        return push(m, r);
    }
    return REFUSE(m,
                  "the pickle names %t.%t, which is not among the few names that tensors need; nothing of it was run",
                  text_of(m, module), length_of(m, module), text_of(m, name), length_of(m, name));
}

/* A persistent id: ('storage', torch.FloatStorage, key, device, count of elements). */
static int push_storage(machine *m, ref id)
{
    ref type = id ? item(m, id, 1) : 0;
    uint64_t count;
    if (!id) return 0;
    if (!is_string(m, item(m, id, 0), "storage") || !is_kind(m, type, GLOBAL) ||
        value_at(m, type)->as.global.meaning != STORAGE_TYPE || !is_kind(m, item(m, id, 2), STRING) ||
        length_of(m, item(m, id, 2)) > MAX_KEY || !natural(m, item(m, id, 4), &count))
        return REFUSE(m, "the pickle has a persistent id that is no storage of tensors");
    ref r = new_value(m, STORAGE);
    if (!r) return 0;
    value_at(m, r)->as.storage.args = id;
    value_at(m, r)->as.storage.type = (uint16_t)value_at(m, type)->as.global.index;
    return push(m, r);
}

static int push_tensor(machine *m, ref args, meaning how)
{
    ref storage = item(m, args, 0), dtype = how == MAKES_TYPED_TENSOR ? item(m, args, 6) : 0;
    uint64_t offset;
    if (!is_kind(m, storage, STORAGE) || !natural(m, item(m, args, 1), &offset) ||
        !is_kind(m, item(m, args, 2), TUPLE) || !is_kind(m, item(m, args, 3), TUPLE))
        return REFUSE(m, "the pickle makes a tensor of something that is no storage, offset, shape and strides");
    uint32_t type = value_at(m, storage)->as.storage.type;
    if (how == MAKES_TYPED_TENSOR) {
        if (!is_kind(m, dtype, GLOBAL) || value_at(m, dtype)->as.global.meaning != DTYPE)
            return REFUSE(m, "the pickle makes a tensor of an unknown dtype");
        type = value_at(m, dtype)->as.global.index;
    } else if (type == UNTYPED) {
        return REFUSE(m, "the pickle makes a tensor without a dtype");
    }
    ref r = new_value(m, TENSOR);
    if (!r) return 0;
    value_at(m, r)->as.tensor.args = args;
    value_at(m, r)->as.tensor.type = (uint16_t)type;
    value_at(m, r)->as.tensor.typed = how == MAKES_TYPED_TENSOR;
    return push(m, r);
}

/* What calling a name with a tuple of arguments would have built. */
static int call(machine *m, ref callable, ref args)
{
    meaning how = (meaning)value_at(m, callable)->as.global.meaning;
    ref first = item(m, args, 0);
    switch (how) {
    case MAKES_DICT:
        return first ? REFUSE(m, "the pickle fills a dictionary in a way that torch.save does not use")
                     : push_new(m, DICT);
    case MAKES_OBJECT: return push_new(m, OBJECT);
    case MAKES_OPAQUE: return push_opaque(m);
    case MAKES_FIRST: return first ? push(m, first) : push_opaque(m);
    case MAKES_TENSOR:
    case MAKES_TYPED_TENSOR: return push_tensor(m, args, how);
    case MAKES_OF_TYPE: {
        ref inner = item(m, args, 2);
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

static int reduce(machine *m)
{
    ref args = pop_kind(m, TUPLE, "arguments"), callable = args ? pop_kind(m, GLOBAL, "a name to call") : 0;
    return callable && call(m, callable, args);
}

/* The state of an object. A dictionary's attributes (the _metadata of a state dict) are not needed. */
static int build(machine *m)
{
    ref state = pop(m), object = state ? top(m) : 0;
    if (!object || is_kind(m, object, DICT) || is_kind(m, object, OPAQUE)) return object != 0;
    if (!is_kind(m, object, OBJECT)) return REFUSE(m, "the pickle sets the state of something that has none");
    if (value_at(m, object)->as.cells.first) return REFUSE(m, "the pickle sets an object's state twice");
    return append(m, object, state);
}

/* Picklers count memo indices up, so that none is beyond the bytes read so far. */
static int memoize(machine *m, uint64_t index)
{
    ref r = top(m);
    if (!r) return 0;
    if (index > (uint64_t)(m->at - m->begin))
        return REFUSE(m, "the pickle is damaged: memo index %u at byte %u", index, (uint64_t)(m->at - m->begin));
    if (index >= m->memo.count) {
        size_t more = (size_t)index + 1 - m->memo.count;
        if (!reserve(m, &m->memo, more, sizeof(ref))) return 0;
        memset((ref *)m->memo.items + m->memo.count, 0, more * sizeof(ref));
        m->memo.count += more;
    }
    ((ref *)m->memo.items)[index] = r;
    return 1;
}

static int recall(machine *m, uint64_t index)
{
    ref r = index < m->memo.count ? ((ref *)m->memo.items)[index] : 0;
    return r ? push(m, r) : REFUSE(m, "the pickle is damaged: it recalls a value that it never kept");
}

/* ---- opcodes -------------------------------------------------------------------------------------------------------
 */

/* `n` bytes, or NULL after a refusal. */
static const uint8_t *take(machine *m, uint64_t n)
{
    if (n > (uint64_t)(m->end - m->at)) {
        REFUSE(m, "the pickle ends in the middle of a value");
        return NULL;
    }
    m->at += n;
    return m->at - n;
}

static uint64_t little_endian(const uint8_t *bytes, size_t n)
{
    uint64_t number = 0;
    while (n--) number = number << 8 | bytes[n];
    return number;
}

/* An unsigned argument of `size` bytes. */
static int argument(machine *m, size_t size, uint64_t *number)
{
    const uint8_t *bytes = take(m, size);
    if (bytes) *number = little_endian(bytes, size);
    return bytes != NULL;
}

/* Bytes after their length. */
static const uint8_t *sized(machine *m, size_t size, uint64_t *length)
{
    return argument(m, size, length) ? take(m, *length) : NULL;
}

static int take_string(machine *m, size_t size)
{
    uint64_t length;
    const uint8_t *text = sized(m, size, &length);
    return text && push(m, new_string(m, text, (size_t)length));
}

static int take_opaque(machine *m, size_t size)
{
    uint64_t length;
    return sized(m, size, &length) && push_opaque(m);
}

/* A two's complement number, of which tensors need 64 bits. */
static int take_long(machine *m)
{
    uint64_t n;
    const uint8_t *bytes = sized(m, 1, &n);
    if (!bytes || n > 8) return bytes && push_opaque(m);
    uint64_t number = little_endian(bytes, (size_t)n);
    if (n && n < 8 && bytes[n - 1] & 0x80) number |= UINT64_MAX << 8 * n;
    return push_number(m, number);
}

/* A line, without its newline, as a string value. */
static ref take_line(machine *m)
{
    const uint8_t *line = m->at, *newline = memchr(line, '\n', (size_t)(m->end - line));
    if (!newline) return (ref)REFUSE(m, "the pickle ends in the middle of a name");
    m->at = newline + 1;
    return new_string(m, line, (size_t)(newline - line));
}

static int take_global(machine *m)
{
    ref module = take_line(m), name = module ? take_line(m) : 0;
    return push_global(m, module, name);
}

static int refuse_opcode(machine *m, uint8_t opcode)
{
    static const struct {
        uint8_t opcode;
        const char *name;
    } KNOWN[] = {
        {'F', "FLOAT"},  {'I', "INT"},   {'L', "LONG"},       {'S', "STRING"},       {'V', "UNICODE"},
        {'P', "PERSID"}, {'g', "GET"},   {'p', "PUT"},        {'o', "OBJ"},          {0x82, "EXT1"},
        {0x83, "EXT2"},  {0x84, "EXT4"}, {0x92, "NEWOBJ_EX"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
    };
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (KNOWN[i].opcode == opcode)
            return REFUSE(m, "the pickle uses the opcode %s, which torch.save does not need; nothing of it was run",
                          KNOWN[i].name);
    return REFUSE(m, "the pickle is damaged: byte %u is %u, which is no opcode", (uint64_t)(m->at - 1 - m->begin),
                  (uint64_t)opcode);
}

/* One opcode. Returns 1 to go on, 0 at the end or after a refusal. */
static int step(machine *m)
{
    const uint8_t *opcode = take(m, 1);
    uint64_t n;
    size_t count;
    if (!opcode) return 0;
    switch (*opcode) {
    case 0x80: /* PROTO                                   */
        if (!argument(m, 1, &n)) return 0;
        return n <= 5 || REFUSE(m, "the pickle is of protocol %u, expected 2 to 5", n);
    case 0x95: return take(m, 8) != NULL; /* FRAME: how much a stream may read ahead */
    case '.': return 0;                   /* STOP                                    */
    case '(': return push_mark(m);        /* MARK                                    */
    case '1':                             /* POP_MARK                                */
        if (!take_mark(m, &count)) return 0;
        m->stack.count -= count;
        return 1;
    case '0':
        return m->stack.count == floor_of(m) && m->marks.count ? take_mark(m, &count) : pop(m) != 0; /* POP      */
    case '2': return push(m, top(m));                         /* DUP                                     */
    case 'N': return push_opaque(m);                          /* NONE                                    */
    case 0x88: return push_number(m, 1);                      /* NEWTRUE                                 */
    case 0x89: return push_number(m, 0);                      /* NEWFALSE                                */
    case 'K': return argument(m, 1, &n) && push_number(m, n); /* BININT1                                 */
    case 'M': return argument(m, 2, &n) && push_number(m, n); /* BININT2                                 */
    case 'J': return argument(m, 4, &n) && push_number(m, n & 0x80000000u ? n | UINT64_MAX << 32 : n); /* BININT   */
    case 0x8a: return take_long(m);                /* LONG1                                   */
    case 0x8b: return take_opaque(m, 4);           /* LONG4                                   */
    case 'G': return take(m, 8) && push_opaque(m); /* BINFLOAT                                */
    case 'C': return take_opaque(m, 1);            /* SHORT_BINBYTES                          */
    case 'B': return take_opaque(m, 4);            /* BINBYTES                                */
    case 0x8e:
    case 0x96: return take_opaque(m, 8); /* BINBYTES8, BYTEARRAY8                   */
    case 'U':
    case 0x8c: return take_string(m, 1); /* SHORT_BINSTRING, SHORT_BINUNICODE       */
    case 'T':
    case 'X': return take_string(m, 4);           /* BINSTRING, BINUNICODE                   */
    case 0x8d: return take_string(m, 8);          /* BINUNICODE8                             */
    case ')': return push_container(m, TUPLE, 0); /* EMPTY_TUPLE                             */
    case 0x85:
    case 0x86:
    case 0x87: return push_container(m, TUPLE, *opcode - 0x84u); /* TUPLE1 to TUPLE3                        */
    case 't':
        return take_mark(m, &count) && push_container(m, TUPLE, count); /* TUPLE                                   */
    case ']':
    case 0x8f: return push_opaque(m); /* EMPTY_LIST, EMPTY_SET                   */
    case 'l':
    case 0x91: /* LIST, FROZENSET                         */
        if (!take_mark(m, &count)) return 0;
        m->stack.count -= count;
        return push_opaque(m);
    case 'a': return drop_items(m, 1); /* APPEND                                  */
    case 'e':
    case 0x90: return take_mark(m, &count) && drop_items(m, count); /* APPENDS, ADDITEMS                       */
    case '}': return push_container(m, DICT, 0);                    /* EMPTY_DICT                              */
    case 'd':
        return take_mark(m, &count) && push_container(m, DICT, count); /* DICT                                    */
    case 's': return set_items(m, 2);                                  /* SETITEM                                 */
    case 'u': return take_mark(m, &count) && set_items(m, count);      /* SETITEMS                                */
    case 'c': return take_global(m);                                   /* GLOBAL                                  */
    case 'i':                                                          /* INST: a name and its call               */
        return take_global(m) &&
               REFUSE(m, "the pickle uses the opcode INST, which torch.save does not need; nothing of it was run");
    case 0x93: { /* STACK_GLOBAL                            */
        ref name = pop_kind(m, STRING, "a name"), module = name ? pop_kind(m, STRING, "a module's name") : 0;
        return push_global(m, module, name);
    }
    case 'Q':
        return push_storage(m, pop_kind(m, TUPLE, "a persistent id")); /* BINPERSID                               */
    case 'R':
    case 0x81: return reduce(m);                          /* REDUCE, NEWOBJ                          */
    case 'b': return build(m);                            /* BUILD                                   */
    case 'q': return argument(m, 1, &n) && memoize(m, n); /* BINPUT                                  */
    case 'r': return argument(m, 4, &n) && memoize(m, n); /* LONG_BINPUT                             */
    case 0x94: return memoize(m, m->memo.count);          /* MEMOIZE                                 */
    case 'h': return argument(m, 1, &n) && recall(m, n);  /* BINGET                                  */
    case 'j': return argument(m, 4, &n) && recall(m, n);  /* LONG_BINGET                             */
    default: return refuse_opcode(m, *opcode);
    }
}

/* ---- from values to a list of tensors ------------------------------------------------------------------------------
 */

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
        if (!natural(m, cell_at(m, c)->value, &sizes[rank++]))
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
        if (is_string(m, cell_at(m, c)->value, key)) return 1;
    return 0;
}

/* Its elements lie in the storage from the first at `offset` to the last, and must all be there. */
static int describe(machine *m, ref r, const path *name, hc_pickle_tensor *t)
{
    ref args = value_at(m, r)->as.tensor.args, storage = item(m, args, 0), id = value_at(m, storage)->as.storage.args,
        key = item(m, id, 2);
    uint32_t type = value_at(m, r)->as.tensor.type, storage_type = value_at(m, storage)->as.storage.type;
    ref metadata =
        item(m, args, value_at(m, r)->as.tensor.typed ? 7 : 6); /* has a key for what lazy views do to every number */
    uint64_t offset = 0, count = 0, last = 0, expected = 1, size = TYPES[type].size;
    unsigned storage_unit = storage_type == UNTYPED ? 1 : TYPES[storage_type].size;
    t->rank = read_sizes(m, item(m, args, 2), name, t->shape);
    int stride_rank = t->rank < 0 ? -1 : read_sizes(m, item(m, args, 3), name, t->strides);
    if (stride_rank < 0) return 0;
    if (stride_rank != t->rank)
        return REFUSE(m, "tensor %t has %d strides for a shape of %d dimensions", name->text, name->length, stride_rank,
                      t->rank);
    natural(m, item(m, args, 1), &offset);
    natural(m, item(m, id, 4), &count);

    t->dtype = has_key(m, metadata, "neg") ? "NEGATED" : has_key(m, metadata, "conj") ? "CONJUGATED" : TYPES[type].name;
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
    if (!describe(m, r, name, &t) || !reserve(m, &m->tensors, 1, sizeof t) || !reserve(m, &m->names, name->length, 1))
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
    if (is_kind(m, member, OBJECT)) member = value_at(m, member)->as.cells.first ? item(m, member, 0) : 0;
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
    if (is_kind(m, r, OBJECT)) r = item(m, r, 0);
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
                if (is_string(m, cell_at(m, c)->value, KEYS[i]))
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

static void list(machine *m, ref root)
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

hc_status hc_pickle_read(hc_pickle *out, const void *bytes, size_t length, char *message, size_t message_size)
{
    machine m = {.begin = bytes,
                 .at = bytes,
                 .end = (const uint8_t *)bytes + length,
                 .message = message,
                 .message_size = message_size};
    memset(out, 0, sizeof *out);
    if (reserve(&m, &m.values, 2, sizeof(value)) && reserve(&m, &m.cells, 1, sizeof(cell))) {
        m.values.count = m.cells.count = 1;
        new_value(&m, OPAQUE);
        while (step(&m)) {
        }
    }
    ref root = m.status ? 0 : top(&m);
    if (root) list(&m, root);
    out->tensors = m.tensors.items;
    out->count = m.tensors.count;
    out->names = m.names.items;
    free(m.values.items);
    free(m.cells.items);
    free(m.stack.items);
    free(m.marks.items);
    free(m.memo.items);
    return m.status;
}

void hc_pickle_free(hc_pickle *pickle)
{
    free(pickle->tensors);
    free(pickle->names);
    memset(pickle, 0, sizeof *pickle);
}
