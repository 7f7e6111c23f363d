/* html.h: HTML character references, as Python's html.unescape and as ftfy reads them. */
#ifndef HC_HTML_H
#define HC_HTML_H

#include "halfclip.h"
#include "text/unicode.h"

typedef struct hc_entities hc_entities;

/* The names of HTML 5. NULL when memory is exhausted. */
hc_entities *hc_entities_new(void);
void hc_entities_free(hc_entities *entities);

/* html.unescape: pushes text[n] with its references replaced, those without a semicolon too.
 * HC_INPUT_TYPE for a decimal reference of more than 4300 digits, where Python's int() raises ValueError. */
hc_status hc_unescape(const hc_entities *entities, const uint32_t *text, size_t n, hc_codes *out);

/* What ftfy makes of one whole reference text[n], from '&' to ';': up to two code points in `value`, and returns
 * how many. -1 if it leaves the text as it is. Knows names in capitals: &EACUTE; */
int hc_entity(const hc_entities *entities, const hc_unicode *unicode, const uint32_t *text, size_t n, hc_codes *value);

#endif
