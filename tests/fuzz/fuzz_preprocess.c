/* fuzz_preprocess.c: hc_preprocess of any picture and any settings stays within its memory and makes pixels of bytes. */
#include "../../src/halfclip.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static int side(const uint8_t *p)
{
    int n = p[0] | p[1] << 8;
    /* Mostly small, where the edges are; sometimes the whole range and beyond it. */
    return n & 0x8000 ? n % 20010 : n % 70;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 14)
        return 0;
    const int width = side(input), height = side(input + 2), channels = input[4] % 4 + 2;
    const hc_preprocess_cfg cfg = {.height = input[5], .width = input[12] & 1 ? input[5] : input[6], .std = {1, 1, 1},
                                   .interpolation = (hc_filter)(input[7] % 3), .resize_mode = (hc_resize_mode)(input[8] % 3),
                                   .fill_color = input[9]};
    const size_t bytes = (size_t)width * (size_t)height * (size_t)channels, area = (size_t)cfg.height * (size_t)cfg.width;
    if (bytes > 1 << 20)
        return 0;

    uint8_t *data = malloc(bytes ? bytes : 1);
    float *out = malloc(area ? area * 3 * sizeof *out : 1);
    if (!data || !out)
        abort();
    for (size_t i = 0; i < bytes; i++)
        data[i] = input[10 + i % (size - 10)];
    memset(out, 0xff, area * 3 * sizeof *out); /* NaN, which fails below if it stays */
    hc_status status = hc_preprocess(&cfg, data, width, height, channels, out);

    const int valid = width >= 1 && height >= 1 && width <= 20000 && height <= 20000 && (channels == 3 || channels == 4) && area;
    if ((status == HC_OK) != valid)
        abort();
    for (size_t i = 0; i < area * 3 && valid; i++)
        if (!(out[i] >= 0 && out[i] <= 1))
            abort();
    free(out);
    free(data);
    return 0;
}
