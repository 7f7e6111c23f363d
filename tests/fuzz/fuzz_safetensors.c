/* fuzz_safetensors.c: any bytes as a header. What is accepted has no gaps, no overlaps, no name twice, and is found by
 * its names. */
#include "checkpoint/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_safetensors file;
    hc_problem problem = {.status = HC_OK};
    char name[256];
    uint32_t shape[HC_MOST_RANK];
    uint8_t *exact = malloc(size + !size);
    memcpy(exact, data, size);
    hc_safetensors_guess(exact, size);
    hc_status status = hc_safetensors_parse(&file, (const char *)exact, size, &problem);
    if (status == HC_OK) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < file.count; i++) {
            const hc_file_tensor *t = &file.tensors[i];
            if (t->begin > t->end || t->begin < 8 + size || t->end > file.file_size) abort();
            bytes += t->end - t->begin;
            hc_safetensors_shape(t, shape);
            size_t length = hc_json_string(&t->name, name, sizeof name);
            if (length < sizeof name && strlen(name) == length && hc_safetensors_find(&file, name) != t) abort();
        }
        if (8 + size + bytes != file.file_size) abort();
        hc_safetensors_free(&file);
    } else if (status != HC_WEIGHTS_FORMAT || !memchr(problem.message, '\0', sizeof problem.message) ||
               !*problem.message) {
        abort();
    }
    free(exact);
    return 0;
}
