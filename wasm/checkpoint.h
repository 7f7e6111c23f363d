/* checkpoint.h: a file whose directory JavaScript has read. */
#ifndef HC_WASM_CHECKPOINT_H
#define HC_WASM_CHECKPOINT_H

#include "families/family.h"

typedef struct hc_wasm_checkpoint {
    hc_safetensors file;
    hc_names_match matches[HC_MOST_FAMILIES];
    char text[]; /* the directory */
} hc_wasm_checkpoint;

#endif
