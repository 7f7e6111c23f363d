/* json.c: plain scanning of text that is known to be valid. */
#include "checkpoint/json_scan.h"

static const char *skip_space(const char *at)
{
    while (is_space(*at)) at++;
    return at;
}

/* From a string's quotation mark on; `end` is that of what it is in. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++;; at += 2) {
        at = skip_plain(at, end);
        while (*at != '"' && *at != '\\') at++;
        if (*at == '"') return at + 1;
    }
}

/* Only for members of a container, so that a bracket always follows. */
static const char *skip_value(const char *at, const char *end)
{
    if (*at == '"') return skip_string(at, end);
    if (*at != '{' && *at != '[') {
        while (*at != ',' && *at != '}' && *at != ']' && !is_space(*at)) at++;
        return at;
    }
    int depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        at++;
    } while (depth);
    return at;
}

static const char *read_member(const char *at, const char *end, hc_json *value)
{
    const char *after = skip_value(at, end);
    *value = (hc_json){type_of(*at), at, (size_t)(after - at)};
    return after;
}

int hc_json_next(const hc_json *container, const char **cursor, hc_json *key, hc_json *value)
{
    if (container->type != HC_JSON_ARRAY && container->type != HC_JSON_OBJECT) return 0;
    const char *at = skip_space(*cursor ? *cursor : container->text + 1), *end = container->text + container->length;
    if (*cursor && *at == ',') at = skip_space(at + 1);
    if (*at == '}' || *at == ']') return 0;
    if (container->type == HC_JSON_OBJECT) {
        hc_json name;
        at = skip_space(read_member(at, end, &name));
        at = skip_space(at + 1);
        if (key) *key = name;
    }
    *cursor = read_member(at, end, value);
    return 1;
}

hc_json hc_json_get(const hc_json *object, const char *key)
{
    hc_json found = {HC_JSON_ABSENT, "", 0}, name, value;
    if (object->type != HC_JSON_OBJECT) return found;
    const char *cursor = NULL;
    while (hc_json_next(object, &cursor, &name, &value))
        if (hc_json_is(&name, key)) found = value;
    return found;
}

/* The UTF-8 of the next character of a string, which may be an escape. Returns how many bytes. */
static size_t decode(const char **at, unsigned char out[4])
{
    const char *p = *at;
    if (*p != '\\') {
        out[0] = (unsigned char)*p;
        *at = p + 1;
        return 1;
    }
    if (p[1] != 'u') {
        static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *name = memchr(names, p[1], 5);
        out[0] = (unsigned char)(name ? values[name - names] : p[1]);
        *at = p + 2;
        return 1;
    }
    unsigned code = (unsigned)read_hex4(p + 2, p + 6);
    *at = p + 6;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + ((unsigned)read_hex4(p + 8, p + 12) - 0xDC00);
        *at = p + 12;
    }
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, code >>= 6) out[i] = (unsigned char)(0x80 | (code & 0x3F));
    out[0] = (unsigned char)((0xF00 >> n) | code);
    return n;
}

/* The decoded bytes of a string, one at a time. */
typedef struct reader {
    const char *at, *end;
    unsigned char bytes[4];
    size_t used, held;
} reader;

static reader read_string(const hc_json *value)
{
    return (reader){value->text + 1, value->text + value->length - 1, {0}, 0, 0};
}

static int read_byte(reader *r)
{
    if (r->used == r->held) {
        if (r->at == r->end) return -1;
        r->held = decode(&r->at, r->bytes);
        r->used = 0;
    }
    return r->bytes[r->used++];
}

int hc_json_is(const hc_json *value, const char *string)
{
    if (value->type != HC_JSON_STRING) return 0;
    reader r = read_string(value);
    for (; r.at < r.end && *r.at == *string && is_plain(*r.at) && *string; string++) r.at++;
    for (int byte; (byte = read_byte(&r)) >= 0; string++)
        if (!*string || byte != (unsigned char)*string) return 0;
    return !*string;
}

int hc_json_begins(const hc_json *value, const char *const *parts, int count)
{
    if (value->type != HC_JSON_STRING) return 0;
    reader r = read_string(value);
    for (int i = 0; i < count; i++)
        for (const char *at = parts[i]; *at; at++)
            if (read_byte(&r) != (unsigned char)*at) return 0;
    return 1;
}

int hc_json_same(const hc_json *a, const hc_json *b)
{
    reader ra = read_string(a), rb = read_string(b);
    for (;;) {
        int x = read_byte(&ra), y = read_byte(&rb);
        if (x != y) return 0;
        if (x < 0) return 1;
    }
}

size_t hc_json_string(const hc_json *value, char *out, size_t size)
{
    size_t length = 0;
    if (value->type == HC_JSON_STRING) {
        reader r = read_string(value);
        for (int byte; (byte = read_byte(&r)) >= 0; length++)
            if (length + 1 < size) out[length] = (char)byte;
    }
    if (size) out[length < size ? length : size - 1] = '\0';
    return length;
}

int hc_json_truthy(const hc_json *value)
{
    switch (value->type) {
    case HC_JSON_ABSENT:
    case HC_JSON_NULL: return 0;
    case HC_JSON_BOOL: return *value->text == 't';
    case HC_JSON_NUMBER: return hc_json_number(value) != 0;
    case HC_JSON_STRING: return value->length > 2;
    case HC_JSON_ARRAY:
    case HC_JSON_OBJECT: {
        const char *cursor = NULL;
        hc_json member;
        return hc_json_next(value, &cursor, NULL, &member);
    }
    }
    return 0;
}

int hc_json_unsigned(const hc_json *value, uint64_t *number)
{
    if (value->type != HC_JSON_NUMBER) return 0;
    uint64_t n = 0;
    for (size_t i = 0; i < value->length; i++) {
        if (!is_digit(value->text[i])) return 0;
        unsigned digit = (unsigned)(value->text[i] - '0');
        if (n > (UINT64_MAX - digit) / 10) return 0;
        n = n * 10 + digit;
    }
    *number = n;
    return 1;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012), under a key that need not be secret: strings with the same hash cannot be
 * made, only searched for. */
typedef struct siphash {
    uint64_t v[4], word, count;
} siphash;

static uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static void mix(uint64_t v[4], int rounds)
{
    while (rounds--) {
        v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
        v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
    }
}

static void hash_word(siphash *h, uint64_t word)
{
    h->v[3] ^= word;
    mix(h->v, 2);
    h->v[0] ^= word;
}

static siphash hash_begin(void)
{
    return (siphash){.v = {0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573}};
}

static void hash_byte(siphash *h, int byte)
{
    h->word |= (uint64_t)byte << (h->count % 8 * 8);
    if (++h->count % 8) return;
    hash_word(h, h->word);
    h->word = 0;
}

static uint64_t hash_end(siphash *h)
{
    hash_word(h, h->word | h->count << 56);
    h->v[2] ^= 0xFF;
    mix(h->v, 4);
    return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}

uint64_t hc_hash(const char *bytes, size_t n)
{
    siphash h = hash_begin();
    for (size_t i = 0; i < n; i++) hash_byte(&h, (unsigned char)bytes[i]);
    return hash_end(&h);
}

uint64_t hc_json_hash(const hc_json *value)
{
    siphash h = hash_begin();
    reader r = read_string(value);
    for (int byte; (byte = read_byte(&r)) >= 0;) hash_byte(&h, byte);
    return hash_end(&h);
}
