/* fuzz_pickle.c: any bytes as a pickle. What is read lies within its storages, under names that are sorted and no two
 * of which are the same. */
#include "checkpoint/pickle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    hc_pickle pickle;
    hc_problem problem = {0};
    int read = hc_pickle_read(&pickle, input, size, &problem);
    require(read ? problem.status == HC_OK && pickle.count > 0
                 : problem.status == HC_WEIGHTS_FORMAT && *problem.message);
    for (size_t i = 0; read && i < pickle.count; i++) {
        const hc_pickle_tensor *t = &pickle.tensors[i], *before = i ? t - 1 : NULL;
        require(t->begin <= t->end && t->end <= t->storage_size && t->rank >= 0 && t->rank <= HC_PICKLE_MAX_RANK &&
                *t->dtype);
        require((const uint8_t *)t->storage >= input &&
                (const uint8_t *)t->storage + t->storage_length <= input + size);
        require(t->name_length <= HC_PICKLE_MAX_NAME);
        if (!before) continue;
        size_t shorter = before->name_length < t->name_length ? before->name_length : t->name_length;
        int order = memcmp(before->name, t->name, shorter);
        require(order < 0 || (order == 0 && before->name_length < t->name_length));
    }
    hc_pickle_free(&pickle);
    return 0;
}
