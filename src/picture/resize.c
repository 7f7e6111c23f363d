/* resize.c: Pillow's separable resampling in its own fixed-point arithmetic, a row of the source at a time.
 *
 * One output pixel is a weighted mean of the window of source pixels under the filter, which widens with the reduction
 * (antialiasing). Pillow computes the weights in double, rounds them to 22 fractional bits and sums in 32-bit integers,
 * one axis after the other, with the first axis' result rounded to 8 bits. Everything that rounds is done as Pillow
 * does it.
 *
 * Source rows stream through a ring that is as tall as one vertical window, so that memory stays small. A picture that
 * is to be turned never is: its windows are laid over the rows and columns as they come. */
#include "picture/resize.h"
#include "base/size.h"
#include "kernels/simd.h"
#include "picture/passes.h"

#include <stdlib.h>
#include <string.h>

/* Engines compile WebAssembly well only once a function has run for a while, and then from its next call: what is
 * called for every row must not melt into the one function that is called for every picture. */
#define OWN_FUNCTION __attribute__((noinline))

/* ---- pixels -------------------------------------------------------------------------------------------------------
 */

/* True if every alpha of n RGBA pixels is 255: then premultiplying changes nothing. */
static OWN_FUNCTION int is_opaque(const uint8_t *src, size_t n)
{
    i32x4 all = i32_splat(-1);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        i32x4 pixels;
        memcpy(&pixels, src + 4 * i, sizeof pixels);
        all &= pixels;
    }
    for (; i < n; i++) {
        int32_t pixel;
        memcpy(&pixel, src + 4 * i, sizeof pixel);
        all[0] &= pixel;
    }
    all[0] &= all[1] & all[2] & all[3];
    uint8_t bytes[4];
    memcpy(bytes, &all, sizeof bytes);
    return bytes[3] == 255;
}

/* RGBA to premultiplied "RGBa", c = round(c * alpha / 255): two channels at a time in the halves of a word. */
static OWN_FUNCTION void premultiply(const uint8_t *src, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++, src += 4, dst += 4) {
        uint32_t alpha = src[3];
        uint32_t rb = (src[0] | (uint32_t)src[2] << 16) * alpha + 0x00800080u;
        uint32_t g = src[1] * alpha + 0x80u;
        rb = (rb + (rb >> 8 & 0x00ff00ffu)) >> 8;
        g = (g + (g >> 8)) >> 8;
        dst[0] = (uint8_t)rb;
        dst[1] = (uint8_t)g;
        dst[2] = (uint8_t)(rb >> 16);
        dst[3] = (uint8_t)alpha;
    }
}

/* One pixel of `mode` to RGB, as Pillow's convert("RGB") does it; what was premultiplied is divided by alpha again, and
 * truncated. */
