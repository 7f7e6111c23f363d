/* hf_text.h: what OpenCLIP's HFTextEncoder (open_clip/hf_model.py) puts around a text tower of Hugging Face's: the
 * options of text_cfg that say so, pooling, and the projection. Each class of towers has a file of its own. */
#ifndef HC_HF_TEXT_H
#define HC_HF_TEXT_H

#include "checkpoint/names.h"
#include "checkpoint/options.h"
#include "operations/operations.h"

/* hf_model.py's, by what they compute. */
typedef enum hc_hf_pooler {
    HC_HF_MEAN,
    HC_HF_MOST,
    HC_HF_FIRST,      /* cls_last_hidden_state_pooler                              */
    HC_HF_FIRST_DENSE /* cls_pooler: the tower's own pooler, where its class has one */
} hc_hf_pooler;

typedef enum hc_hf_proj { HC_HF_MLP, HC_HF_LINEAR, HC_HF_NONE } hc_hf_proj;

typedef struct hc_hf_text {
    int embed_dim;
    hc_hf_pooler pooler;
    hc_hf_proj proj;
    hc_options config; /* hf_config, the model's config.json; nothing is in it where a name stands for that */
} hc_hf_text;

/* What a row of a table of sizes begins with. */
typedef struct hc_hf_row {
    const char *name, *model_type;
} hc_hf_row;

/* The row that the section stands for: where it brings a config.json the one of its model_type in `defaults`, else the
 * one of hf_model_name in `sizes`; NULL: none. Rows begin with an hc_hf_row and are `stride` bytes apart. A name
 * without an owner may have one of `owners` before it, which end with NULL. */
const void *hc_hf_find(const hc_options *o, const void *defaults, int default_count, const void *sizes, int size_count,
                       size_t stride, const char *const *owners);

/* Reads the section, in which no pooler means `own`. What the class has in its config.json is left to the family, which
 * reads it from t->config. Sets net->text's rows: those of padding are left out. */
void hc_hf_read(hc_options *o, hc_hf_pooler own, hc_hf_text *t, hc_text_rows *rows);

/* A number from 0 to 1, as norms have it. */
float hc_hf_eps(hc_hf_text *t, const char *key, float fallback);

/* One of transformers' activations by name. */
hc_activation hc_hf_activation(hc_hf_text *t, const char *key, hc_activation fallback);
hc_activation hc_hf_activation_of(hc_hf_text *t, const char *key, const hc_json *name);

/* Refuses a decoder, and sizes that no tower may have here: `width` of the rows, `inner` of all heads together, and
 * `table` rows of positions. */
void hc_hf_check(hc_hf_text *t, const hc_text_rows *rows, int width, int inner, int mlp_width, int heads, int table);

/* Whether the first row of the last layer alone counts. */
int hc_hf_picks(const hc_hf_text *t);

/* Names of a shard of this package, and OpenCLIP's. */
extern const hc_name_rule HC_HF_AS_IS[], HC_HF_IN_TEXT[];

/* Those of an encoder that shares its token table with a decoder: of a whole model, and of a file without the shared
 * one.
 */
extern const hc_name_rule HC_HF_SHARED[], HC_HF_ENCODER[];

/* From the last layer's rows, of which hc_hf_picks may have left one, to the result. */
void hc_hf_head(hc_network *net, const hc_hf_text *t, hc_value x);

#endif
