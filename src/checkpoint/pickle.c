/* pickle.c: see pickle.h. One opcode after the other. */
#include "checkpoint/pickle_machine.h"

#include <stdlib.h>

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
    return text && hc_pickle_push(m, hc_pickle_new_string(m, text, (size_t)length));
}

static int take_opaque(machine *m, size_t size)
{
    uint64_t length;
    return sized(m, size, &length) && hc_pickle_push_opaque(m);
}

/* A two's complement number, of which tensors need 64 bits. */
static int take_long(machine *m)
{
    uint64_t n;
    const uint8_t *bytes = sized(m, 1, &n);
    if (!bytes || n > 8) return bytes && hc_pickle_push_opaque(m);
    uint64_t number = little_endian(bytes, (size_t)n);
    if (n && n < 8 && bytes[n - 1] & 0x80) number |= UINT64_MAX << 8 * n;
    return hc_pickle_push_number(m, number);
}

/* A line, without its newline, as a string value. */
static ref take_line(machine *m)
{
    const uint8_t *line = m->at, *newline = memchr(line, '\n', (size_t)(m->end - line));
    if (!newline) return (ref)REFUSE(m, "the pickle ends in the middle of a name");
    m->at = newline + 1;
    return hc_pickle_new_string(m, line, (size_t)(newline - line));
}

