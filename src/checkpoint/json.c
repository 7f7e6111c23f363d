/* json.c: one recursive check of the grammar, then plain scanning of text that is known to be valid. */
#include "checkpoint/json.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct scanner {
    const char *at, *end;
    const char *reason;
} scanner;

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Stands for itself, whatever follows. */
static int is_plain(char c) { return (unsigned char)c < 0x80 && c != '\\'; }

static int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Past the bytes of a string that stand for themselves: ASCII, eight at a time, and neither a quotation mark nor a
 * backslash nor a control character. What is left of the eight is for the caller, byte by byte. */
static const char *skip_plain(const char *at, const char *end)
{
    const uint64_t each = 0x0101010101010101, high = 0x80 * each;
    for (; end - at >= 8; at += 8) {
        uint64_t x;
        memcpy(&x, at, sizeof x);
        uint64_t quote = x ^ each * '"', backslash = x ^ each * '\\';
        if ((x | ((x - each * 0x20) & ~x) | ((quote - each) & ~quote) | ((backslash - each) & ~backslash)) & high)
            break;
    }
    return at;
}

/* ---- checking -----------------------------------------------------------------------------------------------------
 */

static int fail(scanner *s, const char *reason)
{
    s->reason = reason;
    return 0;
}

static void check_space(scanner *s)
{
    const char *at = s->at;
    while (at < s->end && is_space(*at)) at++;
    s->at = at;
}

static int check_word(scanner *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n)) return fail(s, "expected a value");
    s->at += n;
    return 1;
}

static int check_digits(scanner *s)
{
    const char *at = s->at;
    if (at == s->end || !is_digit(*at)) return fail(s, "expected a digit");
    while (at < s->end && is_digit(*at)) at++;
    s->at = at;
    return 1;
}

static int check_number(scanner *s)
{
    if (*s->at == '-') s->at++;
    if (s->at < s->end && *s->at == '0') s->at++;
    else if (!check_digits(s)) return 0;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!check_digits(s)) return 0;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
        if (!check_digits(s)) return 0;
    }
    return 1;
}

/* Four hexadecimal digits; -1 if they are not. */
static int read_hex4(const char *at, const char *end)
{
    if (end - at < 4) return -1;
    int code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}

static int check_escape(scanner *s)
{
    if (s->at == s->end) return fail(s, "string without an end");
    char c = *s->at;
    if (c != 'u') {
        if (!memchr("\"\\/bfnrt", c, 8)) return fail(s, "unknown escape");
        s->at++;
        return 1;
    }
    int code = read_hex4(s->at + 1, s->end);
    if (code < 0) return fail(s, "expected four hexadecimal digits");
    if (code >= 0xDC00 && code <= 0xDFFF) return fail(s, "lone surrogate");
    s->at += 5;
    if (code >= 0xD800 && code <= 0xDBFF) {
        int low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? read_hex4(s->at + 2, s->end) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return fail(s, "lone surrogate");
        s->at += 6;
    }
    return 1;
}

/* One character of more than a byte (Unicode 15, table 3-7). */
static int check_utf8(scanner *s)
{
    const unsigned char *p = (const unsigned char *)s->at;
    size_t left = (size_t)(s->end - s->at);
    size_t n = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (!n || left < n) return fail(s, "invalid UTF-8");
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return fail(s, "invalid UTF-8");
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
        (p[0] == 0xF4 && p[1] > 0x8F))
        return fail(s, "invalid UTF-8");
    s->at += n;
    return 1;
}

static int check_string(scanner *s)
{
    if (s->at == s->end || *s->at != '"') return fail(s, "expected a string");
    s->at++;
    for (;;) {
        const char *at = skip_plain(s->at, s->end);
        while (at < s->end && is_plain(*at) && *at != '"' && (unsigned char)*at >= 0x20) at++;
        s->at = at;
        if (at == s->end) return fail(s, "string without an end");
        if (*at == '"') {
            s->at++;
            return 1;
        }
        if (*at == '\\') {
            s->at++;
            if (!check_escape(s)) return 0;
        } else if (!is_plain(*at)) {
            if (!check_utf8(s)) return 0;
        } else {
            return fail(s, "control character in a string");
        }
    }
}

