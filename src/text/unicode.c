/* unicode.c: character tables, normalisation form C and UTF-8. */
#include "base/size.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode_tables.inc"

enum { MAPPINGS = CANONICAL_COUNT + FTFY_COUNT + LOWER_COUNT + UPPER_COUNT, PAGES = 0x1100, PAIR_SLOTS = 2048 };

/* `from` becomes `first`, to be mapped again, and `second` unless that is 0. */
typedef struct mapping {
    uint32_t from, first, second;
} mapping;

typedef struct map {
    const mapping *at;
    size_t n;
} map;

struct hc_unicode {
    uint32_t start[PROPERTY_RUNS + 1]; /* first code point of each run of equal properties                */
    uint16_t properties[PROPERTY_RUNS];
    uint16_t page[PAGES + 1]; /* the run that each 256th code point is in, to search from there  */
    uint16_t ascii[128];
    mapping mappings[MAPPINGS]; /* those of each map in order of `from`                            */
    map maps[4];
    uint16_t pairs[PAIR_SLOTS]; /* hash of (first, second) to 1 + index of a canonical mapping     */
};

int hc_codes_reserve(hc_codes *codes, size_t n)
{
    if (codes->failed || n > SIZE_MAX / 16 - codes->n) {
        codes->failed = 1;
        return 0;
    }
    if (codes->n + n <= codes->capacity) return 1;
    const size_t wanted = codes->n + n, grown = codes->capacity + codes->capacity / 2 + 64;
    const size_t capacity = wanted > grown ? wanted : grown;
    uint32_t *at = hc_reallocate(codes->at, capacity, sizeof *at);
    if (!at) {
        codes->failed = 1;
        return 0;
    }
    codes->at = at;
    codes->capacity = capacity;
    return 1;
}

void hc_codes_free(hc_codes *codes)
{
    free(codes->at);
    memset(codes, 0, sizeof *codes);
}

void hc_push_all(hc_codes *codes, const uint32_t *at, size_t n)
{
    if (n && hc_codes_reserve(codes, n)) {
        memcpy(codes->at + codes->n, at, n * sizeof *at);
        codes->n += n;
    }
}

/* ---- unpacking ----------------------------------------------------------------------------------------------------
 */

static uint32_t pair_slot(uint32_t first, uint32_t second)
{
    return (first * 0x9E3779B1u ^ second * 0x85EBCA6Bu) >> 21;
}

static void unpack_properties(hc_unicode *unicode)
{
    const uint8_t *at = property_data;
    uint32_t code = 0;
    for (int i = 0; i < PROPERTY_RUNS; i++) {
        unicode->start[i] = code;
        code += hc_varint(&at);
    }
    unicode->start[PROPERTY_RUNS] = code;

    const uint8_t *index = at;
    uint16_t values[PROPERTY_VALUES];
    at += PROPERTY_RUNS;
    for (int i = 0; i < PROPERTY_VALUES; i++) values[i] = (uint16_t)hc_varint(&at);

    uint32_t page = 0;
    for (int i = 0; i < PROPERTY_RUNS; i++) {
        unicode->properties[i] = values[index[i]];
        for (; page <= PAGES && page << 8 < unicode->start[i + 1]; page++) unicode->page[page] = (uint16_t)i;
    }
    unicode->page[PAGES] = PROPERTY_RUNS - 1;
    for (uint32_t i = 0; i < 128; i++) {
        int run = 0;
        while (unicode->start[run + 1] <= i) run++;
        unicode->ascii[i] = unicode->properties[run];
    }
}

