/* stored.h: how a tensor is held at a dtype, in memory and in a shard. */
#ifndef HC_STORED_H
#define HC_STORED_H

#include "checkpoint/safetensors.h"
#include "tower/network.h"

/* How the vocabulary of a text shard is called: CLIP's merges, or any other tokenizer, which begins with this mark and
 * is JavaScript's to read (web/text). */
#define HC_VOCABULARY_MERGES    "halfclip.merges"
#define HC_VOCABULARY_TOKENIZER "halfclip.tokenizer"
#define HC_VOCABULARY_MARK      "HCTOKEN1"

/* HC_STORE_F32 for what is no matrix and no table. */
hc_storage hc_stored_as(const hc_tensor *tensor, hc_dtype dtype);

/* The output channels of a matrix or rows of a table, and the numbers of one; of floats 1 and all. */
typedef struct hc_extent {
    uint64_t rows, k;
} hc_extent;

hc_extent hc_stored_extent(const hc_tensor *tensor);

/* A tensor of a shard: the values of one of the tower's, or their scales. */
typedef struct hc_stored_part {
    const char *ending; /* of its name: "" or ".scale" */
    hc_element element;
    int rank;
    uint32_t shape[HC_MOST_RANK];
} hc_stored_part;

/* What a shard holds of a tensor at a storage: its values, and where they are quantised their scales. Returns how many
 * parts these are. At fp32 and fp16 they are the checkpoint's own, else in the kernels' order. */
int hc_stored_parts(const hc_tensor *tensor, hc_storage storage, hc_stored_part parts[2]);

/* Where such a part lies in memory, if the tensor is held so: bytes as the shard has them. NULL for those of which the
 * kernels' order is another. */
void *hc_stored_at(const hc_tensor *tensor, const hc_stored_part *part);

/* Gives the tensor its place in `base`, from *at on, which it moves on; with base NULL only counts. */
void hc_stored_place(hc_tensor *tensor, hc_storage storage, uint8_t *base, uint64_t *at);

#endif
