/* calibrate.c: hc_calibration for JavaScript: a struct as an array of doubles, and pieces of a shard handed to the one
 * function that a module imports. In a module of its own, with the towers: only the command line calibrates. */
#include "halfclip.h"

#define EXPORT(name) __attribute__((export_name(#name)))

__attribute__((import_module("env"), import_name("write"))) int hc_wasm_import_write(const void *bytes, size_t n);

static int write_out(void *user, const void *bytes, size_t n)
{
    (void)user;
    return hc_wasm_import_write(bytes, n);
}

/* hc_calibration_tensor: its name, and the other fields in their own order. NULL behind the last. */
EXPORT(hc_wasm_calibration_tensor)
const char *hc_wasm_calibration_tensor(const hc_calibration *calibration, size_t index, double out[4])
{
    hc_calibrated tensor;
    if (!hc_calibration_tensor(calibration, index, &tensor)) return NULL;
    out[0] = tensor.bits;
    out[1] = (double)tensor.weights;
    out[2] = (double)tensor.bytes[0];
    out[3] = (double)tensor.bytes[1];
    return tensor.name;
}

EXPORT(hc_wasm_calibration_write)
hc_status hc_wasm_calibration_write(hc_calibration *calibration, const void *vocabulary, size_t vocabulary_length)
{
    return hc_calibration_write(calibration, vocabulary, vocabulary_length, write_out, NULL);
}
