/* resize.c: Pillow's separable resampling in its own fixed-point arithmetic, as the rows of the source come.
 *
 * One output pixel is a weighted mean of the window of source pixels under the filter, which widens with the reduction
 * (antialiasing). Pillow computes the weights in double, rounds them to 22 fractional bits and sums in 32-bit integers,
 * one axis after the other, with the first axis' result rounded to 8 bits. Everything that rounds is done as Pillow
 * does it.
 *
 * Source rows stream through a ring a little taller than one vertical window, so that memory stays small. A picture
 * that is to be turned never is: its windows are laid over the rows and columns as they come. */
#include "picture/resize.h"
#include "base/size.h"
#include "picture/passes.h"
#include "picture/pixels.h"

#include <stdlib.h>
#include <string.h>

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
    int32_t *exact;     /* the weights of all windows */
    int16_t *near;
    double *scratch;
    hc_window row_window;  /* of the output row in hand */
    const uint8_t **under; /* [y.taps], the rows under that window */
    uint8_t *ring;         /* [ring_rows][ring_stride], source row j at j % ring_rows */
    size_t ring_rows, ring_stride;
    uint8_t *source; /* room for HC_ROWS_AT_ONCE rows of the source, */
    size_t source_stride;
    uint8_t *between, *final; /* a row between the passes, and one after them */
};

