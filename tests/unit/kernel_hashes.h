/* kernel_hashes.h: FNV-1a of the outputs of tests/unit/test_kernels.c, one a kernel. They are the same for every
 * compiler, machine and flavour. Changing the order of a kernel's operations changes its hash: the failing test prints
 * the new one. */
#ifndef KERNEL_HASHES_H
#define KERNEL_HASHES_H

#include <stdint.h>

typedef enum hashed {
    HASH_GEMM_F16,
    HASH_GEMM_I8,
    HASH_GEMM_I4,
    HASH_EPILOGUE,
    HASH_LAYER_NORM,
    HASH_RMS_NORM,
    HASH_SIMPLE_NORM,
    HASH_QUANTISE,
    HASH_OUTLIERS,
    HASH_NORMALISE,
    HASH_ATTENTION,
    HASH_ATTENTION_BIAS,
    HASH_ROTATE,
    HASH_ROTATE_HALVES,
    HASH_DEPTHWISE,
    HASH_RESPONSE,
    HASH_GROUP_NORM,
    HASH_EXP,
    HASH_ACTIVATE,
    HASHES
} hashed;

static const struct {
    const char *name;
    uint32_t hash;
} KERNEL_HASHES[HASHES] = {
    [HASH_GEMM_F16] = {"hc_gemm of fp16, exact", 0x6e8f511d},
    [HASH_GEMM_I8] = {"hc_gemm of int8", 0x04ce3d4a},
    [HASH_GEMM_I4] = {"hc_gemm of int4", 0x02f073f1},
    [HASH_EPILOGUE] = {"hc_gemm with BatchNorm's scale", 0xda6988db},
    [HASH_LAYER_NORM] = {"hc_layer_norm", 0x589ece0c},
    [HASH_RMS_NORM] = {"hc_rms_norm", 0x77e4787b},
    [HASH_SIMPLE_NORM] = {"hc_rms_norm, centred", 0x187e3c49},
    [HASH_QUANTISE] = {"hc_rows_put at 7 bits", 0xa24ca314},
    [HASH_OUTLIERS] = {"hc_rows_put with outliers", 0x97ef02b6},
    [HASH_NORMALISE] = {"hc_normalise", 0xbccac379},
    [HASH_ATTENTION] = {"hc_attention_head, exact", 0xe8379bd4},
    [HASH_ATTENTION_BIAS] = {"hc_attention_head with a bias, exact", 0xd0e985a7},
    [HASH_ROTATE] = {"hc_rotate", 0x0873215c},
    [HASH_ROTATE_HALVES] = {"hc_rotate_halves", 0x526f42cd},
    [HASH_DEPTHWISE] = {"hc_depthwise", 0x991554da},
    [HASH_RESPONSE] = {"hc_response_apply", 0x71921358},
    [HASH_GROUP_NORM] = {"hc_group_apply", 0xfc466995},
    [HASH_EXP] = {"hc_expf", 0x788daab6},
    [HASH_ACTIVATE] = {"hc_activate", 0x7719aab4},
};

#endif
