/* unicode.h: what the tokenizer knows about characters: properties, mappings, normalisation form C, and UTF-8.
 *
 * The tables (unicode_tables.inc) are those of the Python that OpenCLIP runs on, packed small because they travel
 * in the .wasm; hc_unicode_new unpacks them once a tokenizer. */
#ifndef HC_UNICODE_H
#define HC_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* A growing array of code points. After a failed allocation it drops what is pushed and `failed` stays set, so
 * that one check at the end of a step is enough. All zero is empty. */
typedef struct hc_codes {
    uint32_t *at;
    size_t n, capacity;
    int failed;
} hc_codes;

/* Room for `n` more code points. Returns 0, with `failed` set, if memory is exhausted. */
int hc_codes_reserve(hc_codes *codes, size_t n);

void hc_codes_free(hc_codes *codes);

static inline void hc_push(hc_codes *codes, uint32_t code)
{
    if (codes->n < codes->capacity || hc_codes_reserve(codes, 1)) codes->at[codes->n++] = code;
}

void hc_push_all(hc_codes *codes, const uint32_t *at, size_t n);

/* Bits of a character's properties. The first three are the runs of OpenCLIP's pattern, [\p{L}]+, [\p{N}] and
 * [^\s\p{L}\p{N}]+ with IGNORECASE; a character in none of them separates words. */
enum { HC_LETTER = 1, HC_NUMBER = 2, HC_OTHER = 4, HC_DECIMAL = 8, HC_CASED = 16, HC_CASE_IGNORABLE = 32 };

typedef enum hc_map {
    HC_MAP_CANONICAL, /* canonical decomposition, Hangul left out                */
    HC_MAP_FTFY,      /* ftfy's fixes of single characters                       */
    HC_MAP_LOWER,     /* str.lower, final sigma left out                         */
    HC_MAP_UPPER      /* str.upper of the characters that HTML has names for     */
} hc_map;

typedef struct hc_unicode hc_unicode;

/* NULL when memory is exhausted. */
hc_unicode *hc_unicode_new(void);
void hc_unicode_free(hc_unicode *unicode);

/* Bits of the enum above; the canonical combining class in bits 8 to 15. `code` is at most 0x10FFFF. */
unsigned hc_properties(const hc_unicode *unicode, uint32_t code);

/* Pushes what `code` maps to, which is itself for most. */
void hc_push_mapped(const hc_unicode *unicode, hc_map map, uint32_t code, hc_codes *out);

/* Brings `text` into normalisation form C (UAX #15), with `scratch` to work in. In time linear in the text,
 * however many combining marks are stacked. */
void hc_normalize(const hc_unicode *unicode, hc_codes *text, hc_codes *scratch);

/* Pushes the code points of UTF-8 bytes. Each maximal part of an ill-formed sequence is one U+FFFD, as TextDecoder
 * has it. */
void hc_push_utf8(hc_codes *out, const char *text, size_t length);

/* Writes a code point as one to four bytes and returns how many. */
int hc_utf8(uint32_t code, uint8_t bytes[4]);

/* The next number of a packed table: LEB128, and the same for signed numbers in zigzag order (0, -1, 1, -2 ...). */
static inline uint32_t hc_varint(const uint8_t **at)
{
    uint32_t number = 0;
    int shift = 0;
    uint8_t byte;
    do {
        byte = *(*at)++;
        number |= (uint32_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return number;
}

static inline uint32_t hc_zigzag(const uint8_t **at)
{
    const uint32_t number = hc_varint(at);
    return (number >> 1) ^ (0u - (number & 1));
}

#endif