void hc_resizer_free(hc_resizer *r)
{
    if (!r) return;
    free(r->columns);
    free(r->rows);
    free(r->windows);
    free(r->exact);
    free(r->near);
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

/* Where the weights of the window of output column i are, and after them those of the row in hand. */
static void place_weights(const hc_resizer *r, int i, hc_window *w)
{
    const size_t at = r->x.changes ? r->x.taps * (size_t)i : 0;
    w->exact = r->exact + at;
    w->near = r->near + at;
}

/* The windows of all output columns, which tell what columns of the source are needed. */
static void make_columns(hc_resizer *r)
{
    const int count = r->x.count;
    for (int i = 0; i < count; i++) {
        place_weights(r, i, &r->windows[i]);
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
    const uint64_t weights = hc_size_sum(hc_size_product(r->x.taps, r->x.changes ? columns : 0), r->y.taps);
    r->exact = hc_allocate(weights, sizeof *r->exact);
    r->near = hc_allocate(weights, sizeof *r->near);
    r->under = hc_allocate(r->y.taps, sizeof *r->under);
    if (!r->scratch || !r->windows || !r->exact || !r->near || !r->under) return 0;
    make_columns(r);
    place_weights(r, r->x.count, &r->row_window);

    const size_t wide = (size_t)(r->wide * r->channels), narrow = columns * (size_t)r->channels;
    r->ring_stride = (r->vertical_first ? wide : narrow) + HC_ROW_SLACK;
    r->ring_rows = r->y.taps + HC_ROWS_AT_ONCE - 1;
    r->source_stride = wide + HC_ROW_SLACK;
    r->source = hc_allocate(HC_ROWS_AT_ONCE, r->source_stride);
    r->between = hc_allocate(r->source_stride, 1);
    r->final = hc_allocate(narrow + HC_ROW_SLACK, 1);
    r->ring = hc_allocate(r->ring_rows, r->ring_stride);
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

/* One wanted row, of pixels of the mode. */
static void write_row(const hc_resizer *r, const uint8_t *src)
{
    uint8_t *dst = r->out + r->done * r->down;
    if (r->mode == HC_PALETTE)
        for (int i = 0; i < r->x.count; i++, dst += r->across) memcpy(dst, r->palette + 3 * src[r->columns[i]], 3);
    else hc_pixels_to_rgb(src, (size_t)r->x.count, r->mode, r->premultiplied, dst, r->across);
}

/* The needed columns of a source row, alpha premultiplied. */
static void take_columns(const hc_resizer *r, const uint8_t *row, uint8_t *dst)
{
    const size_t n = (size_t)r->wide;
    row += (size_t)r->left * (size_t)r->channels;
    if (r->premultiplied && !hc_pixels_opaque(row, n)) hc_pixels_premultiply(row, n, dst);
    else memcpy(dst, row, n * (size_t)r->channels);
}

/* The same of one of HC_ROWS_AT_ONCE source rows, where they lie if they may: a pass reads beyond a row's end. */
static const uint8_t *source_row(const hc_resizer *r, int number, const uint8_t *row, const uint8_t *end)
{
    const uint8_t *first = row + (size_t)r->left * (size_t)r->channels;
    if ((size_t)(end - first) >= r->source_stride && (!r->premultiplied || hc_pixels_opaque(first, (size_t)r->wide)))
        return first;
    uint8_t *copy = r->source + (size_t)number * r->source_stride;
    take_columns(r, row, copy);
    return copy;
}

/* Puts the next source rows, one or HC_ROWS_AT_ONCE, into the ring, after the horizontal pass if that comes first. */
static void enter(hc_resizer *r, const uint8_t *rows, int count, size_t row_bytes, const uint8_t *end)
{
    const uint8_t *src[HC_ROWS_AT_ONCE];
    uint8_t *slots[HC_ROWS_AT_ONCE];
    const int across_first = r->x.changes && !r->vertical_first;
    for (int i = 0; i < count; i++, rows += row_bytes) {
        slots[i] = r->ring + (size_t)(r->next + i) % r->ring_rows * r->ring_stride;
        if (across_first) src[i] = source_row(r, i, rows, end);
        else take_columns(r, rows, slots[i]);
    }
    if (!across_first) return;
    if (count == 1) hc_pass_horizontal(r->windows, r->x.count, src[0], slots[0], r->channels);
    else hc_pass_horizontal_rows(r->windows, r->x.count, src, slots, r->channels);
}

/* Makes the output row in hand of the rows in the ring. */
static void emit(hc_resizer *r)
{
    const hc_window *w = &r->row_window;
    for (int i = 0; i < w->count; i++) r->under[i] = r->ring + (size_t)(w->first + i) % r->ring_rows * r->ring_stride;
    if (w->count & 1 && r->y.changes) r->under[w->count] = r->under[0]; /* for a weight of 0 */

    const uint8_t *row = r->under[0];
    if (r->y.changes) {
        uint8_t *after = r->vertical_first && r->x.changes ? r->between : r->final;
        hc_pass_vertical(w, r->under, r->ring_stride - HC_ROW_SLACK, after);
        row = after;
    }
    if (r->vertical_first && r->x.changes) {
        hc_pass_horizontal(r->windows, r->x.count, row, r->final, r->channels);
        row = r->final;
    }
    write_row(r, row);
}

static void push_nearest(hc_resizer *r, const uint8_t *row)
{
    for (; r->done < r->y.count && r->rows[r->done] == r->next; r->done++) write_row(r, row);
    r->next++;
}

void hc_resizer_push(hc_resizer *r, const uint8_t *rows, int count, size_t row_bytes)
{
    const uint8_t *end = rows + (size_t)count * row_bytes;
    if (r->mode == HC_PALETTE) {
        for (; rows < end; rows += row_bytes) push_nearest(r, rows);
        return;
    }
    const hc_window *w = &r->row_window;
    for (int taken; count > 0 && r->done < r->y.count; count -= taken, rows += (size_t)taken * row_bytes) {
        if (r->next < w->first) {
            taken = w->first - r->next < count ? w->first - r->next : count;
            r->next += taken;
            continue;
        }
        taken = count < HC_ROWS_AT_ONCE ? 1 : HC_ROWS_AT_ONCE;
        enter(r, rows, taken, row_bytes, end);
        r->next += taken;
        while (r->done < r->y.count && r->next >= w->first + w->count) {
            emit(r);
            if (++r->done < r->y.count) hc_window_make(&r->y, r->done, r->scratch, &r->row_window);
        }
    }
}