static void unpack_map(hc_unicode *unicode, hc_map which, mapping *to, const uint8_t *at, size_t n)
{
    uint32_t code = 0, first = 0, second = 0;
    unicode->maps[which] = (map){to, n};
    for (size_t i = 0; i < n; i++) {
        const uint32_t number = hc_varint(&at);
        code += number >> 1;
        to[i].from = code;
        to[i].second = number & 1; /* whether the pair composes; replaced below */
    }
    for (size_t i = 0; i < n; i++) {
        first += hc_zigzag(&at);
        to[i].first = to[i].from + first;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t composes = to[i].second;
        second += hc_zigzag(&at);
        to[i].second = second;
        if (composes) {
            uint32_t slot = pair_slot(to[i].first, second);
            while (unicode->pairs[slot]) slot = (slot + 1) % PAIR_SLOTS;
            unicode->pairs[slot] = (uint16_t)(i + 1);
        }
    }
}

hc_unicode *hc_unicode_new(void)
{
    hc_unicode *unicode = calloc(1, sizeof *unicode);
    if (!unicode) return NULL;
    mapping *at = unicode->mappings;
    unpack_properties(unicode);
    unpack_map(unicode, HC_MAP_CANONICAL, at, canonical_data, CANONICAL_COUNT);
    unpack_map(unicode, HC_MAP_FTFY, at += CANONICAL_COUNT, ftfy_data, FTFY_COUNT);
    unpack_map(unicode, HC_MAP_LOWER, at += FTFY_COUNT, lower_data, LOWER_COUNT);
    unpack_map(unicode, HC_MAP_UPPER, at += LOWER_COUNT, upper_data, UPPER_COUNT);
    return unicode;
}

void hc_unicode_free(hc_unicode *unicode) { free(unicode); }

/* ---- look-ups -----------------------------------------------------------------------------------------------------
 */

unsigned hc_properties(const hc_unicode *unicode, uint32_t code)
{
    if (code < 128) return unicode->ascii[code];
    size_t low = unicode->page[code >> 8], high = unicode->page[(code >> 8) + 1] + 1u;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (unicode->start[middle] <= code) low = middle;
        else high = middle;
    }
    return unicode->properties[low];
}

static unsigned combining_class(const hc_unicode *unicode, uint32_t code)
{
    return code < 0x300 ? 0 : hc_properties(unicode, code) >> 8;
}

static const mapping *find(map in, uint32_t code)
{
    size_t low = 0, high = in.n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (in.at[middle].from < code) low = middle + 1;
        else high = middle;
    }
    return low < in.n && in.at[low].from == code ? &in.at[low] : NULL;
}

void hc_push_mapped(const hc_unicode *unicode, hc_map which, uint32_t code, hc_codes *out)
{
    const mapping *to = find(unicode->maps[which], code);
    if (!to) {
        hc_push(out, code);
        return;
    }
    hc_push_mapped(unicode, which, to->first, out);
    if (to->second) hc_push(out, to->second);
}

/* ---- normalisation form C -----------------------------------------------------------------------------------------
 */

/* Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12). */
enum {
    S_BASE = 0xAC00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11A7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT
};

static void push_decomposed(const hc_unicode *unicode, uint32_t code, hc_codes *out)
{
    const uint32_t syllable = code - S_BASE;
    if (code < 0xC0) {
        hc_push(out, code);
    } else if (syllable < S_COUNT) {
        hc_push(out, L_BASE + syllable / (V_COUNT * T_COUNT));
        hc_push(out, V_BASE + syllable / T_COUNT % V_COUNT);
        if (syllable % T_COUNT) hc_push(out, T_BASE + syllable % T_COUNT);
    } else {
        hc_push_mapped(unicode, HC_MAP_CANONICAL, code, out);
    }
}

/* The primary composite of two characters, or 0. */
static uint32_t composite(const hc_unicode *unicode, uint32_t first, uint32_t second)
{
    if (first - L_BASE < L_COUNT && second - V_BASE < V_COUNT)
        return S_BASE + ((first - L_BASE) * V_COUNT + second - V_BASE) * T_COUNT;
    if (first - S_BASE < S_COUNT && (first - S_BASE) % T_COUNT == 0 && second - T_BASE - 1 < T_COUNT - 1)
        return first + second - T_BASE;
    for (uint32_t slot = pair_slot(first, second); unicode->pairs[slot]; slot = (slot + 1) % PAIR_SLOTS) {
        const mapping *to = &unicode->mappings[unicode->pairs[slot] - 1];
        if (to->first == first && to->second == second) return to->from;
    }
    return 0;
}

