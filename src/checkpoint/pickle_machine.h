/* pickle_machine.h: what the files of the pickle reader share: values, the stack, and what each file does with them. */
#ifndef HC_PICKLE_MACHINE_H
#define HC_PICKLE_MACHINE_H

#include "checkpoint/pickle.h"

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
    hc_problem *problem;
} machine;

/* Modules nest about ten deep. A storage's key is a number. */
enum { MAX_DEPTH = 64, MAX_KEY = 255 };

/* Value 0 is none and value 1 the only OPAQUE. */
enum { OPAQUE_VALUE = 1 };

static inline value *value_at(const machine *m, ref r) { return (value *)m->values.items + r; }
static inline cell *cell_at(const machine *m, ref r) { return (cell *)m->cells.items + r; }
static inline ref *stack_at(const machine *m, size_t i) { return (ref *)m->stack.items + i; }
static inline const char *text_of(const machine *m, ref r)
{
    return (const char *)m->begin + value_at(m, r)->as.string.at;
}
static inline size_t length_of(const machine *m, ref r) { return value_at(m, r)->as.string.length; }
static inline int is_kind(const machine *m, ref r, kind k) { return r && value_at(m, r)->kind == k; }

#define REFUSE(m, ...) hc_fail((m)->problem, HC_WEIGHTS_FORMAT, __VA_ARGS__)

/* The types of tensors' elements. */
typedef struct hc_pickle_type {
    const char *storage, *dtype; /* in the module torch */
    const char *name;
    unsigned size; /* bytes of an element */
} hc_pickle_type;

enum { TYPE_COUNT = 21, UNTYPED = TYPE_COUNT };
extern const hc_pickle_type HC_PICKLE_TYPES[TYPE_COUNT];

/* pickle_machine.c: values, the stack and containers. */

/* Takes the last mark away; *count is how many values lay above it. */
int hc_pickle_take_mark(machine *m, size_t *count);

int hc_pickle_push_new(machine *m, kind k);

int hc_pickle_push_number(machine *m, uint64_t number);

int hc_pickle_is_string(const machine *m, ref r, const char *text);

int hc_pickle_push_mark(machine *m);

ref hc_pickle_new_value(machine *m, kind k);

int hc_pickle_push(machine *m, ref r);

int hc_pickle_push_container(machine *m, kind k, size_t count);

ref hc_pickle_pop_kind(machine *m, kind k, const char *expected);

/* Keys and values for the dictionary below them; one that nothing is known of (a Counter's, say) forgets them. */
int hc_pickle_set_items(machine *m, size_t count);

/* How high the stack was at the last mark: what lies below is out of reach until the mark is taken. */
size_t hc_pickle_floor_of(const machine *m);

/* The item at `index` of a tuple, or 0. */
ref hc_pickle_item(const machine *m, ref tuple, unsigned index);

/* Items for the list or set below them: nothing that a tensor is made of. */
int hc_pickle_drop_items(machine *m, size_t count);

ref hc_pickle_pop(machine *m);

/* Room for `more` further items. */
int hc_pickle_reserve(machine *m, array *a, size_t more, size_t size);

int hc_pickle_push_opaque(machine *m);

ref hc_pickle_new_string(machine *m, const uint8_t *text, size_t length);

ref hc_pickle_top(machine *m);

int hc_pickle_append(machine *m, ref container, ref item);

/* 1 and *number if the value is a number that is not negative. */
int hc_pickle_natural(const machine *m, ref r, uint64_t *number);

/* pickle_names.c: names, and what calling them gives. */

/* Pushes the name `name` of `module`, if it is one of those that tensors need. */
int hc_pickle_push_global(machine *m, ref module, ref name);

int hc_pickle_recall(machine *m, uint64_t index);

int hc_pickle_reduce(machine *m);

/* A persistent id: ('storage', torch.FloatStorage, key, device, count of elements). */
int hc_pickle_push_storage(machine *m, ref id);

/* The state of an object. A dictionary's attributes (the _metadata of a state dict) are not needed. */
int hc_pickle_build(machine *m);

/* Picklers count memo indices up, so that none is beyond the bytes read so far. */
int hc_pickle_memoize(machine *m, uint64_t index);

/* pickle_list.c: from values to a list of tensors. */

void hc_pickle_list(machine *m, ref root);

#endif