static int take_global(machine *m)
{
    ref module = take_line(m), name = module ? take_line(m) : 0;
    return hc_pickle_push_global(m, module, name);
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
    case 0x95: return take(m, 8) != NULL;    /* FRAME: how much a stream may read ahead */
    case '.': return 0;                      /* STOP                                    */
    case '(': return hc_pickle_push_mark(m); /* MARK                                    */
    case '1':                                /* POP_MARK                                */
        if (!hc_pickle_take_mark(m, &count)) return 0;
        m->stack.count -= count;
        return 1;
    case '0':
        return m->stack.count == hc_pickle_floor_of(m) && m->marks.count ? hc_pickle_take_mark(m, &count)
                                                                         : hc_pickle_pop(m) != 0; /* POP      */
    case '2': return hc_pickle_push(m, hc_pickle_top(m));               /* DUP                                     */
    case 'N': return hc_pickle_push_opaque(m);                          /* NONE                                    */
    case 0x88: return hc_pickle_push_number(m, 1);                      /* NEWTRUE                                 */
    case 0x89: return hc_pickle_push_number(m, 0);                      /* NEWFALSE                                */
    case 'K': return argument(m, 1, &n) && hc_pickle_push_number(m, n); /* BININT1                                 */
    case 'M': return argument(m, 2, &n) && hc_pickle_push_number(m, n); /* BININT2                                 */
    case 'J':
        return argument(m, 4, &n) && hc_pickle_push_number(m, n & 0x80000000u ? n | UINT64_MAX << 32 : n); /* BININT */
    case 0x8a: return take_long(m);                          /* LONG1                                   */
    case 0x8b: return take_opaque(m, 4);                     /* LONG4                                   */
    case 'G': return take(m, 8) && hc_pickle_push_opaque(m); /* BINFLOAT                                */
    case 'C': return take_opaque(m, 1);                      /* SHORT_BINBYTES                          */
    case 'B': return take_opaque(m, 4);                      /* BINBYTES                                */
    case 0x8e:
    case 0x96: return take_opaque(m, 8); /* BINBYTES8, BYTEARRAY8                   */
    case 'U':
    case 0x8c: return take_string(m, 1); /* SHORT_BINSTRING, SHORT_BINUNICODE       */
    case 'T':
    case 'X': return take_string(m, 4);                     /* BINSTRING, BINUNICODE                   */
    case 0x8d: return take_string(m, 8);                    /* BINUNICODE8                             */
    case ')': return hc_pickle_push_container(m, TUPLE, 0); /* EMPTY_TUPLE                             */
    case 0x85:
    case 0x86:
    case 0x87: return hc_pickle_push_container(m, TUPLE, *opcode - 0x84u); /* TUPLE1 to TUPLE3                        */
    case 't': return hc_pickle_take_mark(m, &count) && hc_pickle_push_container(m, TUPLE, count); /* TUPLE */
    case ']':
    case 0x8f: return hc_pickle_push_opaque(m); /* EMPTY_LIST, EMPTY_SET                   */
    case 'l':
    case 0x91: /* LIST, FROZENSET                         */
        if (!hc_pickle_take_mark(m, &count)) return 0;
        m->stack.count -= count;
        return hc_pickle_push_opaque(m);
    case 'a': return hc_pickle_drop_items(m, 1); /* APPEND                                  */
    case 'e':
    case 0x90: return hc_pickle_take_mark(m, &count) && hc_pickle_drop_items(m, count); /* APPENDS, ADDITEMS */
    case '}': return hc_pickle_push_container(m, DICT, 0); /* EMPTY_DICT                              */
    case 'd': return hc_pickle_take_mark(m, &count) && hc_pickle_push_container(m, DICT, count); /* DICT */
    case 's': return hc_pickle_set_items(m, 2); /* SETITEM                                 */
    case 'u': return hc_pickle_take_mark(m, &count) && hc_pickle_set_items(m, count); /* SETITEMS */
    case 'c': return take_global(m); /* GLOBAL                                  */
    case 'i':                        /* INST: a name and its call               */
        return take_global(m) &&
               REFUSE(m, "the pickle uses the opcode INST, which torch.save does not need; nothing of it was run");
    case 0x93: { /* STACK_GLOBAL                            */
        ref name = hc_pickle_pop_kind(m, STRING, "a name"),
            module = name ? hc_pickle_pop_kind(m, STRING, "a module's name") : 0;
        return hc_pickle_push_global(m, module, name);
    }
    case 'Q': return hc_pickle_push_storage(m, hc_pickle_pop_kind(m, TUPLE, "a persistent id")); /* BINPERSID */
    case 'R':
    case 0x81: return hc_pickle_reduce(m);                          /* REDUCE, NEWOBJ                          */
    case 'b': return hc_pickle_build(m);                            /* BUILD                                   */
    case 'q': return argument(m, 1, &n) && hc_pickle_memoize(m, n); /* BINPUT                                  */
    case 'r': return argument(m, 4, &n) && hc_pickle_memoize(m, n); /* LONG_BINPUT                             */
    case 0x94: return hc_pickle_memoize(m, m->memo.count);          /* MEMOIZE                                 */
    case 'h': return argument(m, 1, &n) && hc_pickle_recall(m, n);  /* BINGET                                  */
    case 'j': return argument(m, 4, &n) && hc_pickle_recall(m, n);  /* LONG_BINGET                             */
    default: return refuse_opcode(m, *opcode);
    }
}

int hc_pickle_read(hc_pickle *out, const void *bytes, size_t length, hc_problem *problem)
{
    machine m = {.begin = bytes, .at = bytes, .end = (const uint8_t *)bytes + length, .problem = problem};
    memset(out, 0, sizeof *out);
    if (hc_pickle_reserve(&m, &m.values, 2, sizeof(value)) && hc_pickle_reserve(&m, &m.cells, 1, sizeof(cell))) {
        m.values.count = m.cells.count = 1;
        hc_pickle_new_value(&m, OPAQUE);
        while (step(&m)) {
        }
    }
    ref root = problem->status ? 0 : hc_pickle_top(&m);
    if (root) hc_pickle_list(&m, root);
    out->tensors = m.tensors.items;
    out->count = m.tensors.count;
    out->names = m.names.items;
    free(m.values.items);
    free(m.cells.items);
    free(m.stack.items);
    free(m.marks.items);
    free(m.memo.items);
    return problem->status == HC_OK;
}

void hc_pickle_free(hc_pickle *pickle)
{
    free(pickle->tensors);
    free(pickle->names);
    memset(pickle, 0, sizeof *pickle);
}
