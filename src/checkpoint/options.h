/* options.h: one section of a config (vision_cfg, text_cfg, preprocess_cfg), read as open_clip_torch 3.3.0 reads it.
 * What is not as it has to be is a failure that names the option; after the first nothing counts any more. */
#ifndef HC_OPTIONS_H
#define HC_OPTIONS_H

#include "base/problem.h"
#include "checkpoint/json.h"

typedef struct hc_options {
    hc_json model, section;
    const char *section_name;
    hc_problem *problem;
} hc_options;

/* Bounds far above every known model, within which no count of rows, columns or positions leaves an int. What memory
 * they take is checked where it is planned. */
enum {
    HC_MAX_WIDTH = 1 << 13,
    HC_MAX_MLP_WIDTH = 1 << 16,
    HC_MAX_LAYERS = 1 << 8,
    HC_MAX_SIDE = 1 << 14,
    HC_MAX_PIXELS = 1 << 24,
    HC_MAX_POSITIONS = 1 << 16,
    HC_MAX_VOCABULARY = 1 << 22,
    HC_MAX_MATRIX = 1 << 27,  /* numbers in one matrix                         */
    HC_MAX_TABLE = 0x7FFFFFFF /* in the token table, whose rows are read alone */
};

/* The config's model: model_cfg, or the whole document where it is a bare model config. */
hc_json hc_options_model(const hc_json *document);

/* Refuses members that are not among `keys`, which end with NULL. */
void hc_options_check_keys(hc_options *o, const hc_json *object, const char *name, const char *const *keys);

hc_json hc_option(const hc_options *o, const char *key);
int hc_option_flag(const hc_options *o, const char *key); /* true as in Python */

/* Whether it is there and not null. */
int hc_option_given(const hc_options *o, const char *key);
int hc_option_integer(hc_options *o, const char *key, int fallback, int low, int high);
double hc_option_number(hc_options *o, const char *key, double fallback);

/* The same of a value, which messages call `section` and `key`. */
int hc_option_integer_of(hc_options *o, const char *section, const char *key, const hc_json *value, int low, int high);

/* An integer for both sides, or [height, width]. */
void hc_option_pair(hc_options *o, const char *key, int fallback, int high, int *height, int *width);

/* The integers of an array, of which at most `room` are kept in `values`; each from 1 to `high`. Returns how many there
 * are. */
int hc_option_list(hc_options *o, const char *key, int *values, int room, int high);

/* The index of a string among `choices`, which end with NULL; the first if there is no string. `allowed` says them in
 * the message. */
int hc_option_choice(hc_options *o, const char *key, const char *const *choices, const char *allowed);

#endif
