/* torch.c: hc_torch for JavaScript, with 64-bit offsets as doubles. */
#include "checkpoint/torch.h"

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(hc_wasm_torch_new) hc_torch *hc_wasm_torch_new(double file_size) { return hc_torch_new((uint64_t)file_size); }

/* The range that is wanted, as two doubles. */
EXPORT(hc_wasm_torch_want) int hc_wasm_torch_want(const hc_torch *torch, double out[2])
{
    hc_range range;
    if (!hc_torch_want(torch, &range)) return 0;
    out[0] = (double)range.begin;
    out[1] = (double)range.end;
    return 1;
}

EXPORT(hc_wasm_torch_give) hc_status hc_wasm_torch_give(hc_torch *torch, double offset, const void *bytes, size_t n)
{
    return hc_torch_give(torch, (uint64_t)offset, bytes, n);
}

EXPORT(hc_wasm_torch_status) hc_status hc_wasm_torch_status(const hc_torch *torch) { return hc_torch_status(torch); }
EXPORT(hc_wasm_torch_message) const char *hc_wasm_torch_message(const hc_torch *torch)
{
    return hc_torch_message(torch);
}
EXPORT(hc_wasm_torch_header) const char *hc_wasm_torch_header(const hc_torch *torch, size_t *length)
{
    return hc_torch_header(torch, length);
}
EXPORT(hc_wasm_torch_free) void hc_wasm_torch_free(hc_torch *torch) { hc_torch_free(torch); }