static int check_value(scanner *s, int depth)
{
    if (s->at == s->end) return fail(s, "the text ends where a value is expected");
    char open = *s->at;
    if (open != '{' && open != '[') {
        if (open == '"') return check_string(s);
        if (open == '-' || is_digit(open)) return check_number(s);
        return check_word(s, open == 't' ? "true" : open == 'f' ? "false" : "null");
    }
    if (depth == MAX_DEPTH) return fail(s, "nested more than 64 deep");
    char close = open == '{' ? '}' : ']';
    s->at++;
    check_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return 1;
    }
    for (;;) {
        check_space(s);
        if (open == '{') {
            if (!check_string(s)) return 0;
            check_space(s);
            if (s->at == s->end || *s->at != ':') return fail(s, "expected ':'");
            s->at++;
            check_space(s);
        }
        if (!check_value(s, depth + 1)) return 0;
        check_space(s);
        if (s->at == s->end) return fail(s, open == '{' ? "object without an end" : "array without an end");
        if (*s->at == close) {
            s->at++;
            return 1;
        }
        if (*s->at != ',') return fail(s, open == '{' ? "expected ',' or '}'" : "expected ',' or ']'");
        s->at++;
    }
}

static hc_json_type type_of(char first)
{
    switch (first) {
    case '{': return HC_JSON_OBJECT;
    case '[': return HC_JSON_ARRAY;
    case '"': return HC_JSON_STRING;
    case 't':
    case 'f': return HC_JSON_BOOL;
    case 'n': return HC_JSON_NULL;
    default: return HC_JSON_NUMBER;
    }
}

int hc_json_parse(const char *text, size_t length, hc_json *value, hc_json_error *error)
{
    scanner s = {text, text + length, NULL};
    check_space(&s);
    const char *begin = s.at;
    int good = check_value(&s, 0);
    const char *end = s.at;
    if (good) {
        check_space(&s);
        if (s.at < s.end) good = fail(&s, "more text after the value");
    }
    if (!good) {
        error->position = (size_t)(s.at - text);
        error->reason = s.reason;
        return 0;
    }
    *value = (hc_json){type_of(*begin), begin, (size_t)(end - begin)};
    return 1;
}

/* ---- looking into checked text ------------------------------------------------------------------------------------
 */

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

/* ---- numbers ------------------------------------------------------------------------------------------------------
 */

/* Large enough for 10^(330 + 64) and for 2^1074 * 10^330 alike. */
enum { BIG_WORDS = 80, MAX_DIGITS = 64, MAX_EXPONENT = 330 };

typedef struct big {
    uint32_t words[BIG_WORDS]; /* least significant first */
    int length;
} big;

static void big_multiply_add(big *b, uint32_t factor, uint32_t carry)
{
    uint64_t sum = carry;
    for (int i = 0; i < b->length; i++) {
        sum += (uint64_t)b->words[i] * factor;
        b->words[i] = (uint32_t)sum;
        sum >>= 32;
    }
    if (sum) b->words[b->length++] = (uint32_t)sum;
}

static void big_power(big *b, uint32_t base, int exponent)
{
    for (; exponent > 0; exponent--) big_multiply_add(b, base, 0);
}

static void big_shift(big *b, int bits)
{
    for (; bits >= 31; bits -= 31) big_multiply_add(b, 1u << 31, 0);
    if (bits > 0) big_multiply_add(b, 1u << bits, 0);
}

