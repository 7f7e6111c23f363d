/* clean.c: OpenCLIP's cleaning of texts: ftfy.fix_text (but mojibake), html.unescape, lower case, punctuation.
 *
 * ftfy 6.3.1 fixes a line at a time and repeats all its steps until nothing changes. */
#include "text/clean.h"

#include <stdlib.h>
#include <string.h>

#include "text/html.h"

struct hc_cleaner {
    hc_clean mode;
    hc_unicode *unicode;
    hc_entities *entities;
    hc_codes text, fixed;            /* the whole text, in turns                        */
    hc_codes segment, next, scratch; /* one segment of it, before and after a pass      */
    hc_codes value;                  /* of one HTML entity                              */
};

hc_cleaner *hc_cleaner_new(hc_clean mode)
{
    hc_cleaner *cleaner = calloc(1, sizeof *cleaner);
    if (!cleaner) return NULL;
    cleaner->mode = mode;
    cleaner->unicode = hc_unicode_new();
    cleaner->entities = hc_entities_new();
    if (cleaner->unicode && cleaner->entities) return cleaner;
    hc_cleaner_free(cleaner);
    return NULL;
}

void hc_cleaner_free(hc_cleaner *cleaner)
{
    if (!cleaner) return;
    hc_unicode_free(cleaner->unicode);
    hc_entities_free(cleaner->entities);
    hc_codes_free(&cleaner->text);
    hc_codes_free(&cleaner->fixed);
    hc_codes_free(&cleaner->segment);
    hc_codes_free(&cleaner->next);
    hc_codes_free(&cleaner->scratch);
    hc_codes_free(&cleaner->value);
    free(cleaner);
}

const hc_unicode *hc_cleaner_unicode(const hc_cleaner *cleaner) { return cleaner->unicode; }

/* ---- ftfy ---------------------------------------------------------------------------------------------------------
 */

static int is_ascii_letter(uint32_t code) { return (code | 0x20) - 'a' < 26; }

static int is_ascii_alphanumeric(uint32_t code) { return is_ascii_letter(code) || code - '0' < 10; }

/* The characters that ftfy's remove_control_chars drops. */
static int is_removed(uint32_t code)
{
    if (code < 0x80)
        return (code < 0x20 && code != '\t' && code != '\n' && code != '\f' && code != '\r') || code == 0x7F;
    return code - 0x206A < 6 || code == 0xFEFF || code - 0xFFF9 < 4;
}

/* If text[floor, n) ends in what ftfy's pattern &#?[0-9A-Za-z]{1,24}; matches, where it begins; else n. */
static size_t entity_begin(const uint32_t *text, size_t floor, size_t n)
{
    size_t i = n - 1;
    while (i > floor && n - i < 25 && is_ascii_alphanumeric(text[i - 1])) i--;
    if (i > floor && text[i - 1] == '#') i--;
    return i > floor && text[i - 1] == '&' ? i - 1 : n;
}

/* ftfy's unescape_html, `from` to `to`. The first pass replaces each entity of the text once. `nested`: replaces
 * until no entity is left, with ftfy's other steps applied to what comes out. From the second pass on that ends
 * where ftfy ends pass by pass, since by then no other step can touch the characters that entities are made of;
 * but in linear time (think of &amp;amp;amp;...). It must not be done in the first pass, where terminal escapes
 * are cut out between the replacements. */
static void unescape_entities(hc_cleaner *cleaner, const hc_codes *from, hc_codes *to, int nested)
{
    size_t floor = 0;
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        hc_push(to, from->at[i]);
        while (to->n && to->at[to->n - 1] == ';') {
            hc_codes *value = &cleaner->value;
            const size_t begin = entity_begin(to->at, floor, to->n);
            if (begin == to->n ||
                hc_entity(cleaner->entities, cleaner->unicode, to->at + begin, to->n - begin, value) < 0)
                break;
            to->n = begin;
            if (!nested) {
                hc_push_all(to, value->at, value->n);
                floor = to->n;
                break;
            }
            hc_codes *folded = &cleaner->scratch;
            folded->n = 0;
            for (size_t k = 0; k < value->n; k++) hc_push_mapped(cleaner->unicode, HC_MAP_FTFY, value->at[k], folded);
            for (size_t k = 0; k < folded->n; k++)
                if (!is_removed(folded->at[k])) hc_push_mapped(cleaner->unicode, HC_MAP_CANONICAL, folded->at[k], to);
        }
    }
}

/* ftfy's fixes of single characters: C1 controls, ligatures, widths, quotes and line breaks. */
static void fold_characters(const hc_cleaner *cleaner, const hc_codes *from, hc_codes *to)
{
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        const uint32_t code = from->at[i];
        if (code < 0x80) hc_push(to, code == '\r' ? '\n' : code);
        else hc_push_mapped(cleaner->unicode, HC_MAP_FTFY, code, to);
    }
}

/* ftfy's remove_terminal_escapes (ESC [ digits and semicolons, a letter) and remove_control_chars. */
static void remove_controls(const hc_cleaner *cleaner, hc_codes *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (text->at[i] == 0x1B && i + 1 < text->n && text->at[i + 1] == '[') {
            size_t end = i + 2;
            while (end < text->n &&
                   (text->at[end] == ';' || hc_properties(cleaner->unicode, text->at[end]) & HC_DECIMAL))
                end++;
            if (end < text->n && is_ascii_letter(text->at[end])) {
                i = end;
                continue;
            }
        }
        if (!is_removed(text->at[i])) text->at[n++] = text->at[i];
    }
    text->n = n;
}

