/* json_writer.c: see json_writer.h. */
#include "checkpoint/json_writer.h"

#include "base/text_format.h"

#include <string.h>

void hc_json_put(const hc_json_writer *w, const char *text) { w->take(w->user, text, strlen(text)); }

void hc_json_put_number(const hc_json_writer *w, uint64_t number)
{
    char digits[24];
    hc_format(digits, sizeof digits, "%u", number);
    hc_json_put(w, digits);
}

void hc_json_put_numbers(const hc_json_writer *w, const uint64_t *numbers, int count)
{
    hc_json_put(w, "[");
    for (int i = 0; i < count; i++) {
        if (i) hc_json_put(w, ",");
        hc_json_put_number(w, numbers[i]);
    }
    hc_json_put(w, "]");
}

void hc_json_put_string(const hc_json_writer *w, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    hc_json_put(w, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20) {
            hc_json_put(w, c < 0x10 ? "\\u000" : "\\u001");
            w->take(w->user, hex + c % 16, 1);
            continue;
        }
        if (c == '"' || c == '\\') hc_json_put(w, "\\");
        w->take(w->user, &c, 1);
    }
    hc_json_put(w, "\"");
}
