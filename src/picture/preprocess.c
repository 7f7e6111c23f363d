/* preprocess.c: from a picture to a tower's pixels, as open_clip/transform.py's image_transform(is_train=False) does
 * it: resize, centre crop or border, bytes to floats, mean and standard deviation. */
#include "picture/resize.h"
#include "base/size.h"

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

/* The size to which OpenCLIP resizes a picture before it cuts or fills: torchvision's Resize or its own
 * ResizeKeepRatio. */
static void resized_size(const hc_preprocess_cfg *cfg, int width, int height, int *out_width, int *out_height)
{
    *out_width = cfg->width;
    *out_height = cfg->height;
    if (cfg->resize_mode == HC_SQUASH) return;
    if (cfg->resize_mode == HC_SHORTEST && cfg->width == cfg->height) {
        if (width <= height) *out_height = (int)((double)((int64_t)cfg->width * height) / width);
        else *out_width = (int)((double)((int64_t)cfg->height * width) / height);
        return;
    }
    const double across = (double)width / cfg->width, down = (double)height / cfg->height;
    const double ratio = (across > down) == (cfg->resize_mode == HC_LONGEST) ? across : down;
    *out_width = round_half_even(width / ratio);
    *out_height = round_half_even(height / ratio);
    /* A long strip would vanish (OpenCLIP then raises ValueError): keep one pixel. */
    if (*out_width < 1) *out_width = 1;
    if (*out_height < 1) *out_height = 1;
}

/* Along one axis, `resized` pixels are centred in `target`: `kept` of them, from `skipped`, go to `at`. */
static void center(int resized, int target, int *skipped, int *at, int *kept)
{
    *skipped = resized > target ? round_half_even((resized - target) / 2.0) : 0;
    *at = resized < target ? (target - resized) / 2 : 0;
    *kept = resized < target ? resized : target;
}

struct hc_preprocessor {
    hc_preprocess_cfg cfg;
    int rows_left;
    size_t row_bytes;
    hc_resizer *resizer;
    uint8_t *canvas; /* [cfg.height][cfg.width][3] */
};

static hc_status check(const hc_preprocess_cfg *cfg, const hc_picture *picture)
{
    if (cfg->width < 1 || cfg->height < 1 || cfg->width > MAX_SIDE || cfg->height > MAX_SIDE) return HC_MODEL_CONFIG;
    for (int c = 0; c < 3; c++)
        if (cfg->std[c] == 0) return HC_MODEL_CONFIG;
    if ((unsigned)picture->mode > HC_CMYK || picture->orientation < 1 || picture->orientation > 8) return HC_INPUT_TYPE;
    if (picture->width < 1 || picture->height < 1 || picture->width > MAX_SIDE || picture->height > MAX_SIDE)
        return HC_INPUT_SIZE;
    return HC_OK;
}

/* The colour of a border of this value in every channel, as it becomes with the rest. */
static void fill(const hc_preprocess_cfg *cfg, const hc_picture *picture, uint8_t *canvas, size_t pixels)
{
    /* CenterCrop fills with 0 what rounding leaves open; only CenterCropOrPad takes a value. */
    const int value = cfg->resize_mode == HC_LONGEST ? cfg->fill_color : 0;
    uint8_t colour[3];
    for (int c = 0; c < 3; c++) {
        int light = 255 - value, ink = value * light + 128;
        colour[c] = (uint8_t)(picture->mode == HC_PALETTE ? picture->palette[3 * value + c]
                              : picture->mode == HC_CMYK  ? light - (((ink >> 8) + ink) >> 8)
                                                          : value);
    }
    for (size_t i = 0; i < pixels; i++) memcpy(canvas + 3 * i, colour, 3);
}

/* What resizes the picture and puts the part of it that is wanted in its place on the canvas. */
static hc_resizer *new_resizer(const hc_preprocess_cfg *cfg, const hc_picture *picture, uint8_t *canvas)
{
    const int crosswise = picture->orientation >= 5;
    int width, height, x, y;
    hc_box box;
    resized_size(cfg, crosswise ? picture->height : picture->width, crosswise ? picture->width : picture->height,
                 &width, &height);
    center(width, cfg->width, &box.left, &x, &box.width);
    center(height, cfg->height, &box.top, &y, &box.height);
    /* ResizeKeepRatio is not told the filter when it comes before CenterCrop, and its own is bicubic. */
    const int keep_ratio = cfg->resize_mode == HC_SHORTEST && cfg->width != cfg->height;
    const size_t row = (size_t)cfg->width * 3;
    return hc_resizer_new(picture, width, height, keep_ratio ? HC_BICUBIC : cfg->interpolation, &box,
                          canvas + (size_t)y * row + (size_t)x * 3, row);
}

hc_preprocessor *hc_preprocessor_new(const hc_preprocess_cfg *cfg, const hc_picture *picture, hc_status *status)
{
    static const size_t pixel_bytes[] = {[HC_RGB] = 3, [HC_RGBA] = 4, [HC_PALETTE] = 1, [HC_CMYK] = 4};
    *status = check(cfg, picture);
    if (*status != HC_OK) return NULL;

    *status = HC_OUT_OF_MEMORY;
    hc_preprocessor *p = hc_allocate_zeros(1, sizeof *p);
    if (!p) return NULL;
    const size_t pixels = (size_t)cfg->width * (size_t)cfg->height;
    p->cfg = *cfg;
    p->rows_left = picture->height;
    p->row_bytes = (size_t)picture->width * pixel_bytes[picture->mode];
    p->canvas = hc_allocate(pixels, 3);
    if (p->canvas) {
        fill(cfg, picture, p->canvas, pixels);
        p->resizer = new_resizer(cfg, picture, p->canvas);
    }
    if (!p->resizer) {
        hc_preprocessor_free(p);
        return NULL;
    }
    *status = HC_OK;
    return p;
}

void hc_preprocessor_push(hc_preprocessor *p, const uint8_t *rows, int count)
{
    if (count > p->rows_left) count = p->rows_left;
    if (count <= 0) return;
    p->rows_left -= count;
    hc_resizer_push(p->resizer, rows, count, p->row_bytes);
}

hc_status hc_preprocessor_finish(const hc_preprocessor *p, float *out)
{
    if (p->rows_left) return HC_INPUT_SIZE;
    /* ToTensor and Normalize: three roundings to float, for each of 256 values. */
    const size_t area = (size_t)p->cfg.width * (size_t)p->cfg.height;
    for (size_t c = 0; c < 3; c++) {
        float values[256];
        for (int v = 0; v < 256; v++) values[v] = ((float)v / 255.0f - p->cfg.mean[c]) / p->cfg.std[c];
        for (size_t i = 0; i < area; i++) out[c * area + i] = values[p->canvas[i * 3 + c]];
    }
    return HC_OK;
}

void hc_preprocessor_free(hc_preprocessor *p)
{
    if (!p) return;
    hc_resizer_free(p->resizer);
    free(p->canvas);
    free(p);
}

hc_status hc_preprocess(const hc_preprocess_cfg *cfg, const uint8_t *data, int width, int height, int channels,
                        float *out)
{
    const hc_picture picture = {
        .width = width, .height = height, .mode = channels == 4 ? HC_RGBA : HC_RGB, .orientation = 1};
    if (channels != 3 && channels != 4) return HC_INPUT_TYPE;
    hc_status status;
    hc_preprocessor *p = hc_preprocessor_new(cfg, &picture, &status);
    if (!p) return status;
    hc_preprocessor_push(p, data, height);
    status = hc_preprocessor_finish(p, out);
    hc_preprocessor_free(p);
    return status;
}
