/* texts.h: which texts a pass takes, and which of their tokens have rows. */
#ifndef HC_TEXTS_H
#define HC_TEXTS_H

#include "tower/pass.h"

/* Takes as many of `count` texts ids [count, context_length] as have at most `most_rows` rows together, at least one:
 * sets pass->inputs, first, pooled and hidden, for which there is room. */
void hc_texts_take(hc_pass *pass, const int32_t *ids, int count, int most_rows);

/* Whether token i of a text has no row, though those before and after it may have one. */
int hc_texts_skips(const hc_text_rows *text, const int32_t *ids, int i);

#endif
