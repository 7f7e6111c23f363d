/* golden.h: files of expected tensors, and how far vectors are from each other. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "checkpoint/safetensors.h"
#include "files.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

/* A file of expected tensors, read whole. */
typedef struct golden {
    char *bytes;
    hc_safetensors header;
} golden;

static inline golden golden_open(const char *path)
{
    golden g;
    hc_problem problem = {.status = HC_OK};
    size_t length;
    g.bytes = read_file(path, &length);
    hc_status status =
        hc_safetensors_parse(&g.header, g.bytes + 8, (size_t)hc_safetensors_header_length(g.bytes), &problem);
    if (status) {
        fprintf(stderr, "%s: %s\n", path, problem.message);
        exit(1);
    }
    return g;
}

static inline void golden_close(golden *g)
{
    hc_safetensors_free(&g->header);
    free(g->bytes);
}

/* The tensor's numbers, four bytes each, F16 widened; to be freed. Ends the test if the file has none of the name. */
static inline void *golden_numbers(const golden *g, const char *name, size_t *count)
{
    const hc_file_tensor *t = hc_safetensors_find(&g->header, name);
    if (!t) {
        fprintf(stderr, "no golden tensor %s\n", name);
        exit(1);
    }
    size_t bytes = (size_t)(t->end - t->begin);
    int half = t->element == HC_F16;
    float *numbers = malloc(half ? 2 * bytes : bytes);
    if (!numbers) exit(1);
    memcpy(numbers, g->bytes + t->begin, bytes);
    *count = half ? bytes / 2 : bytes / 4;
    for (size_t i = *count; half && i--;) {
        uint16_t value;
        memcpy(&value, g->bytes + t->begin + 2 * i, 2);
        numbers[i] = hc_half_to_float(value);
    }
    return numbers;
}

static inline double distance(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

static inline double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

#endif
