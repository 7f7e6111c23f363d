/* loader.h: a load under way, and what the files of this room do of it. */
#ifndef HC_LOADER_H
#define HC_LOADER_H

#include "base/problem.h"
#include "checkpoint/safetensors.h"
#include "families/family.h"
#include "load/stored.h"
#include "tower/encoder.h"

/* Where an item's values go. */
typedef enum hc_target {
    TO_FLOATS,    /* one by one                                                       */
    TO_ROWS,      /* output channels of a matrix                                      */
    TO_COLUMNS,   /* its input channels                                               */
    TO_TABLE,     /* rows of a table                                                  */
    TO_QUANTISED, /* bytes of a matrix or table that is quantised already, in a shard */
    TO_SCALES,    /* its scales                                                       */
    TO_PLACES,    /* positions of another grid or length, which are to be resized     */
    TO_VOCABULARY
} hc_target;

typedef struct hc_item {
    hc_tensor *tensor;         /* NULL for the vocabulary                          */
    char name[HC_NAME_LENGTH]; /* in the file                                      */
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
    uint32_t shape[HC_MOST_RANK];
    uint64_t strides[HC_MOST_RANK];
    int is_held; /* all of it is, until something else has come (normed.c) */
    uint8_t *span;
    hc_places from; /* what the file has them for, and all of them (TO_PLACES) */
    float *places;
    uint8_t *cut; /* a unit of which `cut_bytes` have come            */
    size_t cut_bytes;
    int waiting;     /* has come whole, and is not taken whole           */
    int has_partner; /* quantised values and their scales: `partner` is the other one's position */
    size_t partner;
    uint8_t *place; /* where they go as they are: the tower's own memory if it holds them so, */
    int owns_place; /* else memory of the item's until both have come   */
} hc_item;

struct hc_loader {
    hc_tower tower;
    hc_dtype dtype;
    hc_dtype held; /* of the shard that the file is; HC_AUTO: it is none */
    int threads;
    hc_problem problem;
    char *config; /* as given, or NULL                                */
    size_t config_length;
    int image_height, image_width; /* that were asked for, in place of the config's; or 0 */
    hc_temporal temporal;          /* that was asked for */
    hc_video video;                /* what the file knows of videos */
    hc_network net; /* of that config; the encoder's once there is one, unless that has another size of pictures */
    const hc_family *family;
    uint64_t file_size, header_need, described_size;
    int file_size_known;
    hc_encoder *encoder;
    hc_item *items; /* in file order once planned                       */
    size_t item_count;
    size_t waiting; /* items that have come whole and are not taken whole */
    size_t settled; /* units or rows that are, of the first of them     */
    uint8_t *parts; /* tensors of branches that are to be summed, as floats */
    hc_range *ranges;
    size_t range_count;
    float *counts; /* what channels count that a matrix in int4 is multiplied with, `counted` (normed.c)  */
    const hc_tensor *counted;
    int is_counted; /* else each as much */
    float **taken;  /* of each such tensor, if any of it has come, what rounding took from each row's mean */
    float *row;     /* the longest unit, as floats, twice               */
    size_t row_length;
};

/* Zeroed memory, at least a byte; NULL and a failure that says `what` it was for if there is none. */
void *hc_loader_allocate(hc_loader *loader, uint64_t count, size_t size, const char *what);

/* Bytes of an item's values, which those of the file that they are made of may be more than, or less. */
uint64_t hc_item_bytes(const hc_item *item);

/* plan.c: reads what a shard says about itself, makes the encoder, finds every tensor of the tower in the file and
 * checks its shape. Failures are the loader's. */
void hc_plan(hc_loader *loader, const hc_safetensors *file);

/* config.c: {"model_cfg", "preprocess_cfg", "tokenizer"}: the given config first, then what a shard's metadata adds.
 * *settled: whether the model says more than the one that was given: the activation, which the file knows. */
char *hc_loader_config(hc_loader *loader, const hc_safetensors *file, int *settled);
/* Puts a size of pictures into the config in force, which is allocated anew; where it has one, only if it is `asked`
 * for. */
void hc_loader_config_size(hc_loader *loader, char **config, int height, int width, int asked);
/* Puts the windows into it that a tower cuts its grids into at the size that was asked for. */
void hc_loader_config_windows(hc_loader *loader, char **config);
void hc_loader_read_metadata(hc_loader *loader, const hc_json *metadata);

/* tower.c: the network of the loader's encoder, and its config. */
void hc_loader_make_tower(hc_loader *loader, const hc_safetensors *file);

/* memory.c: places for the encoder's weights and its arena, once the items are known, and threads. */
void hc_loader_allocate_encoder(hc_loader *loader);

/* units.c: takes whole units of an item in order. */
void hc_loader_take(hc_loader *loader, hc_item *item, const uint8_t *bytes, size_t units);

/* Converts numbers of an item to floats and checks them. 0 after a failure. */
int hc_loader_convert(hc_loader *loader, hc_item *item, const uint8_t *bytes, float *to, size_t values);

/* Whether weights whose largest has these bits fit the storage: halves, or int4 with its scales in halves. 0 and a
 * failure, which calls the tensor by this name, if not. */
int hc_loader_fits_half(hc_loader *loader, const hc_tensor *tensor, const char *name, uint32_t largest);

/* Puts loader->row, an output channel as the file has it, in its place in a matrix. */
void hc_loader_pack_row(hc_loader *loader, hc_tensor *tensor, int row);

/* combine.c: when all has come, BatchNorms become a scale and a shift, and branches one convolution. */
void hc_loader_combine(hc_loader *loader);

/* pending.c: an item has come whole; something of it is left to do. */
void hc_loader_complete(hc_loader *loader, hc_item *item);
void hc_loader_defer(hc_loader *loader, hc_item *item);

#endif
