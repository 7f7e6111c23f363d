/* json_writer.h: JSON text in pieces, to whoever takes them. */
#ifndef HC_JSON_WRITER_H
#define HC_JSON_WRITER_H

#include <stddef.h>
#include <stdint.h>

typedef struct hc_json_writer {
    void (*take)(void *user, const void *bytes, size_t n);
    void *user;
} hc_json_writer;

/* Text as it is. */
void hc_json_put(const hc_json_writer *w, const char *text);

void hc_json_put_number(const hc_json_writer *w, uint64_t number);

/* `count` numbers in brackets. */
void hc_json_put_numbers(const hc_json_writer *w, const uint64_t *numbers, int count);

/* A string whose value is this text, which is valid UTF-8. */
void hc_json_put_string(const hc_json_writer *w, const char *text, size_t n);

#endif
