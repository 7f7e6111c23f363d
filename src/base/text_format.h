/* text_format.h: error messages, written into a buffer of fixed size. */
#ifndef HC_TEXT_FORMAT_H
#define HC_TEXT_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Writes a NUL-terminated sentence, cut if it does not fit. In `format`:
 *     %s   const char *                    text of our own
 *     %t   const char *, size_t            text from outside: control characters become '?', long text is shortened
 *     %d   int
 *     %u   uint64_t
 *     %m   uint64_t                        bytes of memory, as "5.3 GB"
 *     %x   const uint32_t *, int           a shape of that rank, as [2, 3]
 */
void hc_format(char *out, size_t size, const char *format, ...);
void hc_format_list(char *out, size_t size, const char *format, va_list args);

#endif
