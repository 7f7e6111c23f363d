/* windows.c: Pillow's filters and its windows of source pixels, in doubles with the operations in its order, rounded to
 * its fixed-point weights. */
#include "picture/windows.h"

#include <math.h>

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

hc_axis hc_axis_make(hc_filter filter, int in, int out, int first, int count, int flipped)
{
    hc_axis a = {.filter = filter,
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
    a.taps = ((most < in ? (size_t)most : (size_t)in) + HC_TAPS_AT_ONCE - 1) & ~(size_t)(HC_TAPS_AT_ONCE - 1);
    return a;
}

/* The weights of the pixels from `first` on under a filter around `center`, in the picture's order: Pillow's
 * normalize_coeffs_8bpc. */
static void set_weights(const hc_axis *a, int first, double center, double *scratch, hc_window *w)
{
    const double inverse = 1.0 / a->filter_scale;
    double sum = 0;
    for (int i = 0; i < w->count; i++) {
        scratch[i] = filter_value(a->filter, (i + first - center + 0.5) * inverse);
        sum += scratch[i];
    }
    for (int i = 0; i < w->count; i++) {
        double exact = scratch[a->flipped ? w->count - 1 - i : i];
        exact = (sum != 0 ? exact / sum : exact) * (1 << HC_WEIGHT_BITS);
        w->exact[i] = (int32_t)(exact < 0 ? exact - 0.5 : exact + 0.5);
    }
}

/* The near weights. What they leave, r, adds sum(p * r) = 128 * sum(r) + sum((p - 128) * r), whose last part is at most
 * 128 * sum(|r|). */
static void set_near(size_t taps, hc_window *w)
{
    int32_t most = 0;
    for (int i = 0; i < w->count; i++) {
        const int32_t size = w->exact[i] < 0 ? -w->exact[i] : w->exact[i];
        if (size > most) most = size;
    }
    w->shift = 0;
    while (most >> w->shift >= INT16_MAX) w->shift++;
    const int32_t unit = 1 << w->shift;
    w->offset = w->slack = 0;
    for (int i = 0; i < w->count; i++) {
        const int32_t near = (w->exact[i] + unit / 2) >> w->shift, rest = w->exact[i] - near * unit;
        w->near[i] = (int16_t)near;
        w->offset += 128 * rest;
        w->slack += 128 * (rest < 0 ? -rest : rest);
    }
    for (size_t i = (size_t)w->count; i < taps; i++) w->near[i] = 0;
}

/* Pillow's precompute_coeffs. */
void hc_window_make(const hc_axis *a, int index, double *scratch, hc_window *w)
{
    const int out = a->first + (a->flipped ? a->count - 1 - index : index);
    if (!a->changes) {
        w->first = a->flipped ? a->in - 1 - out : out;
        w->count = 1;
        return;
    }
    const double center = (out + 0.5) * a->scale;
    int first = (int)(center - a->support + 0.5), end = (int)(center + a->support + 0.5);
    if (first < 0) first = 0;
    if (end > a->in) end = a->in;
    w->first = a->flipped ? a->in - end : first;
    w->count = end - first;
    set_weights(a, first, center, scratch, w);
    set_near(a->taps, w);
}

/* As Pillow's ImagingScaleAffine finds them: one sum that grows, with what its additions round. */
void hc_nearest_make(const hc_axis *a, int *pixels)
{
    double at = a->scale * 0.5;
    for (int out = 0; out < a->first + a->count; out++, at += a->scale) {
        const int i = out - a->first;
        if (i >= 0) pixels[a->flipped ? a->count - 1 - i : i] = a->flipped ? a->in - 1 - (int)at : (int)at;
    }
}
