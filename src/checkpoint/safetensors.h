/* safetensors.h: the header of a .safetensors file, checked as strictly as the reference implementation does
 * (github.com/huggingface/safetensors, Metadata::validate), plus: no name twice. */
#ifndef HC_SAFETENSORS_H
#define HC_SAFETENSORS_H

#include "halfclip.h"
#include "base/problem.h"
#include "base/size.h"
#include "checkpoint/json.h"

/* The types that weights are read from; every other known one is HC_OTHER. */
typedef enum hc_element { HC_OTHER, HC_F64, HC_F32, HC_F16, HC_BF16, HC_I8, HC_U8 } hc_element;

typedef struct hc_file_tensor {
    hc_json name, dtype, shape; /* point into the header */
    hc_json
        strides; /* of a directory's tensor that is not in the order of its shape, see torch.h; else HC_JSON_ABSENT */
    hc_element element;
    uint64_t begin, end; /* in the file           */
    uint64_t hash;       /* of the name           */
    int used;            /* for the caller        */
} hc_file_tensor;

typedef struct hc_safetensors {
    hc_file_tensor *tensors; /* freed by hc_safetensors_free                    */
    size_t count;
    uint32_t *slots; /* a hash table of their names: 1 + index, or 0    */
    uint64_t slot_mask;
    hc_json metadata;   /* an object of strings, or HC_JSON_ABSENT         */
    uint64_t file_size; /* what the header says                            */
} hc_safetensors;

/* Bytes before the header; the longest header that is read; the longest that safetensors itself allows. */
enum { HC_SAFETENSORS_PREFIX = 8, HC_SAFETENSORS_MAX_HEADER = 16 << 20, HC_SAFETENSORS_LARGEST_HEADER = 100000000 };

/* A header's parts, several times what the largest files have: OpenCLIP's have 2,500 tensors in 400 kB. */
enum { HC_SAFETENSORS_MOST_TENSORS = 20000, HC_SAFETENSORS_MOST_METADATA = 10000, HC_SAFETENSORS_MOST_DIMENSIONS = 64 };

/* The header's length in bytes, without the 8 bytes that say it. */
uint64_t hc_safetensors_header_length(const void *prefix);

/* Reads the header, the `length` bytes after the first 8, which must outlive `out`. Returns the status of `problem`, in
 * which nothing has failed before. */
hc_status hc_safetensors_parse(hc_safetensors *out, const char *header, size_t length, hc_problem *problem);

/* The same for a list of what lies where in files of any kind: data_offsets count from the file's start, in any order,
 * holes and overlaps are allowed, and so are dtypes of any name and strides. `file_size` stays 0. */
hc_status hc_safetensors_parse_directory(hc_safetensors *out, const char *directory, size_t length,
                                         hc_problem *problem);

void hc_safetensors_free(hc_safetensors *file);

/* NULL if there is none. */
hc_file_tensor *hc_safetensors_find(const hc_safetensors *file, const char *name);

/* The shape as numbers, of rank at most HC_MOST_RANK; -1 if it has more dimensions or one beyond 32 bits. */
int hc_safetensors_shape(const hc_file_tensor *tensor, uint32_t shape[HC_MOST_RANK]);

/* The strides of a tensor that has them, one for each dimension of its shape, of at most HC_MOST_RANK. */
void hc_safetensors_strides(const hc_file_tensor *tensor, uint64_t strides[HC_MOST_RANK]);

/* What a file that is not safetensors looks like from its first bytes ("an HTML page"), or NULL. */
const char *hc_safetensors_guess(const void *bytes, size_t n);

#endif
