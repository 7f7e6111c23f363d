/* preprocess.c: from a picture to a tower's pixels, as open_clip/transform.py's image_transform(is_train=False) does it:
 * resize, centre crop or border, bytes to floats, mean and standard deviation. */
#include "resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 20000 };

/* Python's round(): halves go to the even neighbour. x >= 0. */
static int round_half_even(double x)
{
    double below = floor(x), rest = x - below;
    int n = (int)below;
    return n + (rest > 0.5 || (rest == 0.5 && (n & 1)));
}

/* The size to which OpenCLIP resizes a picture before it cuts or fills: torchvision's Resize or its own ResizeKeepRatio. */
static void resized_size(const hc_preprocess_cfg *cfg, int width, int height, int *out_width, int *out_height)
{
    *out_width = cfg->width;
    *out_height = cfg->height;
    if (cfg->resize_mode == HC_SQUASH)
        return;
    if (cfg->resize_mode == HC_SHORTEST && cfg->width == cfg->height) {
        if (width <= height)
            *out_height = (int)((double)((int64_t)cfg->width * height) / width);
        else
            *out_width = (int)((double)((int64_t)cfg->height * width) / height);
        return;
    }
    const double across = (double)width / cfg->width, down = (double)height / cfg->height;
    const double ratio = (across > down) == (cfg->resize_mode == HC_LONGEST) ? across : down;
    *out_width = round_half_even(width / ratio);
    *out_height = round_half_even(height / ratio);
    /* A long strip would vanish (OpenCLIP then raises ValueError): keep one pixel. */
    if (*out_width < 1)
        *out_width = 1;
    if (*out_height < 1)
        *out_height = 1;
}

/* Along one axis, `resized` pixels are centred in `target`: `kept` of them, from `skipped`, go to `at`. */
static void center(int resized, int target, int *skipped, int *at, int *kept)
{
    *skipped = resized > target ? round_half_even((resized - target) / 2.0) : 0;
    *at = resized < target ? (target - resized) / 2 : 0;
    *kept = resized < target ? resized : target;
}

hc_status hc_preprocess(const hc_preprocess_cfg *cfg, const uint8_t *data, int width, int height, int channels,
                        float *out)
{
    if (cfg->width < 1 || cfg->height < 1 || cfg->width > MAX_SIDE || cfg->height > MAX_SIDE)
        return HC_MODEL_CONFIG;
    for (int c = 0; c < 3; c++)
        if (cfg->std[c] == 0)
            return HC_MODEL_CONFIG;
    if (channels != 3 && channels != 4)
        return HC_INPUT_TYPE;
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return HC_INPUT_SIZE;

    int out_width, out_height, x, y;
    hc_box box;
    resized_size(cfg, width, height, &out_width, &out_height);
    center(out_width, cfg->width, &box.left, &x, &box.width);
    center(out_height, cfg->height, &box.top, &y, &box.height);

    const size_t row = (size_t)cfg->width * 3, area = (size_t)cfg->width * (size_t)cfg->height;
    uint8_t *canvas = malloc(area * 3);
    if (!canvas)
        return HC_OUT_OF_MEMORY;
    /* CenterCrop fills with black what rounding leaves open; only CenterCropOrPad takes a colour. */
    memset(canvas, cfg->resize_mode == HC_LONGEST ? cfg->fill_color : 0, area * 3);

    /* ResizeKeepRatio is not told the filter when it comes before CenterCrop, and its own is bicubic. */
    const int keep_ratio = cfg->resize_mode == HC_SHORTEST && cfg->width != cfg->height;
    hc_status status = hc_resize(data, width, height, channels, out_width, out_height,
                                 keep_ratio ? HC_BICUBIC : cfg->interpolation, &box,
                                 canvas + (size_t)y * row + (size_t)x * 3, row);

    /* ToTensor and Normalize: three roundings to float, for each of 256 values. */
    for (size_t c = 0; c < 3 && status == HC_OK; c++) {
        float values[256];
        for (int v = 0; v < 256; v++)
            values[v] = ((float)v / 255.0f - cfg->mean[c]) / cfg->std[c];
        for (size_t i = 0; i < area; i++)
            out[c * area + i] = values[canvas[i * 3 + c]];
    }
    free(canvas);
    return status;
}
