/* layout.h: how each family of checkpoints names and stores what OpenCLIP's `CLIP` class names (see hc_tower_tensors).
 * A new family is one more row of the table in layout.c. */
#ifndef HC_LAYOUT_H
#define HC_LAYOUT_H

#include "checkpoint/safetensors.h"
#include "tower/tower.h"

typedef struct hc_layout hc_layout;

enum { HC_LAYOUT_NAME = 192, HC_LAYOUT_PARTS = 3 };

/* A layout as found in a file: with what is before every name ("module." and the like). */
typedef struct hc_layout_match {
    const hc_layout *layout;   /* NULL: the file holds no such tower */
    const char *outer, *inner; /* prefixes, one after the other      */
} hc_layout_match;

/* The layout under which the file has most of the tower's first tensors. */
hc_layout_match hc_layout_find(const hc_safetensors *file, hc_tower tower, const hc_tensor *tensors, size_t count);

/* Under which names the file has a tensor: 1, or 3 if it has q, k and v apart, stacked by rows. Also whether a
 * projection is stored [n, k], as nn.Linear has it, and not [k, n]. */
int hc_layout_names(const hc_layout_match *match, const char *canonical, char names[HC_LAYOUT_PARTS][HC_LAYOUT_NAME],
                    int *linear);

/* Whether a tensor that the config does not ask for belongs to the tower all the same. */
int hc_layout_owns(const hc_layout_match *match, const hc_json *name);

/* What in a file says that its towers were trained with QuickGELU, as a noun phrase; NULL if nothing does. The shapes
 * cannot: GELU has the same. */
const char *hc_layout_quick_gelu(const hc_safetensors *file);

/* What a file without the tower seems to hold, as a noun phrase. */
void hc_layout_describe(const hc_safetensors *file, hc_tower asked, char *out, size_t size);

#endif
