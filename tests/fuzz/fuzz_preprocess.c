/* fuzz_preprocess.c: any picture under any settings stays within its memory and makes pixels of bytes. */
#include "halfclip.h"

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
    if (size < 14) return 0;
    static const size_t pixel_bytes[] = {3, 4, 1, 4, 1};
    hc_picture picture = {.width = side(input),
                          .height = side(input + 2),
                          .mode = (hc_mode)(input[4] % 5),
                          .orientation = input[13] % 10};
    const hc_preprocess_cfg cfg = {.height = input[5],
                                   .width = input[12] & 1 ? input[5] : input[6],
                                   .std = {1, 1, 1},
                                   .interpolation = (hc_filter)(input[7] % 3),
                                   .resize_mode = (hc_resize_mode)(input[8] % 3),
                                   .fill_color = input[9]};
    const size_t row = (size_t)picture.width * pixel_bytes[picture.mode], bytes = row * (size_t)picture.height;
    const size_t area = (size_t)cfg.height * (size_t)cfg.width;
    if (bytes > 1 << 20) return 0;

    uint8_t *data = malloc(bytes ? bytes : 1), *palette = malloc(768);
    float *out = malloc(area ? area * 3 * sizeof *out : 1);
    if (!data || !palette || !out) abort();
    for (size_t i = 0; i < bytes; i++) data[i] = input[10 + i % (size - 10)];
    for (size_t i = 0; i < 768; i++) palette[i] = (uint8_t)(i * 7);
    picture.palette = palette;
    memset(out, 0xff, area * 3 * sizeof *out); /* NaN, which fails below if it stays */

    hc_status status;
    hc_preprocessor *p = hc_preprocessor_new(&cfg, &picture, &status);
    const int valid = picture.width >= 1 && picture.height >= 1 && picture.width <= 20000 && picture.height <= 20000 &&
                      picture.mode <= HC_CMYK && picture.orientation >= 1 && picture.orientation <= 8 && area;
    if ((status == HC_OK) != valid || (p != NULL) != valid) abort();
    const int step = 1 + input[11] % 5;
    for (int y = 0; valid && y < picture.height; y += step)
        hc_preprocessor_push(p, data + (size_t)y * row, y + step > picture.height ? picture.height - y : step);
    if (valid && hc_preprocessor_finish(p, out) != HC_OK) abort();
    for (size_t i = 0; i < area * 3 && valid; i++)
        if (!(out[i] >= 0 && out[i] <= 1)) abort();
    hc_preprocessor_free(p);
    free(out);
    free(palette);
    free(data);
    return 0;
}
