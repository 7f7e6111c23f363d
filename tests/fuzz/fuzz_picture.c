/* fuzz_picture.c: any bytes as a picture's file: what it says of itself, and reading it, stay within their memory; what
 * is read becomes pixels of bytes. */
#include "halfclip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static const hc_preprocess_cfg cfg = {.height = 9, .width = 9, .std = {1, 1, 1}};
    float out[3 * 9 * 9];
    hc_picture_info info;
    hc_picture_inspect(input, size, &info);
    if (info.orientation < 1 || info.orientation > 8 || (info.orientation_at && info.orientation_at >= size)) abort();
    if (info.format != HC_PNG && info.format != HC_GIF && info.format != HC_BMP) return 0;

    hc_picture_reader *r = hc_picture_reader_new(input, size);
    if (!r) abort();
    hc_picture picture = *hc_picture_reader_picture(r);
    picture.orientation = info.orientation;
    if (!hc_picture_reader_problem(r) && (int64_t)picture.width * picture.height < 1 << 20) {
        hc_status status;
        hc_preprocessor *p = hc_preprocessor_new(&cfg, &picture, &status);
        int left = 1;
        while (p && status == HC_OK && left) status = hc_picture_reader_read(r, p, 100, &left);
        if ((status == HC_INPUT_DECODE) != (hc_picture_reader_problem(r) != NULL)) abort();
        if (p && status == HC_OK) {
            if (hc_preprocessor_finish(p, out) != HC_OK) abort();
            for (int i = 0; i < 3 * 9 * 9; i++)
                if (!(out[i] >= 0 && out[i] <= 1)) abort();
        }
        hc_preprocessor_free(p);
    }
    hc_picture_reader_free(r);
    return 0;
}
