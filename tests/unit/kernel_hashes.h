/* kernel_hashes.h: FNV-1a of the outputs of tests/unit/test_kernels.c, one a kernel. They are the same for every compiler, machine and flavour. Changing the
 * order of a kernel's operations changes its hash: the failing test prints the new one. */
#ifndef KERNEL_HASHES_H
#define KERNEL_HASHES_H

#include <stdint.h>

typedef enum hashed {
    HASH_GEMM_F32, HASH_GEMM_F16, HASH_GEMM_I8, HASH_GEMM_I4, HASH_LAYER_NORM, HASH_QUANTISE, HASH_NORMALISE, HASH_ATTENTION, HASH_EXP, HASH_ACTIVATE, HASHES
} hashed;

static const struct { const char *name; uint32_t hash; } KERNEL_HASHES[HASHES] = {
    [HASH_GEMM_F32] = {"hc_gemm_f32 of fp32", 0x2da0213b},
    [HASH_GEMM_F16] = {"hc_gemm_f32 of fp16", 0xb9e95149},
    [HASH_GEMM_I8] = {"hc_gemm_i8", 0x851318ba},
    [HASH_GEMM_I4] = {"hc_gemm_i4", 0xe920e0af},
    [HASH_LAYER_NORM] = {"hc_layer_norm", 0x47dfaa89},
    [HASH_QUANTISE] = {"hc_quantise_rows", 0x6bbbd5dd},
    [HASH_NORMALISE] = {"hc_normalise", 0x1b7bb30a},
    [HASH_ATTENTION] = {"hc_attention_head", 0xeecd8e22},
    [HASH_EXP] = {"hc_expf", 0xb51308b9},
    [HASH_ACTIVATE] = {"hc_activate", 0x1065ab89},
};

#endif
