/* texts.c: OpenCLIP's cleaning of texts, for the tokenizers that are JavaScript's (web/text). */
#include "text/clean.h"

#include <stdlib.h>

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(hc_wasm_cleaner) hc_cleaner *hc_wasm_cleaner(hc_clean mode) { return hc_cleaner_new(mode); }

/* hc_clean_text, in UTF-8 that the caller frees; out: the status, and how many bytes there are. */
EXPORT(hc_wasm_clean) uint8_t *hc_wasm_clean(hc_cleaner *cleaner, const char *text, size_t length, int out[2])
{
    const hc_codes *codes;
    size_t n = 0;
    hc_status status = hc_clean_text(cleaner, text, length, &codes);
    uint8_t *bytes = status == HC_OK && codes->n < INT32_MAX / 4 ? malloc(4 * codes->n + 1) : NULL;
    for (size_t i = 0; bytes && i < codes->n; i++) n += (size_t)hc_utf8(codes->at[i], bytes + n);
    out[0] = (int)(bytes || status != HC_OK ? status : HC_OUT_OF_MEMORY);
    out[1] = (int)n;
    return bytes;
}
