/* reference.h: what kernels.h promises, in plain scalar double precision, as short as it can be said. The tests compare
 * the kernels with it. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "kernels/kernels.h"

#include <math.h>

/* e^x by Taylor's series around the nearest multiple of ln 2; written out because the WebAssembly build of these tests
 * has no libm. */
static double reference_exp(double x)
{
    const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    if (x != x || x > 709) return x != x ? x : 1e308 * 10;
    if (x < -745) return 0;
    double n = floor(x / (ln2_high + ln2_low) + 0.5), r = x - n * ln2_high - n * ln2_low, sum = 1;
    for (int i = 22; i > 0; i--) sum = 1 + sum * r / i;
    for (; n > 0; n--) sum *= 2;
    for (; n < 0; n++) sum /= 2;
    return sum;
}

static double reference_tanh(double x)
{
    if (fabs(x) < 1e-3) return x - x * x * x / 3;
    return x > 20 ? 1 : x < -20 ? -1 : 1 - 2 / (reference_exp(2 * x) + 1);
}

/* Abramowitz and Stegun 7.1.6; all terms are positive, so none cancel. */
static double reference_erf(double x)
{
    const double two_over_root_pi = 1.12837916709551257390;
    if (fabs(x) > 6) return x > 0 ? 1 : -1;
    double term = x, sum = x;
    for (int n = 1; n < 200; n++) sum += term *= 2 * x * x / (2 * n + 1);
    return two_over_root_pi * reference_exp(-x * x) * sum;
}

static double reference_activate(hc_activation activation, double x)
{
    switch (activation) {
    case HC_GELU: return 0.5 * x * (1 + reference_erf(x * 0.70710678118654752440));
    case HC_GELU_TANH: return 0.5 * x * (1 + reference_tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case HC_QUICK_GELU: return x / (1 + reference_exp(-1.702 * x));
    case HC_RELU: return x > 0 ? x : 0;
    case HC_SILU: return x / (1 + reference_exp(-x));
    case HC_IDENTITY: break;
    }
    return x;
}

/* IEEE 754 binary16. */
static double reference_half(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double value = exponent ? 1024 + fraction : fraction, sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31) return fraction ? NAN : sign * (double)INFINITY;
    for (int e = exponent ? exponent : 1; e > 25; e--) value *= 2;
    for (int e = exponent ? exponent : 1; e < 25; e++) value /= 2;
    return sign * value;
}

static double reference_epilogue(const hc_epilogue *e, double sum, int channel, double residual)
{
    double y = (e->scale ? (double)e->scale[channel] : 1) * sum + (e->bias ? (double)e->bias[channel] : 0);
    y = reference_activate(e->activation, e->activate_last ? residual + y : y);
    return (e->activate_last ? 0 : residual) + (e->gamma ? (double)e->gamma[channel] : 1) * y;
}

static void reference_layer_norm(const float *x, int n, const float *weight, const float *bias, double eps, double *out)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < n; i++) mean += (double)x[i] / n;
    for (int i = 0; i < n; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        out[i] = ((double)x[i] - mean) / sqrt(variance + eps) * (double)weight[i] + (double)bias[i];
}

static void reference_rms_norm(const float *x, int n, const float *weight, double eps, int centred, double *out)
{
    double squares = 0, mean = 0;
    for (int i = 0; centred && i < n; i++) mean += (double)x[i] / n;
    for (int i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean) / (centred ? n - 1 : n);
    for (int i = 0; i < n; i++) out[i] = (double)x[i] / sqrt(squares + eps) * (double)weight[i];
}

/* One query row; weights [kv_rows] is scratch. */
static void reference_attention(const hc_attention *t, int row, double *weights, double *out)
{
    double most = -1e300, sum = 0;
    for (int j = 0; j < t->kv_rows; j++) {
        int unseen = (t->causal && j > t->q_first + row) || (t->hidden && t->hidden[j]);
        double score = 0;
        for (int d = 0; d < t->head_dim; d++)
            score += (double)t->q[(size_t)row * t->q_stride + (size_t)d] *
                     (double)t->k[(size_t)j * t->kv_stride + (size_t)d];
        double bias = t->bias ? (double)t->bias[j * t->bias_stride + row] : 0;
        weights[j] = unseen ? -1e300 : score * (double)t->scale + bias;
        most = weights[j] > most ? weights[j] : most;
    }
    for (int j = 0; j < t->kv_rows; j++) {
        weights[j] = weights[j] == -1e300 ? 0 : reference_exp(weights[j] - most);
        sum += weights[j];
    }
    for (int d = 0; d < t->head_dim; d++) {
        out[d] = 0;
        for (int j = 0; j < t->kv_rows && sum > 0; j++)
            out[d] += weights[j] / sum * (double)t->v[(size_t)j * t->kv_stride + (size_t)d];
    }
}

#endif
