/* places.c: positions of a checkpoint that was trained at another size of picture or length of text, made into the
 * tower's as OpenCLIP's resize_pos_embed and resize_text_pos_embed (open_clip/model.py) and timm's
 * resample_abs_pos_embed make them: those of a grid by torch's bicubic interpolation with antialiasing, a = -0.5
 * (Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981), those of a text by linear interpolation
 * without; rows before the grid stay. */
#include "load/places.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers that are multiplied in one step, a few milliseconds' worth. */
enum { AT_ONCE = 1 << 22 };

/* ---- whether ------------------------------------------------------------------------------------------------------
 */

static int rows_of(const hc_places *p) { return p->before + p->height * p->across; }

/* The places of the same tensor in the tower of the config as it was given, before a size of pictures was asked for. */
static const hc_places *places_before(const hc_loader *loader, const hc_tensor *tensor)
{
    const hc_network *net = &loader->net;
    for (int i = 1; i < net->tensor_count; i++)
        if (!strcmp(net->tensors[i].name, tensor->name)) return &net->tensors[i].places;
    return NULL;
}

int hc_places_differ(const hc_loader *loader, const hc_tensor *tensor, const hc_file_tensor *found, hc_places *from)
{
    const hc_places *to = &tensor->places, *before = places_before(loader, tensor);
    uint32_t shape[HC_MOST_RANK], *has = shape;
    int rank = hc_safetensors_shape(found, shape), rows;
    if (!to->kind) return 0;
    if (rank == 4 && has[0] == 1 && has[1] == 1) has += 2, rank -= 2; /* as Apple has them */
    if (rank == 3 && tensor->rank == 3 && *has == 1) has++, rank--;
    if (rank != 2 || has[1] != tensor->shape[tensor->rank - 1] || has[0] > HC_MAX_POSITIONS) return 0;
    rows = (int)has[0];
    *from = *to;
    if (to->kind == HC_PLACES_TEXT) {
        from->height = rows;
        return rows > 0 && rows != to->height;
    }
    if (before && rows_of(before) == rows) {
        *from = *before;
        if (to->by_shape) return from->height != to->height || from->across != to->across;
    } else if (rows > to->before) {
        from->height = from->across = (int)sqrt((double)(rows - to->before)); /* as OpenCLIP, which knows no better */
    }
    if (to->make && !(from->height % 2 && from->across % 2)) return 0;
    return rows_of(from) == rows && rows != rows_of(to);
}

/* ---- how ----------------------------------------------------------------------------------------------------------
 */

void hc_places_take(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t count)
{
    size_t width = it->tensor->shape[it->tensor->rank - 1];
    if (!it->places)
        it->places = hc_loader_allocate(loader, (uint64_t)rows_of(&it->from) * width, sizeof *it->places, it->name);
    if (it->places) hc_loader_convert(loader, it, bytes, it->places + it->done, count);
}

/* The places along one side of the grid that make a place of the resized one. */
typedef struct window {
    int first, count;
    float center, wide, sum;
} window;

static float cubic(float x)
{
    const float a = -0.5f;
    x = fabsf(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static float tap(const window *w, int i) { return cubic(((float)(i + w->first) - w->center + 0.5f) / w->wide); }

/* torch's _compute_indices_min_size_weights_aa, in floats as there. */
static window window_of(int in, int out, int place)
{
    float scale = (float)in / (float)out, wide = scale > 1 ? scale : 1;
    window w = {.center = scale * ((float)place + 0.5f), .wide = wide};
    int first = (int)(w.center - 2 * wide + 0.5f), end = (int)(w.center + 2 * wide + 0.5f);
    w.first = first > 0 ? first : 0;
    w.count = (end < in ? end : in) - w.first;
    for (int i = 0; i < w.count; i++) w.sum += tap(&w, i);
    return w;
}

static void add_row(float *to, const float *from, size_t width, float weight)
{
    for (size_t k = 0; k < width; k++) to[k] += weight * from[k];
}

/* One place of the resized grid; returns how many of the file's it is made of. */
static size_t resize_place(const hc_places *from, const hc_places *to, const float *places, size_t width, int place,
                           float *out)
{
    window down = window_of(from->height, to->height, place / to->across),
           across = window_of(from->across, to->across, place % to->across);
    for (int y = 0; y < down.count; y++)
        for (int x = 0; x < across.count; x++) {
            int row = (down.first + y) * from->across + across.first + x;
            float weight = tap(&down, y) / down.sum * (tap(&across, x) / across.sum);
            add_row(out, places + (size_t)row * width, width, weight);
        }
    return (size_t)down.count * (size_t)across.count;
}

/* One place of a text of another length. */
static size_t resize_text(const hc_places *from, const hc_places *to, const float *places, size_t width, int place,
                          float *out)
{
    float at = (float)from->height / (float)to->height * ((float)place + 0.5f) - 0.5f;
    int first = at > 0 ? (int)at : 0, next = first + 1 < from->height ? first + 1 : first;
    float share = at > 0 ? at - (float)first : 0;
    add_row(out, places + (size_t)first * width, width, 1 - share);
    add_row(out, places + (size_t)next * width, width, share);
    return 2;
}

int hc_places_resize(hc_loader *loader, hc_item *it)
{
    const hc_places *from = &it->from, *to = &it->tensor->places;
    size_t width = it->tensor->shape[it->tensor->rank - 1], before = (size_t)to->before * width, made = 0;
    float *out = it->tensor->floats;
    hc_place_maker *make = to->make ? to->make : to->kind == HC_PLACES_TEXT ? resize_text : resize_place;
    if (!loader->settled) memcpy(out, it->places, before * sizeof *out);
    for (; (int)loader->settled < to->height * to->across && made < AT_ONCE; loader->settled++) {
        float *row = out + before + loader->settled * width;
        memset(row, 0, width * sizeof *row);
        made += width * make(from, to, it->places + before, width, (int)loader->settled, row);
    }
    if ((int)loader->settled < to->height * to->across) return 0;
    free(it->places);
    it->places = NULL;
    return 1;
}
