/* json.h: strict JSON (RFC 8259) read in place. A text is checked once as a whole; after that a value is just the bytes
 * it occupies, and looking into it allocates nothing and cannot fail. */
#ifndef HC_JSON_H
#define HC_JSON_H

#include <stddef.h>
#include <stdint.h>

typedef enum hc_json_type {
    HC_JSON_ABSENT, /* what a lookup of a key that is not there gives */
    HC_JSON_NULL,
    HC_JSON_BOOL,
    HC_JSON_NUMBER,
    HC_JSON_STRING,
    HC_JSON_ARRAY,
    HC_JSON_OBJECT
} hc_json_type;

/* A value: its type and its text, without surrounding space. Points into the text that was parsed. */
typedef struct hc_json {
    hc_json_type type;
    const char *text;
    size_t length;
} hc_json;

typedef struct hc_json_error {
    size_t position; /* in bytes from the start */
    const char *reason;
} hc_json_error;

/* Checks that `text` is one JSON value, nested at most 64 deep, with valid UTF-8 and no lone surrogates. Returns 1, or
 * 0 and `error`. */
int hc_json_parse(const char *text, size_t length, hc_json *value, hc_json_error *error);

/* Steps through an array or an object: *cursor is NULL at first; `key` may be NULL. Returns 0 after the last member. */
int hc_json_next(const hc_json *container, const char **cursor, hc_json *key, hc_json *value);

/* The member of an object; of equal keys the last, as in Python and JavaScript. HC_JSON_ABSENT if there is none or it
 * is no object. */
hc_json hc_json_get(const hc_json *object, const char *key);

/* The nearest double, ties to even; infinity where a double ends. 0 if the value is no number.
 * Digits after the 64th significant one only break ties. */
double hc_json_number(const hc_json *value);

/* 1 and *number if the value is a plain integer (digits only) that fits. */
int hc_json_unsigned(const hc_json *value, uint64_t *number);

/* Python's bool(value): false for null, false, 0, "", [], {} and for an absent value. */
int hc_json_truthy(const hc_json *value);

/* Is it this string? */
int hc_json_is(const hc_json *value, const char *string);

/* Does it begin with these, one after the other? */
int hc_json_begins(const hc_json *value, const char *const *parts, int count);

/* Are they the same string? */
int hc_json_same(const hc_json *a, const hc_json *b);

/* A hash of a string's decoded bytes, and the same of bytes: nobody can find many strings that share one. */
uint64_t hc_json_hash(const hc_json *value);
uint64_t hc_hash(const char *bytes, size_t n);

/* Writes the decoded string, NUL-terminated and cut to `size` bytes in all; returns its whole length without the NUL.
 */
size_t hc_json_string(const hc_json *value, char *out, size_t size);

#endif
