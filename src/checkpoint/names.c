/* names.c: from OpenCLIP's names to a file's. */
#include "checkpoint/names.h"

#include "base/text_format.h"

#include <string.h>

const char *const HC_PREFIXES[HC_PREFIX_COUNT] = {"", "module.", "clip.", "model.", "_orig_mod."};

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Where '#' and '*' lie in a name, if it fits the pattern. */
static int fits(const char *pattern, const char *name, const char **number, const char **rest)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            *rest = name;
            return 1;
        }
        if (*pattern == '#') {
            *number = name;
            if (!is_digit(*name)) return 0;
            while (is_digit(*name)) name++;
        } else if (*pattern != *name++) {
            return 0;
        }
    }
    return !*name;
}

static void append(char *out, size_t *length, const char *text, size_t n)
{
    if (n > HC_NAME_LENGTH - 1 - *length) n = HC_NAME_LENGTH - 1 - *length;
    memcpy(out + *length, text, n);
    *length += n;
    out[*length] = '\0';
}

/* Each `ours` in a name becomes `theirs`, which is no part of it. */
static void replace(char *name, const char *ours, const char *theirs)
{
    char result[HC_NAME_LENGTH] = "";
    size_t length = 0, n = strlen(ours);
    for (const char *p = name; *p;) {
        int found = !strncmp(p, ours, n);
        append(result, &length, found ? theirs : p, found ? strlen(theirs) : 1);
        p += found ? n : 1;
    }
    memcpy(name, result, length + 1);
}

int hc_names_of(const hc_names_match *match, const char *canonical, char names[HC_NAME_PARTS][HC_NAME_LENGTH],
                const hc_name_rule **rule)
{
    const char *number = "", *rest = "", *prefix = match->names->prefix ? match->names->prefix : "";
    const hc_name_rule *r = match->names->rules;
    while (r->canonical && !fits(r->canonical, canonical, &number, &rest)) r++;

    /* What a family has no rule for it does not have; its own name then says what is missing. */
    const char *pattern = r->canonical ? r->file : canonical;
    int parts = !*pattern ? 0 : memchr(pattern, '@', strlen(pattern)) ? HC_NAME_PARTS : 1;
    size_t digits = 0;
    while (is_digit(number[digits])) digits++;
    *rule = r;
    for (int part = 0; part < parts; part++) {
        size_t length = 0;
        append(names[part], &length, match->outer, strlen(match->outer));
        append(names[part], &length, match->inner, strlen(match->inner));
        append(names[part], &length, prefix, strlen(prefix));
        for (const char *p = pattern; *p; p++) {
            if (*p == '*') append(names[part], &length, rest, strlen(rest));
            else if (*p == '#') append(names[part], &length, number, digits);
            else append(names[part], &length, *p == '@' ? &"qkv"[part] : p, 1);
        }
        for (const char *const(*piece)[2] = match->names->pieces; piece && **piece; piece++)
            replace(names[part], (*piece)[0], (*piece)[1]);
    }
    return parts;
}

/* ---- finding ------------------------------------------------------------------------------------------------------
 */

static int holds(const hc_safetensors *file, const hc_names_match *match, const char *canonical)
{
    char names[HC_NAME_PARTS][HC_NAME_LENGTH];
    const hc_name_rule *rule;
    if (!canonical) return 0;
    return hc_names_of(match, canonical, names, &rule) && hc_safetensors_find(file, names[0]) != NULL;
}

/* Enough of a tower's tensors to tell namings apart. */
enum { SAMPLE = 256 };

hc_names_match hc_names_find(const hc_safetensors *file, const hc_names *names, size_t name_count, const char *first,
                             size_t stride, size_t count)
{
    hc_names_match best = {NULL, "", ""};
    size_t most = 0;
    for (size_t i = 0; i < name_count * HC_PREFIX_COUNT * HC_PREFIX_COUNT; i++) {
        hc_names_match match = {&names[i % name_count], HC_PREFIXES[i / name_count % HC_PREFIX_COUNT],
                                HC_PREFIXES[i / name_count / HC_PREFIX_COUNT]};
        if (!holds(file, &match, match.names->anchors[0]) && !holds(file, &match, match.names->anchors[1])) continue;
        size_t found = 1;
        for (size_t t = 0; t < count && t < SAMPLE; t++) found += (size_t)holds(file, &match, first + t * stride);
        if (found > most) {
            most = found;
            best = match;
        }
    }
    return best;
}

static int begins(const hc_json *name, const char *outer, const char *inner, const char *beginning)
{
    const char *const parts[] = {outer, inner, beginning};
    return hc_json_begins(name, parts, 3);
}

/* Names as they stand in the file, in quotes. */
int hc_names_ends(const hc_json *name, const char *ending)
{
    size_t length = strlen(ending);
    return name->length > length + 1 && !memcmp(name->text + name->length - 1 - length, ending, length);
}

/* Buffers that are no weights. */
static int is_buffer(const hc_json *name)
{
    return hc_names_ends(name, "position_ids") || hc_names_ends(name, "attn_mask");
}

int hc_names_own(const hc_names_match *match, const hc_json *name)
{
    if (is_buffer(name)) return 0;
    for (const char *const *unused = match->names->unused; *unused; unused++)
        if (hc_names_ends(name, *unused)) return 0;
    for (const char *const *owned = match->names->owned; *owned; owned++)
        if (begins(name, match->outer, match->inner, *owned)) return 1;
    return 0;
}

const hc_file_tensor *hc_names_get(const hc_safetensors *file, const char *outer, const char *inner, const char *name)
{
    char full[HC_NAME_LENGTH];
    hc_format(full, sizeof full, "%s%s%s", outer, inner, name);
    return hc_safetensors_find(file, full);
}

int hc_names_begin(const hc_safetensors *file, const char *beginning)
{
    for (size_t t = 0; t < file->count; t++)
        if (begins(&file->tensors[t].name, "", "", beginning)) return 1;
    return 0;
}