/* Whether no step of ftfy would change text[n]. */
static int is_plain(const uint32_t *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] >= 0x80 || text[i] == '&' || text[i] == '\r' || is_removed(text[i])) return 0;
    return 1;
}

/* ftfy's fix_and_explain: appends text[n] to `fixed` with all steps repeated until nothing changes. */
static void fix_segment(hc_cleaner *cleaner, const uint32_t *text, size_t n, int unescape)
{
    hc_codes *before = &cleaner->segment, *after = &cleaner->next, *scratch = &cleaner->scratch;
    if (is_plain(text, n)) {
        hc_push_all(&cleaner->fixed, text, n);
        return;
    }
    before->n = 0;
    hc_push_all(before, text, n);
    for (int nested = 0;; nested = 1) {
        hc_codes *unescaped = before;
        if (unescape) {
            unescape_entities(cleaner, before, after, nested);
            unescaped = after;
        }
        fold_characters(cleaner, unescaped, scratch);
        remove_controls(cleaner, scratch);
        after->n = 0;
        hc_push_all(after, scratch->at, scratch->n);
        hc_normalize(cleaner->unicode, after, scratch);
        if (before->failed || after->failed || scratch->failed || cleaner->value.failed) {
            cleaner->fixed.failed = 1;
            return;
        }
        if (after->n == before->n && !memcmp(after->at, before->at, after->n * sizeof *after->at)) break;
        hc_codes *swap = before;
        before = after;
        after = swap;
    }
    hc_push_all(&cleaner->fixed, after->at, after->n);
}

/* ftfy.fix_text, text to fixed: by lines, of a million characters at most. */
static void fix_text(hc_cleaner *cleaner)
{
    enum { LONGEST = 1000000 };
    const uint32_t *text = cleaner->text.at;
    const size_t n = cleaner->text.n;
    int unescape = 1; /* until a line has a '<': what follows is then taken for HTML */
    cleaner->fixed.n = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        end = begin;
        do {
            unescape &= text[end] != '<';
            end++;
        } while (end < n && end - begin < LONGEST && text[end - 1] != '\n');
        fix_segment(cleaner, text + begin, end - begin, unescape);
    }
}

/* ---- the mode's own cleaning --------------------------------------------------------------------------------------
 */

/* Whether the sigma at text[i] ends a word: the nearest character before it that is not case-ignorable is cased,
 * that after it is not. */
static int is_final_sigma(const hc_unicode *unicode, const hc_codes *text, size_t i)
{
    size_t before = i, after = i + 1;
    while (before > 0 && hc_properties(unicode, text->at[before - 1]) & HC_CASE_IGNORABLE) before--;
    if (before == 0 || !(hc_properties(unicode, text->at[before - 1]) & HC_CASED)) return 0;
    while (after < text->n && hc_properties(unicode, text->at[after]) & HC_CASE_IGNORABLE) after++;
    return after == text->n || !(hc_properties(unicode, text->at[after]) & HC_CASED);
}

/* str.lower */
static void lower(const hc_unicode *unicode, const hc_codes *from, hc_codes *to)
{
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        const uint32_t code = from->at[i];
        if (code < 0x80) hc_push(to, code - 'A' < 26 ? code + 0x20 : code);
        else if (code == 0x3A3) hc_push(to, is_final_sigma(unicode, from, i) ? 0x3C2 : 0x3C3);
        else hc_push_mapped(unicode, HC_MAP_LOWER, code, to);
    }
}

/* Drops ASCII punctuation (Python's string.punctuation), with '_' made a space first. */
static void remove_punctuation(hc_codes *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        const uint32_t code = text->at[i];
        if (code == '_') text->at[n++] = ' ';
        else if (code <= ' ' || code >= 0x7F || is_ascii_alphanumeric(code)) text->at[n++] = code;
    }
    text->n = n;
}

hc_status hc_clean_text(hc_cleaner *cleaner, const char *text, size_t length, const hc_codes **cleaned)
{
    hc_codes *from = &cleaner->fixed, *to = &cleaner->text;
    hc_codes *const all[] = {&cleaner->text, &cleaner->fixed,   &cleaner->segment,
                             &cleaner->next, &cleaner->scratch, &cleaner->value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) all[i]->failed = 0;

    to->n = 0;
    hc_push_utf8(to, text, length);
    if (!to->failed) fix_text(cleaner);
    if (to->failed || from->failed) return HC_OUT_OF_MEMORY;

    for (int twice = 0; twice < 2; twice++) {
        to->n = 0;
        const hc_status status = hc_unescape(cleaner->entities, from->at, from->n, to);
        if (status) return status;
        hc_codes *swap = from;
        from = to;
        to = swap;
    }
    if (cleaner->mode == HC_CLEAN_CANONICALIZE) remove_punctuation(from);
    if (cleaner->mode != HC_CLEAN_WHITESPACE) {
        lower(cleaner->unicode, from, to);
        from = to;
    }
    *cleaned = from;
    return from->failed ? HC_OUT_OF_MEMORY : HC_OK;
}
