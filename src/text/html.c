/* html.c: HTML character references. */
#include "text/html.h"

#include <stdlib.h>

#include "text/html_entities.inc"

enum { BARE = 0x20, TWO = 0x40 }; /* flags: the name also stands without a semicolon; its value is two code points */

struct hc_entities {
    char letters[ENTITY_LETTERS];
    uint16_t begin[ENTITY_COUNT + 1]; /* the names, in order, in `letters` */
    uint8_t flags[ENTITY_COUNT];
    uint32_t first[ENTITY_COUNT], second[ENTITY_COUNT];
};

hc_entities *hc_entities_new(void)
{
    hc_entities *entities = calloc(1, sizeof *entities);
    if (!entities) return NULL;
    const uint8_t *head = entity_data, *rest = entity_data + ENTITY_COUNT;
    uint16_t n = 0;
    for (int i = 0; i < ENTITY_COUNT; i++) {
        const char *before = entities->letters + (i ? entities->begin[i - 1] : 0);
        entities->begin[i] = n;
        entities->flags[i] = head[i] & (BARE | TWO);
        for (int shared = head[i] & 0x1F; shared > 0; shared--) entities->letters[n++] = *before++;
        do {
            entities->letters[n++] = (char)(*rest & 0x7F);
        } while (!(*rest++ & 0x80));
    }
    entities->begin[ENTITY_COUNT] = n;

    uint32_t first = 0, second = 0;
    for (int i = 0; i < ENTITY_COUNT; i++) entities->first[i] = first += hc_zigzag(&rest);
    for (int i = 0; i < ENTITY_COUNT; i++)
        if (entities->flags[i] & TWO) entities->second[i] = second += hc_zigzag(&rest);
    return entities;
}

void hc_entities_free(hc_entities *entities) { free(entities); }

static int is_digit(uint32_t code) { return code - '0' < 10; }

static int is_upper(uint32_t code) { return code - 'A' < 26; }

static int is_lower(uint32_t code) { return code - 'a' < 26; }

/* The value of a hexadecimal digit, or -1. */
static int hex_digit(uint32_t code)
{
    return is_digit(code) ? (int)(code - '0') : (code | 0x20) - 'a' < 6 ? (int)((code | 0x20) - 'a' + 10) : -1;
}

/* html.unescape takes any other characters for a name: [^\t\n\f <&#;] */
static int ends_name(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\f' || code == ' ' || code == '<' || code == '&' || code == '#' ||
           code == ';';
}

/* The index of a name without its semicolon, or -1. */
static int find(const hc_entities *entities, const uint32_t *name, size_t n)
{
    int low = 0, high = ENTITY_COUNT;
    while (low < high) {
        const int middle = (low + high) / 2;
        const char *letters = entities->letters + entities->begin[middle];
        const size_t length = (size_t)(entities->begin[middle + 1] - entities->begin[middle]);
        size_t i = 0;
        while (i < n && i < length && name[i] == (uint8_t)letters[i]) i++;
        if (i == n && i == length) return middle;
        if (i == length || (i < n && name[i] > (uint8_t)letters[i])) low = middle + 1;
        else high = middle;
    }
    return -1;
}

/* The longest start of name[n], two letters or more, that stands without a semicolon; its length in *used. -1 if
 * there is none. */
static int find_bare(const hc_entities *entities, const uint32_t *name, size_t n, size_t *used)
{
    for (*used = n < ENTITY_LONGEST_BARE ? n : ENTITY_LONGEST_BARE; *used >= 2; --*used) {
        const int found = find(entities, name, *used);
        if (found >= 0 && entities->flags[found] & BARE) return found;
    }
    return -1;
}

static void push_entity(const hc_entities *entities, int index, hc_codes *out)
{
    hc_push(out, entities->first[index]);
    if (entities->flags[index] & TWO) hc_push(out, entities->second[index]);
}

