/* torch_header.c: the directory that a PyTorch file would begin with, were it safetensors. */
#include "checkpoint/torch_steps.h"

#include "checkpoint/json_writer.h"

#include <stdlib.h>
#include <string.h>

/* Counts what is written, and writes it if there is somewhere to write to. */
typedef struct buffer {
    char *out;
    uint64_t length;
} buffer;

static void take(void *user, const void *bytes, size_t n)
{
    buffer *b = user;
    if (b->out) memcpy(b->out + (size_t)b->length, bytes, n);
    b->length += n;
}

static void put_tensors(buffer *b, const hc_torch *t)
{
    const hc_json_writer w = {take, b};
    for (size_t i = 0; i < t->pickle.count; i++) {
        const hc_pickle_tensor *tensor = &t->pickle.tensors[i];
        uint64_t begin = t->storages[i]->begin;
        hc_json_put(&w, i ? ",\n" : "{");
        hc_json_put_string(&w, tensor->name, tensor->name_length);
        hc_json_put(&w, ":{\"dtype\":\"");
        hc_json_put(&w, tensor->dtype);
        hc_json_put(&w, "\",\"shape\":");
        hc_json_put_numbers(&w, tensor->shape, tensor->rank);
        if (!tensor->contiguous) {
            hc_json_put(&w, ",\"strides\":");
            hc_json_put_numbers(&w, tensor->strides, tensor->rank);
        }
        hc_json_put(&w, ",\"data_offsets\":");
        hc_json_put_numbers(&w, (const uint64_t[]){begin + tensor->begin, begin + tensor->end}, 2);
        hc_json_put(&w, "}");
    }
    hc_json_put(&w, "}");
}

int hc_torch_write_header(hc_torch *t)
{
    buffer b = {0};
    put_tensors(&b, t);
    if (b.length > HC_TORCH_LARGEST)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the PyTorch file's directory has %u bytes, expected at most %u",
                       b.length, (uint64_t)HC_TORCH_LARGEST);
    t->header = malloc((size_t)b.length);
    if (!t->header)
        return hc_fail(&t->problem, HC_OUT_OF_MEMORY, "out of memory for a directory of %u bytes", b.length);
    t->header_length = (size_t)b.length;
    b = (buffer){t->header, 0};
    put_tensors(&b, t);
    hc_torch_forget(t);
    t->step = NULL;
    return 0;
}
