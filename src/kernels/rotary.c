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
