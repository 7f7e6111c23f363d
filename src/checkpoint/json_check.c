/* json_check.c: one recursive check of the grammar. */
#include "checkpoint/json_scan.h"

enum { MAX_DEPTH = 64 };

typedef struct scanner {
    const char *at, *end;
    const char *reason;
} scanner;

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
