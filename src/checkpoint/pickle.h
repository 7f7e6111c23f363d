/* pickle.h: the tensors that a pickle of torch.save or of TorchScript describes, read without running anything.
 *
 * A pickle is a program for a stack machine (Python's pickletools.py documents it) that can name and call any function.
 * This reader knows the opcodes that data needs (protocols 2 to 5) and a closed list of names, those that
 * torch.load(weights_only=True) accepts for dense tensors and plain data; for each it builds the data that a call of
 * the name would have built. Anything else is refused by name. */
#ifndef HC_PICKLE_H
#define HC_PICKLE_H

#include "base/problem.h"

enum { HC_PICKLE_MAX_RANK = 8, HC_PICKLE_MAX_NAME = 511 };

typedef struct hc_pickle_tensor {
    const char *name;    /* keys joined by dots, as in a state dict; UTF-8, not NUL-terminated                  */
    const char *storage; /* the storage's key, not NUL-terminated, in the pickle: its file's name in the archive */
    uint32_t name_length, storage_length;
    const char *dtype;     /* as safetensors writes it, or one of the names that torch.h lists; static              */
    uint64_t storage_size; /* bytes that the pickle says the storage has                                            */
    uint64_t begin, end;   /* bytes in the storage, at most storage_size: of the first element to the last          */
    int rank, contiguous;  /* contiguous: in the order of its shape, without gaps                                   */
    uint64_t shape[HC_PICKLE_MAX_RANK];
    uint64_t strides[HC_PICKLE_MAX_RANK]; /* in elements; 0 where the shape is 1 */
} hc_pickle_tensor;

typedef struct hc_pickle {
    hc_pickle_tensor *tensors; /* sorted by name, no name twice */
    size_t count;
    char *names;
} hc_pickle;

/* Reads the tensors of the state dict that the pickle holds: the outermost dictionary or module, or the one in it under
 * `state_dict`, `model`, `module` or `model_state_dict`. `length` is below 2^32; the bytes must outlive `out`, which is
 * to be freed whatever is returned. Returns 0 after a failure: HC_WEIGHTS_FORMAT with a message that names what was
 * refused, or HC_OUT_OF_MEMORY. Time and memory are linear in `length`, but for sorting the names. */
int hc_pickle_read(hc_pickle *out, const void *bytes, size_t length, hc_problem *problem);

void hc_pickle_free(hc_pickle *pickle);

#endif