static int big_compare(const big *a, const big *b)
{
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    for (int i = a->length; i-- > 0;)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

/* Where digits * 10^exponent lies against m * 2^e. */
static int compare_with(const big *digits, int exponent, uint64_t m, int e)
{
    big left = *digits, right = {{(uint32_t)m, (uint32_t)(m >> 32)}, m >> 32 ? 2 : m != 0};
    big_power(exponent < 0 ? &right : &left, 10, exponent < 0 ? -exponent : exponent);
    big_shift(e < 0 ? &left : &right, e < 0 ? -e : e);
    return big_compare(&left, &right);
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The midpoint between a positive finite double and the next one up, as m * 2^e. */
static uint64_t midpoint_above(uint64_t bits, int *e)
{
    uint64_t m = bits & 0xFFFFFFFFFFFFF;
    int biased = (int)(bits >> 52);
    if (biased) m |= (uint64_t)1 << 52;
    *e = (biased ? biased : 1) - 1075 - 1;
    return 2 * m + 1;
}

/* Clinger's AlgorithmR (PLDI 1990): an estimate, moved by single steps until the exact value lies between its
 * midpoints. */
static double round_correctly(const big *digits, int exponent, double estimate)
{
    const uint64_t infinity = (uint64_t)0x7FF << 52;
    uint64_t bits = to_bits(estimate);
    if (bits >= infinity) bits = infinity - 1;
    for (;;) {
        int e;
        uint64_t m = midpoint_above(bits, &e);
        int above = compare_with(digits, exponent, m, e);
        if (above > 0 || (above == 0 && (bits & 1))) {
            if (++bits == infinity) return from_bits(infinity);
            continue;
        }
        if (!bits) return 0;
        m = midpoint_above(bits - 1, &e);
        int below = compare_with(digits, exponent, m, e);
        if (below < 0 || (below == 0 && (bits & 1))) {
            bits--;
            continue;
        }
        return from_bits(bits);
    }
}

double hc_json_number(const hc_json *value)
{
    if (value->type != HC_JSON_NUMBER) return 0;
    const char *at = value->text, *end = at + value->length;
    int negative = *at == '-';
    if (negative) at++;

    big digits = {{0}, 0};
    uint64_t leading = 0; /* the first 19 digits */
    int count = 0, leading_count = 0;
    int64_t exponent = 0, written = 0;
    int point = 0, sticky = 0;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            point = 1;
            continue;
        }
        unsigned digit = (unsigned)(*at - '0');
        exponent -= point;
        if (!count && !digit) continue;
        if (count == MAX_DIGITS) {
            sticky |= digit != 0;
            exponent++;
            continue;
        }
        if (!digits.length) {
            digits.words[0] = digit;
            digits.length = 1;
        } else {
            big_multiply_add(&digits, 10, digit);
        }
        count++;
        if (leading_count < 19) {
            leading = leading * 10 + digit;
            leading_count++;
        }
    }
    if (at < end) {
        int sign = at[1] == '-' ? -1 : 1;
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        for (; at < end; at++)
            if (written < 100000) written = written * 10 + (*at - '0');
        exponent += sign * written;
    }
    if (!count) return negative ? -0.0 : 0.0;
    if (exponent + count > 310) return from_bits((uint64_t)(negative ? 0xFFF : 0x7FF) << 52);
    if (exponent + count < -330) return negative ? -0.0 : 0.0;

    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double result;
    if (leading_count == count && leading <= (uint64_t)1 << 53 && exponent >= -22 && exponent <= 22) {
        /* Both factors are exact, so that one rounding is all there is. */
        result = exponent < 0 ? (double)leading / powers[-exponent] : (double)leading * powers[exponent];
    } else {
        if (sticky) {
            big_multiply_add(&digits, 10, 1);
            exponent--;
        }
        double estimate = (double)leading;
        int64_t scale = exponent + (sticky ? 1 : 0) + count - leading_count;
        for (; scale >= 22; scale -= 22) estimate *= 1e22;
        for (; scale <= -22; scale += 22) estimate /= 1e22;
        estimate = scale < 0 ? estimate / powers[-scale] : estimate * powers[scale];
        result = round_correctly(&digits, (int)exponent, estimate);
    }
    return negative ? -result : result;
}
