/* kernels_math.h: tests of exp, of the activations and of halves. */
#ifndef KERNELS_MATH_H
#define KERNELS_MATH_H

#include "kernels_support.h"

/* The largest |error| / max(1, |x|), over values spread evenly from -limit to limit. */
static double worst_activation(hc_activation activation, float limit)
{
    enum { N = 20000 };
    float *x = allocate((N + 1) * sizeof *x), *y = allocate((N + 1) * sizeof *y);
    double worst = 0;
    for (int i = 0; i <= N; i++) x[i] = y[i] = limit * ((float)(2 * i - N) / (float)N);
    hc_activate(activation, y, N + 1);
    hash(HASH_ACTIVATE, y, (N + 1) * sizeof *y);
    for (int i = 0; i <= N; i++) {
        double size = fabs((double)x[i]),
               error = fabs((double)y[i] - reference_activate(activation, (double)x[i])) / (size > 1 ? size : 1);
        worst = error > worst || error != error ? error : worst;
    }
    free(x);
    free(y);
    return worst;
}

static void check_functions(void)
{
    static const hc_activation all[] = {HC_IDENTITY, HC_GELU, HC_GELU_TANH, HC_QUICK_GELU, HC_SILU};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double near = worst_activation(all[i], 4), far = worst_activation(all[i], 1000);
        CHECK(near <= 5.5e-7 && far <= 5.5e-7, "activation %d: %g near 0, %g further away", (int)all[i], near, far);
    }
    float relu[] = {-1, -0.0f, 0.5f, NAN};
    hc_activate(HC_RELU, relu, 4);
    CHECK(relu[0] == 0 && relu[1] == 0 && relu[2] == 0.5f && isnan(relu[3]), "ReLU");
    double worst = 0;
    for (int i = 0; i <= 20000; i++) {
        float x = -87.0f + 175.0f * ((float)i / 20000), y = hc_expf(x);
        hash(HASH_EXP, &y, sizeof y);
        double error = fabs((double)y / reference_exp((double)x) - 1);
        worst = error > worst || error != error ? error : worst;
    }
    CHECK(worst < 1.2e-7, "exp: %g", worst);
    CHECK(hc_expf(0) == 1 && hc_expf(-INFINITY) == hc_expf(-87) && hc_expf(89) == hc_expf(88) && isnan(hc_expf(NAN)),
          "exp of special values");

    double near[2] = {0, 0};
    for (int i = -6000; i <= 6000; i++) {
        float gelu = (float)i / 1000;
        double x = (double)gelu, expected = reference_activate(HC_GELU, x);
        hc_activate(HC_GELU, &gelu, 1);
        near[i > 0] = fabs((double)gelu - expected) > near[i > 0] ? fabs((double)gelu - expected) : near[i > 0];
    }
    CHECK(near[0] < 5.5e-7 && near[1] < 5.5e-7, "GELU: %g below 0, %g above", near[0], near[1]);
}

static void check_halves(void)
{
    uint16_t *halves = allocate(65536 * sizeof *halves);
    float *floats = allocate(65536 * sizeof *floats);
    int wrong = 0, wrong_back = 0, wrong_tie = 0;
    for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    hc_halves_to_floats(halves + 1, floats + 1, 65535);
    floats[0] = hc_half_to_float(0);
    for (int i = 0; i < 65536; i++) {
        double expected = reference_half((uint16_t)i);
        int nan = isnan(expected);
        float one = hc_half_to_float((uint16_t)i), exact = (float)expected;
        wrong += nan ? !isnan(floats[i]) : memcmp(floats + i, &exact, sizeof exact) != 0;
        wrong += memcmp(&one, floats + i, sizeof one) != 0;
        uint16_t back = hc_float_to_half(floats[i]);
        wrong_back += nan ? !isnan(hc_half_to_float(back)) : back != i;
        /* halfway to the next half, and a little to both sides */
        if ((i & 0x7fff) < 0x7c00) {
            double next = (i & 0x7fff) == 0x7bff ? (i & 0x8000 ? -65536 : 65536) : reference_half((uint16_t)(i + 1));
            float middle = (float)((expected + next) / 2);
            wrong_tie += hc_float_to_half(middle) != i + (i & 1);
            wrong_tie += hc_float_to_half(middle * (1 - 1e-6f)) != i;
            wrong_tie += hc_float_to_half(middle * (1 + 1e-6f)) != i + 1;
        }
    }
    CHECK(wrong == 0, "%d of 65536 halves", wrong);
    CHECK(wrong_back == 0, "%d of 65536 halves there and back", wrong_back);
    CHECK(wrong_tie == 0, "%d roundings", wrong_tie);
    CHECK(hc_float_to_half(1e30f) == 0x7c00 && hc_float_to_half(-INFINITY) == 0xfc00 && hc_float_to_half(1e-30f) == 0 &&
              hc_float_to_half(-0.0f) == 0x8000,
          "overflow, underflow and signed zero");
    free(halves);
    free(floats);
}

#endif
