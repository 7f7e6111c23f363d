/* loader.h: what plan.c and loader.c share: a load under way. */
#ifndef HC_LOADER_H
#define HC_LOADER_H

#include "load/layout.h"
#include "checkpoint/safetensors.h"
#include "base/text_format.h"
#include "tower/tower.h"

/* Where an item's values go. */
typedef enum hc_target {
    TO_VECTOR,    /* floats, one by one                                               */
    TO_ROWS,      /* output channels of a matrix                                      */
    TO_COLUMNS,   /* its input channels                                               */
    TO_TABLE,     /* rows of a table                                                  */
    TO_QUANTISED, /* bytes of a matrix or table that is quantised already, in a shard */
    TO_SCALES,    /* its scales                                                       */
    TO_VOCABULARY
} hc_target;

typedef struct hc_item hc_item;
struct hc_item {
    const hc_tensor *tensor;   /* NULL for the vocabulary                          */
    char name[HC_LAYOUT_NAME]; /* in the file                                      */
    hc_target target;
    hc_element element;
    uint64_t begin, at, end;  /* in the file; `at` is the next byte that is awaited */
    uint64_t reach;           /* where the last of this item and those before it ends */
    size_t unit_values, unit; /* values and bytes that can only be taken together */
    size_t done;              /* units taken                                      */
    int first;                /* row of the tensor where the item starts          */
    int nonzero;
    int strided; /* its rank if it has strides, in elements: then all of [begin, end) is held in `span` until it has
                    come, and put in order */
    uint32_t shape[4];
    uint64_t strides[4];
    uint8_t *span;
    uint8_t *cut; /* a unit of which `cut_bytes` have come            */
    size_t cut_bytes;
    int waiting;     /* has come whole, and is not taken whole           */
    int has_partner; /* quantised values and their scales: `partner` is the other one's position */
    size_t partner;
    uint8_t *place; /* where they go as they are: the tower's own memory if it holds them so, */
    int owns_place; /* else memory of the item's until both have come   */
};

struct hc_loader {
    hc_tower tower;
    hc_dtype dtype;
    int threads;
    hc_status status;
    char message[512];
    char *config; /* as given, or NULL                                */
    size_t config_length;
    uint64_t file_size, header_need, described_size;
    int file_size_known;
    hc_encoder *encoder;
    hc_tensor *tensors;
    size_t tensor_count;
    hc_item *items; /* in file order once planned                       */
    size_t item_count;
    size_t waiting; /* items that have come whole and are not taken whole */
    size_t settled; /* units or rows that are, of the first of them     */
    hc_range *ranges;
    size_t range_count;
    float *row; /* the longest unit, as floats                      */
};

#define FAIL(loader, code, ...)                                                 \
    do {                                                                        \
        if ((loader)->status == HC_OK) {                                        \
            (loader)->status = (code);                                          \
            hc_format((loader)->message, sizeof(loader)->message, __VA_ARGS__); \
        }                                                                       \
    } while (0)

/* Zeroed memory, at least a byte; NULL and a failure that says `what` it was for if there is none. */
void *hc_loader_allocate(hc_loader *loader, uint64_t count, size_t size, const char *what);

/* Bytes of an item's values, which those of the file that they are made of may be more than, or less. */
uint64_t hc_item_bytes(const hc_item *item);

/* How messages and shards call a tower. */
const char *hc_tower_name(hc_tower tower);

/* How a tensor is stored at the loader's dtype. */
hc_storage hc_loader_storage(const hc_loader *loader, hc_role role);

/* Reads what a shard says about itself, makes the encoder's config, finds every tensor of the tower in the file and
 * checks its shape, and allocates the encoder. Failures are the loader's. */
void hc_plan(hc_loader *loader, const hc_safetensors *file);

#endif
