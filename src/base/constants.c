/* constants.c: names of the interface's constants: the stable codes that callers match on, towers, dtypes. */
#include "base/constants.h"

const char *hc_status_code(hc_status status)
{
    switch (status) {
    case HC_OK: return "";
    case HC_MODEL_UNSUPPORTED: return "model/unsupported";
    case HC_MODEL_CONFIG: return "model/unknown";
    case HC_WEIGHTS_FORMAT: return "weights/format";
    case HC_WEIGHTS_TRUNCATED: return "weights/truncated";
    case HC_WEIGHTS_CORRUPT: return "weights/corrupt";
    case HC_WEIGHTS_MISMATCH: return "weights/mismatch";
    case HC_INPUT_TYPE: return "input/type";
    case HC_INPUT_SIZE: return "input/size";
    case HC_INPUT_DECODE: return "input/decode";
    case HC_OUT_OF_MEMORY: return "memory/exhausted";
    }
    return "";
}

const char *hc_tower_name(hc_tower tower) { return tower == HC_IMAGE ? "image" : tower == HC_TEXT ? "text" : "video"; }

const char *hc_dtype_name(hc_dtype dtype)
{
    static const char *const names[] = {"", "fp32", "fp16", "int8", "int4"};
    return names[dtype];
}
