/* checkpoint.c: what a file holds, for JavaScript that has read its directory. */
#include "checkpoint.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* Of a directory as hc_loader_directory takes it. NULL if it is none, or when memory is exhausted. */
EXPORT(hc_wasm_checkpoint_new) hc_wasm_checkpoint *hc_wasm_checkpoint_new(const char *directory, size_t length)
{
    hc_problem problem = {.status = HC_OK};
    hc_wasm_checkpoint *checkpoint = hc_allocate_zeros(sizeof *checkpoint + (uint64_t)length, 1);
    if (!checkpoint) return NULL;
    memcpy(checkpoint->text, directory, length);
    if (hc_safetensors_parse_directory(&checkpoint->file, checkpoint->text, length, &problem) != HC_OK) {
        free(checkpoint);
        return NULL;
    }
    hc_family_match_all(&checkpoint->file, checkpoint->matches);
    return checkpoint;
}

EXPORT(hc_wasm_checkpoint_free) void hc_wasm_checkpoint_free(hc_wasm_checkpoint *checkpoint)
{
    hc_safetensors_free(&checkpoint->file);
    free(checkpoint);
}

/* What says that its towers were trained with QuickGELU; NULL if nothing does. */
EXPORT(hc_wasm_checkpoint_quick_gelu) const char *hc_wasm_checkpoint_quick_gelu(const hc_wasm_checkpoint *checkpoint)
{
    return hc_family_quick_gelu(&checkpoint->file, 0);
}

/* The tower that a tensor of it belongs to; -1: neither. */
EXPORT(hc_wasm_checkpoint_tower) int hc_wasm_checkpoint_tower(const hc_wasm_checkpoint *checkpoint, const char *name)
{
    const hc_file_tensor *tensor = hc_safetensors_find(&checkpoint->file, name);
    return tensor ? hc_family_tower_of(checkpoint->matches, &tensor->name) : -1;
}
