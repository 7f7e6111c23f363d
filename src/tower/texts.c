/* texts.c: the rows of a text. Rows that cannot reach the result are never computed: what follows the pooled token
 * under a causal mask, and padding that a mask hides. */
#include "tower/texts.h"

/* The position whose row is pooled: OpenCLIP's text_global_pool. */
static int pooled_position(const hc_text_rows *text, const int32_t *ids)
{
    int found = 0;
    switch (text->pool) {
    case HC_TEXT_LAST: return text->context_length - 1;
    case HC_TEXT_ARGMAX:
        for (int i = 1; i < text->context_length; i++)
            if (ids[i] > ids[found]) found = i;
        return found;
    case HC_TEXT_EOS:
        for (int i = 0; i < text->context_length; i++)
            if (ids[i] == text->eos_id) return i;
        return 0;
    case HC_TEXT_FIRST:
    case HC_TEXT_ALL: break;
    }
    return 0;
}

int hc_texts_skips(const hc_text_rows *text, const int32_t *ids, int i)
{
    /* OpenCLIP puts the class token's place of the padding mask first though the token comes last: the mask is off by
     * one, and the weights were trained so. */
    if (text->class_row) return i > 0 && ids[i - 1] == text->pad_id;
    /* The first token is what some pool, whatever it is. */
    return text->unpadded && !text->measured && i > 0 && ids[i] == text->pad_id;
}

/* One text at row `first`: how many rows it takes; *pooled is the row that pooling takes. */
static int rows_of_text(const hc_text_rows *text, const int32_t *ids, int first, int *pooled)
{
    int position = pooled_position(text, ids), rows = 0;
    *pooled = first + position;
    if (!text->class_row && !text->unpadded)
        return text->causal && text->pool != HC_TEXT_ALL ? position + 1 : text->context_length;
    int length = text->context_length;
    while (text->measured && length > 1 && ids[length - 1] == text->pad_id) length--;
    for (int i = 0; i < length; i++) rows += !hc_texts_skips(text, ids, i);
    if (text->class_row) *pooled = first + rows;
    return rows + text->class_row;
}

/* Keys that are there and that no query sees: CoCa's class row where the text is full of padding to its end, a first
 * token that is padding, and all padding where distances count. (Of a text of padding alone nothing is seen, and its
 * vector is zeros where torch's would be no numbers.) */
static void hide(hc_pass *pass, const hc_text_rows *text, const int32_t *ids, int input)
{
    int first = pass->first[input], end = pass->first[input + 1];
    for (int row = first; row < end; row++) pass->hidden[row] = text->measured && ids[row - first] == text->pad_id;
    if (text->class_row) pass->hidden[end - 1] = ids[text->context_length - 1] == text->pad_id;
    else pass->hidden[first] = ids[0] == text->pad_id;
}

void hc_texts_take(hc_pass *pass, const int32_t *ids, int count, int most_rows)
{
    const hc_text_rows *text = &pass->net->text;
    int rows = 0, taken = 0;
    for (int length; taken < count; taken++, rows += length) {
        length = rows_of_text(text, ids + (size_t)taken * (size_t)text->context_length, rows, pass->pooled + taken);
        if (length > most_rows - rows) break;
        pass->first[taken] = rows;
    }
    pass->first[taken] = rows;
    pass->inputs = taken;
    if (!text->class_row && !text->unpadded) pass->hidden = NULL;
    for (int i = 0; pass->hidden && i < taken; i++) hide(pass, text, ids + (size_t)i * (size_t)text->context_length, i);
}
