/* options.c: options of a section, checked. */
#include "checkpoint/options.h"

#include <math.h>

hc_json hc_options_model(const hc_json *document)
{
    hc_json model = hc_json_get(document, "model_cfg");
    return model.type == HC_JSON_ABSENT ? *document : model;
}

static int known(const char *const *keys, const hc_json *key)
{
    for (; *keys; keys++)
        if (hc_json_is(key, *keys)) return 1;
    return 0;
}

void hc_options_check_keys(hc_options *o, const hc_json *object, const char *name, const char *const *keys)
{
    const char *cursor = NULL;
    hc_json key, value;
    while (hc_json_next(object, &cursor, &key, &value))
        if (!known(keys, &key))
            hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.%t is no option of OpenCLIP 3.3.0", name, key.text + 1,
                    key.length - 2);
}

/* ---- options of a section -----------------------------------------------------------------------------------------
 */

hc_json hc_option(const hc_options *o, const char *key) { return hc_json_get(&o->section, key); }

int hc_option_flag(const hc_options *o, const char *key)
{
    hc_json value = hc_option(o, key);
    return hc_json_truthy(&value);
}

int hc_option_given(const hc_options *o, const char *key)
{
    hc_json value = hc_option(o, key);
    return value.type != HC_JSON_ABSENT && value.type != HC_JSON_NULL;
}

int hc_option_integer_of(hc_options *o, const char *section, const char *key, const hc_json *value, int low, int high)
{
    double number = hc_json_number(value);
    if (value->type != HC_JSON_NUMBER || number != floor(number)) {
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s%s is %t, expected an integer", section, key, value->text,
                value->length);
        return low;
    }
    if (!(number >= low && number <= high)) {
        hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s%s is %t, expected %d to %d", section, key, value->text,
                value->length, low, high);
        return low;
    }
    return (int)number;
}

int hc_option_integer(hc_options *o, const char *key, int fallback, int low, int high)
{
    hc_json value = hc_option(o, key);
    if (value.type == HC_JSON_ABSENT) return fallback;
    char name[48];
    hc_format(name, sizeof name, "%s.", o->section_name);
    return hc_option_integer_of(o, name, key, &value, low, high);
}

double hc_option_number(hc_options *o, const char *key, double fallback)
{
    hc_json value = hc_option(o, key);
    if (value.type == HC_JSON_ABSENT) return fallback;
    if (value.type != HC_JSON_NUMBER)
        hc_fail(o->problem, HC_MODEL_CONFIG, "%s.%s is %t, expected a number", o->section_name, key, value.text,
                value.length);
    return hc_json_number(&value);
}

int hc_option_list(hc_options *o, const char *key, int *values, int room, int high)
{
    hc_json list = hc_option(o, key), value;
    const char *cursor = NULL;
    char section[48];
    int count = 0;
    hc_format(section, sizeof section, "%s.", o->section_name);
    for (; list.type == HC_JSON_ARRAY && hc_json_next(&list, &cursor, NULL, &value); count++)
        if (count < room) values[count] = hc_option_integer_of(o, section, key, &value, 1, high);
    return count;
}

/* An integer for both sides, or [height, width]. */
void hc_option_pair(hc_options *o, const char *key, int fallback, int high, int *height, int *width)
{
    hc_json value = hc_option(o, key), side;
    *height = *width = fallback;
    if (value.type != HC_JSON_ARRAY) {
        *height = *width = hc_option_integer(o, key, fallback, 1, high);
        return;
    }
    const char *cursor = NULL;
    int count = 0;
    while (hc_json_next(&value, &cursor, NULL, &side)) {
        int n = hc_option_integer_of(o, "vision_cfg.", key, &side, 1, high);
        if (count == 0) *height = n;
        if (count == 1) *width = n;
        count++;
    }
    if (count != 2)
        hc_fail(o->problem, HC_MODEL_CONFIG, "vision_cfg.%s is %t, expected an integer or [height, width]", key,
                value.text, value.length);
}

/* The index of a string among `choices`, which end with NULL; the first if there is no string. `allowed` says them in
 * the message. */
int hc_option_choice(hc_options *o, const char *key, const char *const *choices, const char *allowed)
{
    hc_json value = hc_option(o, key);
    if (value.type == HC_JSON_ABSENT) return 0;
    for (int i = 0; choices[i]; i++)
        if (hc_json_is(&value, choices[i])) return i;
    hc_fail(o->problem, HC_MODEL_UNSUPPORTED, "%s.%s is %t, expected %s", o->section_name, key, value.text,
            value.length, allowed);
    return 0;
}