/* Pushes the character of a numeric reference, with HTML 5's exceptions. */
static void push_number(uint32_t number, hc_codes *out)
{
    static const uint16_t windows_1252[32] = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                              0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                              0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                              0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};
    if (number - 0x80 < 32) hc_push(out, windows_1252[number - 0x80]);
    else if (number == 0 || number - 0xD800 < 0x800 || number > 0x10FFFF) hc_push(out, 0xFFFD);
    else if (number < 0x20 ? number != '\t' && number != '\n' && number != '\f' && number != '\r'
                           : number == 0x7F || number - 0xFDD0 < 32 || (number & 0xFFFE) == 0xFFFE)
        return; /* controls and noncharacters vanish */
    else hc_push(out, number);
}

/* Reads "#123" or "#x1F" at text[n]; returns its length without a semicolon, 0 if it is neither. Numbers saturate above
 * U+10FFFF. *digits is the count of decimal digits, 0 for hexadecimal. */
static size_t read_number(const uint32_t *text, size_t n, uint32_t *number, size_t *digits)
{
    size_t i = 1;
    const int hex = n > 1 && (text[1] | 0x20) == 'x';
    if (n == 0 || text[0] != '#') return 0;
    i += (size_t)hex;
    const size_t begin = i;
    for (*number = 0; i < n && (hex ? hex_digit(text[i]) >= 0 : is_digit(text[i])); i++)
        if (*number <= 0x10FFFF) *number = *number * (hex ? 16 : 10) + (uint32_t)hex_digit(text[i]);
    *digits = hex ? 0 : i - begin;
    return i > begin ? i : 0;
}

hc_status hc_unescape(const hc_entities *entities, const uint32_t *text, size_t n, hc_codes *out)
{
    size_t i = 0;
    while (i < n) {
        if (text[i] != '&') {
            hc_push(out, text[i++]);
            continue;
        }
        const uint32_t *name = text + ++i;
        uint32_t number;
        size_t digits, length = read_number(name, n - i, &number, &digits);
        if (length) {
            if (digits > 4300) return HC_INPUT_TYPE;
            push_number(number, out);
            i += length;
            i += i < n && text[i] == ';';
            continue;
        }
        while (length < 32 && i + length < n && !ends_name(name[length])) length++;
        const int ended = length && i + length < n && name[length] == ';';
        int found = ended ? find(entities, name, length) : -1;
        if (found >= 0) {
            length++;
        } else {
            size_t used;
            found = find_bare(entities, name, length, &used);
            if (found >= 0) length = used;
        }
        if (found >= 0) push_entity(entities, found, out);
        else hc_push(out, '&');
        /* What follows a name cannot begin another reference, so it may be read again as text. */
        i += found >= 0 ? length : 0;
    }
    return out->failed ? HC_OUT_OF_MEMORY : HC_OK;
}

int hc_entity(const hc_entities *entities, const hc_unicode *unicode, const uint32_t *text, size_t n, hc_codes *value)
{
    enum { LONGEST = 24 };
    const uint32_t *name = text + 1;
    const size_t length = n - 2;
    value->n = 0;
    if (length == 0) return -1;
    if (name[0] == '#') {
        uint32_t number;
        size_t digits;
        /* ftfy takes a semicolon that comes out for one that was left over. */
        if (length > LONGEST + 1 || read_number(name, length, &number, &digits) != length || number == ';') return -1;
        push_number(number, value);
        return (int)value->n;
    }
    int found = length <= LONGEST ? find(entities, name, length) : -1;
    if (found >= 0) {
        push_entity(entities, found, value);
        return (int)value->n;
    }
    uint32_t folded[LONGEST];
    size_t used;
    if (length > LONGEST || find_bare(entities, name, length, &used) >= 0) return -1;
    for (size_t i = 0; i < length; i++) {
        if (is_lower(name[i])) return -1;
        folded[i] = is_upper(name[i]) ? name[i] + 0x20 : name[i];
    }
    found = find(entities, folded, length);
    if (found < 0) return -1;
    hc_push_mapped(unicode, HC_MAP_UPPER, entities->first[found], value);
    if (entities->flags[found] & TWO) hc_push_mapped(unicode, HC_MAP_UPPER, entities->second[found], value);
    return (int)value->n;
}