static inline void store_pixel(const uint8_t *src, hc_mode mode, int premultiplied, uint8_t *dst)
{
    if (mode == HC_CMYK) {
        for (int c = 0; c < 3; c++) {
            uint32_t light = 255u - src[3], ink = src[c] * light + 128;
            dst[c] = (uint8_t)(light - (((ink >> 8) + ink) >> 8));
        }
        return;
    }
    const uint32_t alpha = premultiplied ? src[3] : 255;
    for (int c = 0; c < 3; c++) {
        uint32_t v = src[c];
        if (alpha != 255 && alpha != 0) v = 255 * v / alpha;
        dst[c] = (uint8_t)(v > 255 ? 255 : v);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------------------
 */

/* Room for a row of `n` bytes, with its slack. */
static uint8_t *new_row(size_t n) { return hc_allocate((uint64_t)n + HC_ROW_SLACK, 1); }

struct hc_resizer {
    hc_mode mode;
    const uint8_t *palette;
    int channels;
    uint8_t *out;           /* where the first output pixel in the source's own order goes */
    ptrdiff_t across, down; /* from there to that of the next column and row of the source */
    hc_axis x, y;
    int vertical_first, premultiplied;
    int next; /* the source row that comes next */
    int done; /* how many of the wanted rows, in the source's own order, have been written */

    /* Nearest neighbours, of HC_PALETTE: [x.count] and [y.count]. */
    int *columns, *rows;

    /* Every other mode. */
    int left, wide;     /* the columns of the source that are needed */
    hc_window *windows; /* of the output columns, [x.count]; `first` counts from `left` */
    int16_t *weights;   /* of all windows */
    double *scratch;
    hc_window row_window;  /* of the output row in hand */
    const uint8_t **under; /* [y.taps], the rows under that window */
    uint8_t *ring;         /* [y.taps][ring_stride], source row j at j % y.taps */
    size_t ring_stride;
    uint8_t *source, *between, *final; /* room for a row of the source, one between the passes, one after them */
};

void hc_resizer_free(hc_resizer *r)
{
    if (!r) return;
    free(r->columns);
    free(r->rows);
    free(r->windows);
    free(r->weights);
    free(r->scratch);
    free((void *)r->under);
    free(r->ring);
    free(r->source);
    free(r->between);
    free(r->final);
    free(r);
}

static int prepare_nearest(hc_resizer *r)
{
    r->columns = hc_allocate((uint64_t)r->x.count, sizeof *r->columns);
    r->rows = hc_allocate((uint64_t)r->y.count, sizeof *r->rows);
    if (!r->columns || !r->rows) return 0;
    hc_nearest_make(&r->x, r->columns);
    hc_nearest_make(&r->y, r->rows);
    return 1;
}

/* The windows of all output columns, which tell what columns of the source are needed. */
static void make_columns(hc_resizer *r)
{
    const int count = r->x.count;
    for (int i = 0; i < count; i++) {
        r->windows[i].weights = r->weights + (r->x.changes ? 2 * r->x.taps * (size_t)i : 0);
        hc_window_make(&r->x, i, r->scratch, &r->windows[i]);
    }
    const hc_window *last = &r->windows[count - 1];
    r->left = r->windows[0].first;
    r->wide = last->first + last->count - r->left;
    for (int i = 0; i < count; i++) r->windows[i].first -= r->left;
}

static int prepare_windows(hc_resizer *r)
{
    const size_t columns = (size_t)r->x.count;
    r->scratch = hc_allocate(r->x.taps > r->y.taps ? r->x.taps : r->y.taps, sizeof *r->scratch);
    r->windows = hc_allocate(columns, sizeof *r->windows);
    r->weights = hc_allocate(hc_size_sum(hc_size_product(r->x.taps, r->x.changes ? columns : 0), r->y.taps),
                             2 * sizeof *r->weights);
    r->under = hc_allocate(r->y.taps, sizeof *r->under);
    if (!r->scratch || !r->windows || !r->weights || !r->under) return 0;
    make_columns(r);
    r->row_window.weights = r->weights + (r->x.changes ? 2 * r->x.taps * columns : 0);

    const size_t wide = (size_t)(r->wide * r->channels), narrow = columns * (size_t)r->channels;
    r->ring_stride = r->vertical_first ? wide : narrow;
    r->source = new_row(wide);
    r->between = new_row(wide);
    r->final = new_row(narrow);
    r->ring = hc_allocate(hc_size_sum(hc_size_product(r->ring_stride, r->y.taps), HC_ROW_SLACK), 1);
    if (!r->source || !r->between || !r->final || !r->ring) return 0;
    hc_window_make(&r->y, 0, r->scratch, &r->row_window);
    return 1;
}

/* Lays the axes of the turned picture over the rows and columns of the source as they come. */
static void lay_axes(hc_resizer *r, const hc_picture *picture, int out_width, int out_height, hc_filter filter,
                     const hc_box *box, uint8_t *out, size_t stride)
{
    /* The eight orientations of EXIF: from the fifth on, rows and columns change places. */
    const int orientation = picture->orientation, crosswise = orientation >= 5;
    const int flipped_x = orientation == 2 || orientation == 3 || orientation >= 7;
    const int flipped_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const int width = crosswise ? picture->height : picture->width,
              height = crosswise ? picture->width : picture->height;
    const hc_axis across =
        hc_axis_make(filter, width, out_width, box->left, box->width, crosswise ? flipped_y : flipped_x);
    const hc_axis down =
        hc_axis_make(filter, height, out_height, box->top, box->height, crosswise ? flipped_x : flipped_y);
    r->x = crosswise ? down : across;
    r->y = crosswise ? across : down;
    r->across = crosswise ? (ptrdiff_t)stride : 3;
    r->down = crosswise ? 3 : (ptrdiff_t)stride;
    r->out = out;
    if (flipped_x) {
        r->out += (r->x.count - 1) * r->across;
        r->across = -r->across;
    }
    if (flipped_y) {
        r->out += (r->y.count - 1) * r->down;
        r->down = -r->down;
    }

    /* The order decides what is rounded to 8 bits between the passes. This is Pillow 13's rule for the turned picture;
     * before, the horizontal pass always came first. */
    const int down_first = height > out_height && height - out_height > (width - out_width) * 2;
    r->vertical_first = r->x.changes && r->y.changes ? down_first != crosswise : r->y.changes;
}

hc_resizer *hc_resizer_new(const hc_picture *picture, int out_width, int out_height, hc_filter filter,
                           const hc_box *box, uint8_t *out, size_t stride)
{
    hc_resizer *r = hc_allocate_zeros(1, sizeof *r);
    if (!r) return NULL;
    r->mode = picture->mode;
    r->palette = picture->palette;
    r->channels = r->mode == HC_PALETTE ? 1 : r->mode == HC_RGB ? 3 : 4;
    lay_axes(r, picture, out_width, out_height, filter, box, out, stride);
    r->premultiplied = r->mode == HC_RGBA && (r->x.changes || r->y.changes);
    if (!(r->mode == HC_PALETTE ? prepare_nearest(r) : prepare_windows(r))) {
        hc_resizer_free(r);
        return NULL;
    }
    return r;
}

/* One wanted row, of RGB triples at `src` or of pixels of the mode. */
static OWN_FUNCTION void write_row(const hc_resizer *r, const uint8_t *src)
{
    uint8_t *dst = r->out + r->done * r->down;
    if (r->mode == HC_PALETTE)
        for (int i = 0; i < r->x.count; i++, dst += r->across) memcpy(dst, r->palette + 3 * src[r->columns[i]], 3);
    else
        for (int i = 0; i < r->x.count; i++, dst += r->across, src += r->channels)
            store_pixel(src, r->mode, r->premultiplied, dst);
}

/* The needed columns of a source row, alpha premultiplied. */
static void take_columns(const hc_resizer *r, const uint8_t *row, uint8_t *dst)
{
    const size_t n = (size_t)r->wide;
    row += (size_t)r->left * (size_t)r->channels;
    if (r->premultiplied && !is_opaque(row, n)) premultiply(row, n, dst);
    else memcpy(dst, row, n * (size_t)r->channels);
}

/* Puts the next source row into the ring, after the horizontal pass if that comes first. */
static void enter(hc_resizer *r, const uint8_t *row)
{
    uint8_t *slot = r->ring + (size_t)r->next % r->y.taps * r->ring_stride;
    if (!r->x.changes || r->vertical_first) {
        take_columns(r, row, slot);
        return;
    }
    take_columns(r, row, r->source); /* the pass reads beyond the row's end */
    hc_pass_horizontal(r->windows, r->x.count, r->source, slot, r->channels);
}

/* Makes the output row in hand of the rows in the ring. */
static void emit(hc_resizer *r)
{
    const hc_window *w = &r->row_window;
    for (int i = 0; i < w->count; i++) r->under[i] = r->ring + (size_t)(w->first + i) % r->y.taps * r->ring_stride;
    if (w->count & 1 && r->y.changes) r->under[w->count] = r->under[0];

    const uint8_t *row = r->under[0];
    if (r->y.changes) {
        uint8_t *after = r->vertical_first && r->x.changes ? r->between : r->final;
        hc_pass_vertical(w, r->under, r->ring_stride, after);
        row = after;
    }
    if (r->vertical_first && r->x.changes) {
        hc_pass_horizontal(r->windows, r->x.count, row, r->final, r->channels);
        row = r->final;
    }
    write_row(r, row);
}

void hc_resizer_push(hc_resizer *r, const uint8_t *row)
{
    if (r->mode == HC_PALETTE) {
        for (; r->done < r->y.count && r->rows[r->done] == r->next; r->done++) write_row(r, row);
        r->next++;
        return;
    }
    const hc_window *w = &r->row_window;
    if (r->done < r->y.count && r->next >= w->first) enter(r, row);
    r->next++;
    while (r->done < r->y.count && r->next >= w->first + w->count) {
        emit(r);
        if (++r->done < r->y.count) hc_window_make(&r->y, r->done, r->scratch, &r->row_window);
    }
}
