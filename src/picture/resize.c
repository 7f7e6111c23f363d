/* resize.c: Pillow's separable resampling in its own fixed-point arithmetic.
 *
 * One output pixel is a weighted mean of the window of source pixels under the filter, which widens with the reduction
 * (antialiasing). Pillow computes the weights in double, rounds them to 22 fractional bits and sums in 32-bit integers,
 * one axis after the other, with the first axis' result rounded to 8 bits. Everything that rounds is done here as
 * Pillow does it; the sums are exact in any order, so they can be done with vectors.
 *
 * Source rows stream through a ring that is as tall as one vertical window, so that memory stays small. A picture that
 * is to be turned never is: its windows are laid over the rows and columns as they come. */
#include "picture/resize.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* HC_SCALAR asks for the portable loops, which give the same bytes. */
#if defined(__wasm_simd128__) && !defined(HC_SCALAR)
#include <wasm_simd128.h>
#define SIMD 1
typedef v128_t vec;
#define vec_zero()                wasm_i32x4_splat(0)
#define vec_splat(x)              wasm_i32x4_splat(x)
#define vec_load(p)               wasm_v128_load(p)
#define vec_load_low(p)           wasm_v128_load64_zero(p)
#define vec_load_splat32(p)       wasm_v128_load32_splat(p)
#define vec_store(p, v)           wasm_v128_store(p, v)
#define vec_store32(p, v)         wasm_v128_store32_lane(p, v, 0)
#define vec_interleave_low(a, b)  wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define vec_interleave_high(a, b) wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define vec_widen_low(a)          wasm_u16x8_extend_low_u8x16(a)
#define vec_widen_high(a)         wasm_u16x8_extend_high_u8x16(a)
#define vec_dot(a, b)             wasm_i32x4_dot_i16x8(a, b)
#define vec_add(a, b)             wasm_i32x4_add(a, b)
#define vec_shift_left(a, n)      wasm_i32x4_shl(a, n)
#define vec_shift_right(a, n)     wasm_i32x4_shr(a, n)
#define vec_narrow32(a, b)        wasm_i16x8_narrow_i32x4(a, b)
#define vec_narrow16(a, b)        wasm_u8x16_narrow_i16x8(a, b)
#elif defined(__SSE2__) && !defined(HC_SCALAR)
#include <emmintrin.h>
#define SIMD                      1
typedef __m128i vec;
#define vec_zero()                _mm_setzero_si128()
#define vec_splat(x)              _mm_set1_epi32(x)
#define vec_load(p)               _mm_loadu_si128((const __m128i *)(const void *)(p))
#define vec_load_low(p)           _mm_loadl_epi64((const __m128i *)(const void *)(p))
#define vec_load_splat32(p)       _mm_set1_epi32(load32(p))
#define vec_store(p, v)           _mm_storeu_si128((__m128i *)(void *)(p), v)
#define vec_store32(p, v)         store32(p, _mm_cvtsi128_si32(v))
#define vec_interleave_low(a, b)  _mm_unpacklo_epi8(a, b)
#define vec_interleave_high(a, b) _mm_unpackhi_epi8(a, b)
#define vec_widen_low(a)          _mm_unpacklo_epi8(a, _mm_setzero_si128())
#define vec_widen_high(a)         _mm_unpackhi_epi8(a, _mm_setzero_si128())
#define vec_dot(a, b)             _mm_madd_epi16(a, b)
#define vec_add(a, b)             _mm_add_epi32(a, b)
#define vec_shift_left(a, n)      _mm_slli_epi32(a, n)
#define vec_shift_right(a, n)     _mm_srai_epi32(a, n)
#define vec_narrow32(a, b)        _mm_packs_epi32(a, b)
#define vec_narrow16(a, b)        _mm_packus_epi16(a, b)

