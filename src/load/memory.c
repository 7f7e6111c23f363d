/* memory.c: the memory of an encoder: packed weights, the arena, threads. */
#include "load/loader.h"

#include "base/size.h"

enum {
    ANY_FILE = 64 << 20, /* bytes of weights, and as many to compute one input, that any file may take … */
    WEIGHTS_A_BYTE = 16, /* … and how many more of each for a byte of its own                            */
    ACTIVATIONS_A_BYTE = 32
};

void *hc_loader_allocate(hc_loader *loader, uint64_t count, size_t size, const char *what)
{
    void *block = hc_allocate_zeros(count, size);
    if (!block)
        hc_fail(&loader->problem, HC_OUT_OF_MEMORY, "out of memory: %m for %s", hc_size_product(count, size), what);
    return block;
}

static void place_fold(hc_fold *fold, uint8_t *base, uint64_t *at)
{
    uint64_t bytes = hc_size_round_up((uint64_t)fold->n, HC_PANEL) * sizeof(float);
    fold->scale = base ? (float *)(void *)(base + (size_t)*at) : NULL;
    fold->shift = base ? (float *)(void *)(base + (size_t)(*at + bytes)) : NULL;
    *at = hc_size_sum(*at, 2 * bytes);
}

/* Lays all packed weights one after the other and returns how many bytes they are; with base NULL only counts. */
static uint64_t place(hc_loader *loader, uint8_t *base)
{
    hc_network *net = &loader->encoder->net;
    uint64_t at = 0;
    for (int i = 1; i < net->tensor_count; i++)
        if (!net->tensors[i].part_of)
            hc_stored_place(&net->tensors[i], hc_stored_as(&net->tensors[i], loader->dtype), base, &at);
    for (int i = 1; i < net->fold_count; i++) place_fold(&net->folds[i], base, &at);
    return at;
}

/* The same for the branches that the file has, until they are summed. */
static uint64_t place_parts(hc_loader *loader, uint8_t *base)
{
    hc_network *net = &loader->encoder->net;
    uint64_t at = 0;
    for (int i = 1; i < net->tensor_count; i++)
        if (net->tensors[net->tensors[i].part_of].is_summed) hc_stored_place(&net->tensors[i], HC_STORE_F32, base, &at);
    return at;
}

/* Bytes of the file that the tower is made of. */
static uint64_t bytes_of_file(const hc_loader *loader)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < loader->item_count; i++)
        bytes = hc_size_sum(bytes, loader->items[i].end - loader->items[i].begin);
    return bytes;
}

/* Chooses the batch and returns the bytes of its arena. A small file must not take the memory of a large one: a few
 * numbers in a config make any tower's arena large, and a view of a few bytes any tensor. */
static uint64_t plan_arena(hc_loader *loader, uint64_t weights, uint64_t parts)
{
    hc_encoder *e = loader->encoder;
    uint64_t file = bytes_of_file(loader), most = hc_size_sum(ANY_FILE, hc_size_product(file, ACTIVATIONS_A_BYTE)),
             bytes;
    uint64_t most_weights = hc_size_sum(ANY_FILE, hc_size_product(file, WEIGHTS_A_BYTE));
    if (hc_size_sum(weights, parts) > most_weights)
        hc_fail(&loader->problem, HC_MODEL_UNSUPPORTED,
                "the weights take %m of memory, expected at most %m for tensors of %m in the file",
                hc_size_sum(weights, parts), most_weights, file);
    hc_arena_find_lives(&e->net);
    e->batch = (hc_batch){1, 1, 1};
    bytes = hc_arena_plan(&e->net, &e->batch);
    if (bytes > most)
        hc_fail(&loader->problem, HC_MODEL_UNSUPPORTED,
                "one input takes %m of memory to compute, expected at most %m for tensors of %m in the file", bytes,
                most, file);
    if (loader->problem.status != HC_OK) return bytes;
    e->batch = hc_arena_batch(&e->net, loader->threads, weights);
    bytes = hc_arena_plan(&e->net, &e->batch);
    if (bytes <= most) return bytes;
    /* Each thread has memory of its own, in proportion to the longest sequence. */
    loader->threads = 1;
    e->batch = hc_arena_batch(&e->net, 1, weights);
    return hc_arena_plan(&e->net, &e->batch);
}

void hc_loader_allocate_encoder(hc_loader *loader)
{
    hc_encoder *e = loader->encoder;
    uint64_t bytes = hc_size_sum(place(loader, NULL), HC_ALIGN), parts = place_parts(loader, NULL),
             arena = plan_arena(loader, bytes, parts), all = hc_size_sum(bytes, arena);
    if (all > HC_SIZE_MOST)
        hc_fail(&loader->problem, HC_OUT_OF_MEMORY,
                "the tower needs %m of memory (%m of weights, %m to compute), expected at most %m", all, bytes, arena,
                HC_SIZE_MOST);
    if (loader->problem.status != HC_OK) return;
    e->packed = hc_loader_allocate(loader, bytes, 1, "the weights");
    if (!e->packed) return;
    e->packed_bytes = (size_t)bytes;
    /* malloc of some WebAssembly libraries aligns to 8 only. */
    place(loader, (uint8_t *)e->packed + (HC_ALIGN - (uintptr_t)e->packed % HC_ALIGN) % HC_ALIGN);
    if (parts) loader->parts = hc_loader_allocate(loader, parts, 1, "branches of convolutions");
    if (loader->parts) place_parts(loader, loader->parts);
    e->arena_bytes = (size_t)arena;
    e->arena = hc_loader_allocate(loader, arena, 1, "activations");
    if (!e->arena || loader->threads == 1) return;
    e->threads = hc_threads_new(loader->threads);
    if (!e->threads)
        hc_fail(&loader->problem, HC_OUT_OF_MEMORY, "no memory left for %u threads", (uint64_t)loader->threads);
}
