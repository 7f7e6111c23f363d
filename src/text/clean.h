/* clean.h: what OpenCLIP does to a text before it looks for words in it. */
#ifndef HC_CLEAN_H
#define HC_CLEAN_H

#include "halfclip.h"
#include "text/unicode.h"

typedef struct hc_cleaner hc_cleaner;

/* NULL when memory is exhausted. */
hc_cleaner *hc_cleaner_new(hc_clean mode);
void hc_cleaner_free(hc_cleaner *cleaner);

/* The tables it uses, for others to use too. */
const hc_unicode *hc_cleaner_unicode(const hc_cleaner *cleaner);

/* The code points of a UTF-8 text, cleaned: ftfy.fix_text without repair of mojibake, html.unescape twice, then
 * the mode's lower case and punctuation. White space is not collapsed: the tokenizer skips it. *cleaned is the
 * cleaner's, until the next call. HC_INPUT_TYPE where OpenCLIP raises an exception (see hc_unescape). Time and
 * memory are linear in the text. */
hc_status hc_clean_text(hc_cleaner *cleaner, const char *text, size_t length, const hc_codes **cleaned);

#endif