static inline int load32(const void *p)
{
    int v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store32(void *p, int v) { memcpy(p, &v, sizeof v); }
#else
#define SIMD 0
#endif

/* Engines compile WebAssembly well only once a function has run for a while, and then from its next call: what is
 * called for every row must not melt into the one function that is called for every picture. */
#define OWN_FUNCTION __attribute__((noinline))

enum {
    PRECISION_BITS = 32 - 8 - 2, /* Pillow's: 8 bits for the result, two for weights below 0 and above 1 */
    LOW_BITS = 15,               /* a weight is split into two 16-bit halves for the 16-bit dot product */
    SLACK = 16                   /* bytes that a vector may read or write past the end of a row */
};

/* ---- filters ------------------------------------------------------------------------------------------------------
 */

/* sin(x) for |x| up to 3 pi, within 1e-16. A library's own sine differs in the last bit from one machine to the next.
 */
static double sine(double x)
{
    /* pi/2 in two parts, the first short enough that its products with a quadrant are exact (Cody and Waite). */
    const double half_pi_high = 0x1.921fb544p+0, half_pi_low = 0x1.0b4611a626331p-34;
    int quadrant = (int)(x * 0.63661977236758134 + (x < 0 ? -0.5 : 0.5));
    double r = (x - quadrant * half_pi_high) - quadrant * half_pi_low, z = r * r, y;
    if (quadrant & 1)
        y = 1 + z * (-1.0 / 2 +
                     z * (1.0 / 24 +
                          z * (-1.0 / 720 +
                               z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                                                       z * (1.0 / 479001600 + z * (-1.0 / 87178291200.0 +
                                                                                   z * (1.0 / 20922789888000.0))))))));
    else
        y = r + r * z *
                    (-1.0 / 6 +
                     z * (1.0 / 120 +
                          z * (-1.0 / 5040 + z * (1.0 / 362880 +
                                                  z * (-1.0 / 39916800 + z * (1.0 / 6227020800.0 +
                                                                              z * (-1.0 / 1307674368000.0 +
                                                                                   z * (1.0 / 355687428096000.0))))))));
    return quadrant & 2 ? -y : y;
}

static double sinc(double x)
{
    if (x == 0) return 1;
    x *= 3.14159265358979323846;
    return sine(x) / x;
}

static double filter_support(hc_filter filter) { return filter == HC_BILINEAR ? 1 : filter == HC_LANCZOS ? 3 : 2; }