/* Sorts the marks [begin, end) by combining class, stably: by insertion, or in buckets where that would be
 * quadratic. */
static void order_marks(const hc_unicode *unicode, uint32_t *begin, uint32_t *end, hc_codes *spare)
{
    const size_t n = (size_t)(end - begin);
    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            const uint32_t mark = begin[i];
            const unsigned rank = combining_class(unicode, mark);
            size_t j = i;
            for (; j > 0 && combining_class(unicode, begin[j - 1]) > rank; j--) begin[j] = begin[j - 1];
            begin[j] = mark;
        }
        return;
    }
    size_t place[257] = {0};
    spare->n = 0;
    if (!hc_codes_reserve(spare, n)) return;
    for (size_t i = 0; i < n; i++) place[combining_class(unicode, begin[i]) + 1]++;
    for (int i = 0; i < 256; i++) place[i + 1] += place[i];
    for (size_t i = 0; i < n; i++) spare->at[place[combining_class(unicode, begin[i])]++] = begin[i];
    memcpy(begin, spare->at, n * sizeof *begin);
}

void hc_normalize(const hc_unicode *unicode, hc_codes *text, hc_codes *scratch)
{
    size_t i = 0;
    while (i < text->n && text->at[i] < 0x300) i++;
    if (i == text->n) return; /* below U+0300 everything is normal and nothing combines */

    scratch->n = 0;
    for (i = 0; i < text->n; i++) push_decomposed(unicode, text->at[i], scratch);
    for (i = 0; i < scratch->n; i++) {
        const size_t begin = i;
        while (i < scratch->n && combining_class(unicode, scratch->at[i])) i++;
        if (i - begin > 1) order_marks(unicode, scratch->at + begin, scratch->at + i, text);
    }

    /* `last` is the class of the mark before, 0 right after the starter: a mark composes with the starter unless
     * one of its own class or above stands between. */
    uint32_t *starter = NULL;
    unsigned last = 0;
    text->n = 0;
    if (!hc_codes_reserve(text, scratch->n)) return;
    for (i = 0; i < scratch->n; i++) {
        const uint32_t code = scratch->at[i];
        const unsigned rank = combining_class(unicode, code);
        const uint32_t both = starter && (last == 0 || last < rank) ? composite(unicode, *starter, code) : 0;
        if (both) {
            *starter = both;
            continue;
        }
        if (rank == 0) starter = text->at + text->n;
        last = rank;
        text->at[text->n++] = code;
    }
}

/* ---- UTF-8 --------------------------------------------------------------------------------------------------------
 */

void hc_push_utf8(hc_codes *out, const char *text, size_t length)
{
    if (!length || !hc_codes_reserve(out, length)) return;
    const uint8_t *at = (const uint8_t *)text, *end = at + length;
    uint32_t *to = out->at + out->n;
    while (at < end) {
        const uint8_t lead = *at++;
        if (lead < 0x80) {
            *to++ = lead;
            continue;
        }
        /* Only the first continuation byte has a range of its own: no overlong forms, no surrogates, nothing above
         * U+10FFFF. */
        const int more = lead < 0xC2 || lead > 0xF4 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        uint32_t code = lead & (0x3Fu >> more);
        int seen = 0;
        while (seen < more && at < end && *at >= low && *at <= high) {
            code = code << 6 | (*at++ & 0x3Fu);
            low = 0x80;
            high = 0xBF;
            seen++;
        }
        *to++ = more && seen == more ? code : 0xFFFD;
    }
    out->n = (size_t)(to - out->at);
}

int hc_utf8(uint32_t code, uint8_t bytes[4])
{
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, code >>= 6) bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    bytes[0] = (uint8_t)(0xF00u >> (more + 1) | code);
    return more + 1;
}
