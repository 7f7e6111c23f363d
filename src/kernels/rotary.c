/* rotary.c: pairs of numbers turned by angles (Su et al., "RoFormer", 2021). */
#include "kernels/kernels.h"
#include "kernels/simd.h"

/* x[i] becomes x[i] * cosines[i] + x[i ^ 1] * sines[i]; `sines` have a minus in front of every other one. */
static void turn(float *x, int n, const float *cosines, const float *sines)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        f32x4 v = f32_load(x + i), other = __builtin_shufflevector(v, v, 1, 0, 3, 2);
        f32_store(x + i, v * f32_load(cosines + i) + other * f32_load(sines + i));
    }
    for (; i + 2 <= n; i += 2) {
        float first = x[i], second = x[i + 1];
        x[i] = first * cosines[i] + second * sines[i];
        x[i + 1] = second * cosines[i + 1] + first * sines[i + 1];
    }
}

void hc_rotate(float *x, int heads, int half, const float *first, const float *second)
{
    for (int head = 0; head < heads; head++, x += 2 * half) {
        turn(x, half, first, first + half);
        turn(x + half, half, second, second + half);
    }
}

/* Pairs (a[i], b[i]). */
static void turn_apart(float *a, float *b, int n, const float *cosines, const float *sines)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        f32x4 first = f32_load(a + i), second = f32_load(b + i), c = f32_load(cosines + i), s = f32_load(sines + i);
        f32_store(a + i, first * c - second * s);
        f32_store(b + i, second * c + first * s);
    }
    for (; i < n; i++) {
        float first = a[i], second = b[i];
        a[i] = first * cosines[i] - second * sines[i];
        b[i] = second * cosines[i] + first * sines[i];
    }
}

void hc_rotate_halves(float *x, int heads, int half, const float *first, const float *second)
{
    int n = half / 2;
    for (int head = 0; head < heads; head++, x += 2 * half) {
        turn_apart(x, x + half, n, first, first + n);
        turn_apart(x + n, x + half + n, n, second, second + n);
    }
}
