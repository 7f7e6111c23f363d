/* pickle_machine.c: values are numbers of an array and containers are lists of cells, so that nothing is nested in
 * memory, a value may stand in several places, and freeing is a few calls whatever the pickle says. */
#include "checkpoint/pickle_machine.h"

#include <stdlib.h>

int hc_pickle_reserve(machine *m, array *a, size_t more, size_t size)
{
    size_t needed = a->count + more, capacity = a->capacity ? a->capacity : 64;
    if (needed <= a->capacity) return 1;
    while (capacity < needed && capacity <= SIZE_MAX / 2 / size) capacity *= 2;
    void *items = capacity < needed ? NULL : realloc(a->items, capacity * size);
    if (!items) return hc_fail(m->problem, HC_OUT_OF_MEMORY, "out of memory for the pickle of a PyTorch file");
    a->items = items;
    a->capacity = capacity;
    return 1;
}

ref hc_pickle_new_value(machine *m, kind k)
{
    if (!hc_pickle_reserve(m, &m->values, 1, sizeof(value))) return 0;
    ref r = (ref)m->values.count++;
    memset(value_at(m, r), 0, sizeof(value));
    value_at(m, r)->kind = k;
    return r;
}

int hc_pickle_push(machine *m, ref r)
{
    if (!r || !hc_pickle_reserve(m, &m->stack, 1, sizeof(ref))) return 0;
    *stack_at(m, m->stack.count++) = r;
    return 1;
}

int hc_pickle_push_new(machine *m, kind k) { return hc_pickle_push(m, hc_pickle_new_value(m, k)); }
int hc_pickle_push_opaque(machine *m) { return hc_pickle_push(m, OPAQUE_VALUE); }

int hc_pickle_push_number(machine *m, uint64_t number)
{
    ref r = hc_pickle_new_value(m, NUMBER);
    if (!r) return 0;
    value_at(m, r)->as.number.low = (uint32_t)number;
    value_at(m, r)->as.number.high = (uint32_t)(number >> 32);
    return hc_pickle_push(m, r);
}

ref hc_pickle_new_string(machine *m, const uint8_t *text, size_t length)
{
    ref r = hc_pickle_new_value(m, STRING);
    if (!r) return 0;
    value_at(m, r)->as.string.at = (uint32_t)(text - m->begin);
    value_at(m, r)->as.string.length = (uint32_t)length;
    return r;
}

size_t hc_pickle_floor_of(const machine *m)
{
    return m->marks.count ? ((uint32_t *)m->marks.items)[m->marks.count - 1] : 0;
}

static int has(machine *m, size_t count)
{
    return m->stack.count - hc_pickle_floor_of(m) >= count ||
           REFUSE(m, "the pickle is damaged: it takes from an empty stack");
}

ref hc_pickle_top(machine *m) { return has(m, 1) ? *stack_at(m, m->stack.count - 1) : 0; }
ref hc_pickle_pop(machine *m) { return has(m, 1) ? *stack_at(m, --m->stack.count) : 0; }

ref hc_pickle_pop_kind(machine *m, kind k, const char *expected)
{
    ref r = hc_pickle_pop(m);
    if (!r || is_kind(m, r, k)) return r;
    return (ref)REFUSE(m, "the pickle is damaged: it uses something else as %s", expected);
}

int hc_pickle_push_mark(machine *m)
{
    if (!hc_pickle_reserve(m, &m->marks, 1, sizeof(uint32_t))) return 0;
    ((uint32_t *)m->marks.items)[m->marks.count++] = (uint32_t)m->stack.count;
    return 1;
}

int hc_pickle_take_mark(machine *m, size_t *count)
{
    if (!m->marks.count) return REFUSE(m, "the pickle is damaged: it has fewer marks than it needs");
    *count = m->stack.count - hc_pickle_floor_of(m);
    m->marks.count--;
    return 1;
}

int hc_pickle_append(machine *m, ref container, ref item)
{
    if (!hc_pickle_reserve(m, &m->cells, 1, sizeof(cell))) return 0;
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
        if (!hc_pickle_append(m, container, *stack_at(m, i))) return 0;
    m->stack.count = from;
    return 1;
}

int hc_pickle_push_container(machine *m, kind k, size_t count)
{
    if (k == DICT && count % 2) return REFUSE(m, "the pickle is damaged: a key without a value");
    if (!has(m, count)) return 0;
    ref r = hc_pickle_new_value(m, k);
    return r && move(m, r, count) && hc_pickle_push(m, r);
}

int hc_pickle_set_items(machine *m, size_t count)
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

int hc_pickle_drop_items(machine *m, size_t count)
{
    if (!has(m, count + 1)) return 0;
    m->stack.count -= count;
    return is_kind(m, hc_pickle_top(m), OPAQUE) ||
           REFUSE(m, "the pickle is damaged: it adds items to something that is no list");
}

ref hc_pickle_item(const machine *m, ref tuple, unsigned index)
{
    ref c = value_at(m, tuple)->as.cells.first;
    while (c && index--) c = cell_at(m, c)->next;
    return c ? cell_at(m, c)->value : 0;
}

int hc_pickle_natural(const machine *m, ref r, uint64_t *number)
{
    if (!is_kind(m, r, NUMBER)) return 0;
    const value *v = value_at(m, r);
    *number = (uint64_t)v->as.number.high << 32 | v->as.number.low;
    return *number <= INT64_MAX;
}

int hc_pickle_is_string(const machine *m, ref r, const char *text)
{
    return is_kind(m, r, STRING) && length_of(m, r) == strlen(text) && !memcmp(text_of(m, r), text, strlen(text));
}
