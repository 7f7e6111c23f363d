/* text_format.c: the few conversions that error messages need, because WebAssembly builds have no snprintf. */
#include "base/text_format.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST_QUOTE = 96 };

typedef struct writer {
    char *out;
    size_t size, length;
} writer;

static void put(writer *w, const char *text, size_t n)
{
    if (n > w->size - 1 - w->length) n = w->size - 1 - w->length;
    memcpy(w->out + w->length, text, n);
    w->length += n;
}

static void put_unsigned(writer *w, uint64_t value)
{
    char digits[20];
    size_t n = sizeof digits;
    do digits[--n] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    put(w, digits + n, sizeof digits - n);
}

/* With one digit after the point, rounded up: what is too much must not read as what is allowed. */
static void put_memory(writer *w, uint64_t bytes)
{
    static const char *const units[] = {" bytes", " kB", " MB", " GB", " TB", " PB"};
    int unit = 0;
    uint64_t divisor = 1;
    for (; bytes / divisor >= 1000 && unit < 5; unit++) divisor *= 1000;
    if (!unit) {
        put_unsigned(w, bytes);
    } else {
        uint64_t tenths = bytes / divisor * 10 + (bytes % divisor * 10 + divisor - 1) / divisor;
        put_unsigned(w, tenths / 10);
        put(w, ".", 1);
        put_unsigned(w, tenths % 10);
    }
    put(w, units[unit], strlen(units[unit]));
}

static void put_quote(writer *w, const char *text, size_t n)
{
    size_t shown = n;
    if (n > LONGEST_QUOTE) {
        /* Never in the middle of a UTF-8 sequence. */
        for (shown = LONGEST_QUOTE; shown && ((unsigned char)text[shown] & 0xC0) == 0x80; shown--) {
        }
    }
    for (size_t i = 0; i < shown; i++) {
        char c = (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i];
        put(w, &c, 1);
    }
    if (shown < n) put(w, "...", 3);
}

void hc_format_list(char *out, size_t size, const char *format, va_list args)
{
    writer w = {out, size, 0};
    if (!size) return;
    for (; *format; format++) {
        if (*format != '%') {
            put(&w, format, 1);
            continue;
        }
        switch (*++format) {
        case 's': {
            const char *text = va_arg(args, const char *);
            put(&w, text, strlen(text));
            break;
        }
        case 't': {
            const char *text = va_arg(args, const char *);
            put_quote(&w, text, va_arg(args, size_t));
            break;
        }
        case 'd': {
            int value = va_arg(args, int);
            if (value < 0) put(&w, "-", 1);
            put_unsigned(&w, value < 0 ? (uint64_t)-(int64_t)value : (uint64_t)value);
            break;
        }
        case 'u': put_unsigned(&w, va_arg(args, uint64_t)); break;
        case 'm': put_memory(&w, va_arg(args, uint64_t)); break;
        case 'x': {
            const uint32_t *shape = va_arg(args, const uint32_t *);
            int rank = va_arg(args, int);
            put(&w, "[", 1);
            for (int i = 0; i < rank; i++) {
                if (i) put(&w, ", ", 2);
                put_unsigned(&w, shape[i]);
            }
            put(&w, "]", 1);
            break;
        }
        default: put(&w, format, 1);
        }
    }
    out[w.length] = '\0';
}

void hc_format(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    hc_format_list(out, size, format, args);
    va_end(args);
}