/* The filter's value, with the operations in Pillow's order: another order rounds differently. */
static double filter_value(hc_filter filter, double x)
{
    const double a = -0.5;
    if (filter == HC_LANCZOS) return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    x = fabs(x);
    if (filter == HC_BILINEAR) return x < 1 ? 1 - x : 0;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* ---- windows ------------------------------------------------------------------------------------------------------
 */

/* One axis of a resize, of the columns or the rows of the source. */
typedef struct axis {
    hc_filter filter;
    int in, out;
    int first, count; /* the part of `out` that is wanted */
    int flipped;      /* the source's last pixel is the picture's first */
    int changes;      /* out differs from in */
    double scale, filter_scale, support;
    size_t taps; /* room for the taps of one window: even */
} axis;

/* The source pixels under one output pixel. Weights come two taps at a time, as four numbers: the high parts of both,
 * then the low parts, 0 <= low < 2^15; weight = high * 2^15 + low. An odd count is filled up with a weight of 0. */
typedef struct window {
    int first, count;
    int16_t *weights;
} window;

static axis axis_make(hc_filter filter, int in, int out, int first, int count, int flipped)
{
    axis a = {.filter = filter,
              .in = in,
              .out = out,
              .first = first,
              .count = count,
              .flipped = flipped,
              .changes = in != out,
              .scale = (double)in / out};
    a.filter_scale = a.scale < 1 ? 1 : a.scale;
    a.support = filter_support(filter) * a.filter_scale;
    double most = ceil(a.support) * 2 + 1;
    a.taps = ((most < in ? (size_t)most : (size_t)in) + 1) & ~(size_t)1;
    return a;
}

/* Fills the window of the wanted output pixel that comes `index`-th in the source's own order; `scratch` has room for
 * a->taps numbers (Pillow's precompute_coeffs and normalize_coeffs_8bpc). */
static void window_make(const axis *a, int index, double *scratch, window *w)
{
    const int out = a->first + (a->flipped ? a->count - 1 - index : index);
    if (!a->changes) {
        w->first = a->flipped ? a->in - 1 - out : out;
        w->count = 1;
        return;
    }
    const double center = (out + 0.5) * a->scale, inverse = 1.0 / a->filter_scale;
    int first = (int)(center - a->support + 0.5), end = (int)(center + a->support + 0.5);
    if (first < 0) first = 0;
    if (end > a->in) end = a->in;
    w->first = a->flipped ? a->in - end : first;
    w->count = end - first;

    double sum = 0;
    for (int i = 0; i < w->count; i++) {
        scratch[i] = filter_value(a->filter, (i + first - center + 0.5) * inverse);
        sum += scratch[i];
    }
    for (int i = 0; i < w->count + (w->count & 1); i++) {
        int weight = 0;
        if (i < w->count) {
            double exact = scratch[a->flipped ? w->count - 1 - i : i];
            exact = (sum != 0 ? exact / sum : exact) * (1 << PRECISION_BITS);
            weight = (int)(exact < 0 ? exact - 0.5 : exact + 0.5);
        }
        int low = weight & ((1 << LOW_BITS) - 1);
        int16_t *pair = w->weights + i / 2 * 4 + i % 2;
        pair[0] = (int16_t)((weight - low) / (1 << LOW_BITS));
        pair[2] = (int16_t)low;
    }
}

/* The nearest source pixel of each wanted output pixel, in the source's own order, as Pillow's ImagingScaleAffine finds
 * it: one sum that grows, with what its additions round. */
static void nearest_make(const axis *a, int *pixels)
{
    double at = a->scale * 0.5;
    for (int out = 0; out < a->first + a->count; out++, at += a->scale) {
        const int i = out - a->first;
        if (i >= 0) pixels[a->flipped ? a->count - 1 - i : i] = a->flipped ? a->in - 1 - (int)at : (int)at;
    }
}

/* ---- the two passes -----------------------------------------------------------------------------------------------
 */

static inline int window_weight(const window *w, int tap)
{
    const int16_t *pair = w->weights + tap / 2 * 4 + tap % 2;
    return pair[0] * (1 << LOW_BITS) + pair[2];
}

static inline uint8_t round_to_byte(int sum)
{
    sum = (sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

#if SIMD
static inline vec round_vec(vec high, vec low)
{
    vec sum = vec_add(vec_add(vec_shift_left(high, LOW_BITS), low), vec_splat(1 << (PRECISION_BITS - 1)));
    return vec_shift_right(sum, PRECISION_BITS);
}
#endif

/* One row through `count` windows: dst[i] = the mean of the pixels of src under windows[i]. Both rows have SLACK. */
static OWN_FUNCTION void pass_horizontal(const window *windows, int count, const uint8_t *src, uint8_t *dst,
                                         int channels)
{
    for (int i = 0; i < count; i++, dst += channels) {
        const window *w = &windows[i];
        const uint8_t *p = src + (size_t)w->first * (size_t)channels;
#if SIMD
        const int16_t *k = w->weights;
        vec high = vec_zero(), low = vec_zero();
        for (int tap = 0; tap < w->count; tap += 2, p += 2 * channels, k += 4) {
            vec pixels = vec_widen_low(vec_interleave_low(vec_load_low(p), vec_load_low(p + channels)));
            high = vec_add(high, vec_dot(pixels, vec_load_splat32(k)));
            low = vec_add(low, vec_dot(pixels, vec_load_splat32(k + 2)));
        }
        vec sum = round_vec(high, low);
        sum = vec_narrow32(sum, sum);
        vec_store32(dst, vec_narrow16(sum, sum));
#else
        int sum[4] = {0, 0, 0, 0};
        for (int tap = 0; tap < w->count; tap++, p += channels) {
            int k = window_weight(w, tap);
            for (int c = 0; c < channels; c++) sum[c] += p[c] * k;
        }
        for (int c = 0; c < channels; c++) dst[c] = round_to_byte(sum[c]);
#endif
    }
}

#if SIMD
/* 16 bytes of pass_vertical, from column x. */
static inline void vertical_block(const window *w, const uint8_t *const *rows, size_t x, uint8_t *dst)
{
    vec high[4], low[4];
    for (int i = 0; i < 4; i++) high[i] = low[i] = vec_zero();
    for (int tap = 0; tap < w->count; tap += 2) {
        vec a = vec_load(rows[tap] + x), b = vec_load(rows[tap + 1] + x);
        vec k_high = vec_load_splat32(w->weights + tap * 2), k_low = vec_load_splat32(w->weights + tap * 2 + 2);
        vec front = vec_interleave_low(a, b), back = vec_interleave_high(a, b);
        vec pixels[4] = {vec_widen_low(front), vec_widen_high(front), vec_widen_low(back), vec_widen_high(back)};
        for (int i = 0; i < 4; i++) {
            high[i] = vec_add(high[i], vec_dot(pixels[i], k_high));
            low[i] = vec_add(low[i], vec_dot(pixels[i], k_low));
        }
    }
    vec_store(dst + x, vec_narrow16(vec_narrow32(round_vec(high[0], low[0]), round_vec(high[1], low[1])),
                                    vec_narrow32(round_vec(high[2], low[2]), round_vec(high[3], low[3]))));
}
#endif

/* dst[0, n) = the mean of w->count rows. rows[w->count] must be readable too if the count is odd. */
static OWN_FUNCTION void pass_vertical(const window *w, const uint8_t *const *rows, size_t n, uint8_t *dst)
{
    size_t x = 0;
#if SIMD
    for (; x + 16 <= n; x += 16) vertical_block(w, rows, x, dst);
    if (x < n && n >= 16) { /* the rest, together with bytes that are already done */
        vertical_block(w, rows, n - 16, dst);
        return;
    }
#endif
    while (x < n) {
        size_t block = n - x < 16 ? n - x : 16;
        int sum[16] = {0};
        for (int tap = 0; tap < w->count; tap++) {
            const uint8_t *p = rows[tap] + x;
            int k = window_weight(w, tap);
            for (size_t i = 0; i < block; i++) sum[i] += p[i] * k;
        }
        for (size_t i = 0; i < block; i++) dst[x + i] = round_to_byte(sum[i]);
        x += block;
    }
}

/* ---- pixels -------------------------------------------------------------------------------------------------------
 */

/* True if every alpha of n RGBA pixels is 255: then premultiplying changes nothing. */
static OWN_FUNCTION int is_opaque(const uint8_t *src, size_t n)
{
    uint32_t all = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        uint32_t pixel;
        memcpy(&pixel, src + 4 * i, 4);
        all &= pixel;
    }
    uint8_t bytes[4];
    memcpy(bytes, &all, 4);
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
static uint8_t *new_row(size_t n) { return hc_allocate((uint64_t)n + SLACK, 1); }

struct hc_resizer {
    hc_mode mode;
    const uint8_t *palette;
    int channels;
    uint8_t *out;           /* where the first output pixel in the source's own order goes */
    ptrdiff_t across, down; /* from there to that of the next column and row of the source */
    axis x, y;
    int vertical_first, premultiplied;
    int next; /* the source row that comes next */
    int done; /* how many of the wanted rows, in the source's own order, have been written */

    /* Nearest neighbours, of HC_PALETTE: [x.count] and [y.count]. */
    int *columns, *rows;

    /* Every other mode. */
    int left, wide;   /* the columns of the source that are needed */
    window *windows;  /* of the output columns, [x.count]; `first` counts from `left` */
    int16_t *weights; /* of all windows */
    double *scratch;
    window row_window;     /* of the output row in hand */
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
    nearest_make(&r->x, r->columns);
    nearest_make(&r->y, r->rows);
    return 1;
}

static int prepare_windows(hc_resizer *r)
{
    const size_t columns = (size_t)r->x.count, pixel = (size_t)r->channels;
    r->scratch = hc_allocate(r->x.taps > r->y.taps ? r->x.taps : r->y.taps, sizeof *r->scratch);
    r->windows = hc_allocate(columns, sizeof *r->windows);
    r->weights = hc_allocate(hc_size_sum(hc_size_product(r->x.taps, r->x.changes ? columns : 0), r->y.taps),
                             2 * sizeof *r->weights);
    r->under = hc_allocate(r->y.taps, sizeof *r->under);
    if (!r->scratch || !r->windows || !r->weights || !r->under) return 0;

    /* The columns' windows come first: they tell which columns of the source are needed at all. */
    int16_t *weights = r->weights;
    for (size_t i = 0; i < columns; i++) {
        r->windows[i].weights = weights;
        window_make(&r->x, (int)i, r->scratch, &r->windows[i]);
        weights += r->x.changes ? 2 * r->x.taps : 0;
    }
    r->row_window.weights = weights;
    const window *last = &r->windows[columns - 1];
    r->left = r->windows[0].first;
    r->wide = last->first + last->count - r->left;
    for (size_t i = 0; i < columns; i++) r->windows[i].first -= r->left;

    const size_t wide = (size_t)r->wide * pixel, narrow = columns * pixel;
    r->ring_stride = r->vertical_first ? wide : narrow;
    r->source = new_row(wide);
    r->between = new_row(wide);
    r->final = new_row(narrow);
    r->ring = hc_allocate(hc_size_sum(hc_size_product(r->ring_stride, r->y.taps), SLACK), 1);
    if (!r->source || !r->between || !r->final || !r->ring) return 0;
    window_make(&r->y, 0, r->scratch, &r->row_window);
    return 1;
}

hc_resizer *hc_resizer_new(const hc_picture *picture, int out_width, int out_height, hc_filter filter,
                           const hc_box *box, uint8_t *out, size_t stride)
{
    hc_resizer *r = hc_allocate_zeros(1, sizeof *r);
    if (!r) return NULL;
    /* The eight orientations of EXIF: from the fifth on, rows and columns change places. */
    const int orientation = picture->orientation, crosswise = orientation >= 5;
    const int flipped_x = orientation == 2 || orientation == 3 || orientation >= 7;
    const int flipped_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const int width = crosswise ? picture->height : picture->width,
              height = crosswise ? picture->width : picture->height;
    r->mode = picture->mode;
    r->palette = picture->palette;
    r->channels = r->mode == HC_PALETTE ? 1 : r->mode == HC_RGB ? 3 : 4;
    r->premultiplied = r->mode == HC_RGBA && (width != out_width || height != out_height);

    const axis across = axis_make(filter, width, out_width, box->left, box->width, crosswise ? flipped_y : flipped_x);
    const axis down = axis_make(filter, height, out_height, box->top, box->height, crosswise ? flipped_x : flipped_y);
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

/* Puts the next source row into the ring: its needed columns, alpha premultiplied, after the horizontal pass if that
 * comes first. */
static void enter(hc_resizer *r, const uint8_t *row)
{
    const size_t n = (size_t)r->wide;
    uint8_t *slot = r->ring + (size_t)r->next % r->y.taps * r->ring_stride;
    row += (size_t)r->left * (size_t)r->channels;
    const int clear = r->premultiplied && !is_opaque(row, n);
    if (!r->x.changes || r->vertical_first) {
        if (clear) premultiply(row, n, slot);
        else memcpy(slot, row, n * (size_t)r->channels);
        return;
    }
    /* The pass reads beyond the row's end. */
    if (clear) premultiply(row, n, r->source);
    else memcpy(r->source, row, n * (size_t)r->channels);
    pass_horizontal(r->windows, r->x.count, r->source, slot, r->channels);
}

/* Makes the output row in hand of the rows in the ring. */
static void emit(hc_resizer *r)
{
    const window *w = &r->row_window;
    for (int i = 0; i < w->count; i++) r->under[i] = r->ring + (size_t)(w->first + i) % r->y.taps * r->ring_stride;
    if (w->count & 1 && r->y.changes) r->under[w->count] = r->under[0];

    const uint8_t *row = r->under[0];
    if (r->y.changes) {
        uint8_t *after = r->vertical_first && r->x.changes ? r->between : r->final;
        pass_vertical(w, r->under, r->ring_stride, after);
        row = after;
    }
    if (r->vertical_first && r->x.changes) {
        pass_horizontal(r->windows, r->x.count, row, r->final, r->channels);
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
    const window *w = &r->row_window;
    if (r->done < r->y.count && r->next >= w->first) enter(r, row);
    r->next++;
    while (r->done < r->y.count && r->next >= w->first + w->count) {
        emit(r);
        if (++r->done < r->y.count) window_make(&r->y, r->done, r->scratch, &r->row_window);
    }
}
