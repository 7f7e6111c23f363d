/* kernels_grid.h: tests of convolution and pooling against plain loops. Grids end where their memory does. */
#ifndef KERNELS_GRID_H
#define KERNELS_GRID_H

#include "kernels_support.h"
#include "kernels/grid.h"

typedef struct test_grid {
    hc_grid grid;
    hc_window window;
    float *values;
    int down; /* output rows */
} test_grid;

/* `more`: how much larger the padding behind the last pixels is than that before the first ones. */
static test_grid make_grid(int height, int width, int channels, hc_window window, int more)
{
    test_grid t = {.window = window, .values = random_floats((size_t)(height * width * channels), 1)};
    t.grid = (hc_grid){.at = t.values, .height = height, .width = width, .channels = channels};
    t.window.across = (width + 2 * window.before + more - window.width) / window.stride + 1;
    t.down = (height + 2 * window.above + more - window.height) / window.stride + 1;
    return t;
}

/* What a window covers at pixel (y, x) of it, or NULL beyond the border. */
static const float *covered_pixel(const test_grid *t, int out_y, int out_x, int y, int x)
{
    int in_y = out_y * t->window.stride - t->window.above + y, in_x = out_x * t->window.stride - t->window.before + x;
    if (in_y < 0 || in_y >= t->grid.height || in_x < 0 || in_x >= t->grid.width) return NULL;
    return t->values + (in_y * t->grid.width + in_x) * t->grid.channels;
}

static void gather_window(const test_grid *t, int pixel, float *row)
{
    int channels = t->grid.channels;
    for (int y = 0; y < t->window.height; y++)
        for (int x = 0; x < t->window.width; x++)
            for (int c = 0; c < channels; c++) {
                const float *in = covered_pixel(t, pixel / t->window.across, pixel % t->window.across, y, x);
                *row++ = in ? in[c] : 0;
            }
}

static int window_values(const test_grid *t) { return t->window.height * t->window.width * t->grid.channels; }

/* The same values in the same places as if each window were gathered first. The rows are `before` further than the
 * picture's pixels, as those of the second picture of a batch. */
static void check_windows(const test_grid *t, hc_storage storage, int exact, hc_dot dot, int before)
{
    int k = window_values(t), count = before + t->window.across * t->down, quantised = hc_is_quantised(storage);
    hc_matrix w = shape_of(k, storage);
    hc_rows found = make_rows(count, &w, exact, 0, dot), expected = make_rows(count, &w, exact, 0, dot);
    size_t bytes = rows_bytes(count, &w, 0);
    float *scratch = allocate((size_t)k * sizeof *scratch);
    float *range = allocate((size_t)(t->grid.height * t->grid.width) * 2 * sizeof *range);
    hc_grid grid = t->grid;
    if (quantised && random_bits() & 1) {
        int middle = random_below(grid.height * grid.width);
        hc_grid_range(&grid, middle, grid.height * grid.width, range);
        hc_grid_range(&grid, 0, middle, range);
        grid.range = range;
    }
    memset(quantised ? (void *)found.q : (void *)found.x, 0, bytes);
    memset(quantised ? (void *)expected.q : (void *)expected.x, 0, bytes);
    for (int first = before, last; first < count; first = last) {
        last = first + 1 + random_below(count - first);
        hc_rows_put_windows(&found, first, last, &grid, &t->window, -before, scratch);
    }
    for (int row = before; row < count; row++) {
        gather_window(t, row - before, scratch);
        hc_rows_put(&expected, row, scratch);
    }
    int same = quantised ? !memcmp(found.q, expected.q, bytes) : !memcmp(found.x, expected.x, bytes);
    CHECK(same,
          "%dx%dx%d, window %dx%d stride %d padding %d, %d, storage %d exact %d dot %d: other rows than gathered ones",
          grid.height, grid.width, grid.channels, t->window.height, t->window.width, t->window.stride, t->window.above,
          t->window.before, (int)storage, exact, (int)dot);
    free(range);
    free(scratch);
    free_rows(&found);
    free_rows(&expected);
}

static void check_convolution(const test_grid *t, int n)
{
    int k = window_values(t), count = t->window.across * t->down;
    test_matrix w = make_weights(n, k, HC_STORE_F32, RANDOM);
    hc_rows rows = make_rows(count, &w.packed, 0, 0, HC_DOT_PAIRS);
    float *scratch = allocate((size_t)k * sizeof *scratch), *out = guarded(count, n);
    hc_epilogue plain = {0};
    double worst = 0;
    hc_rows_put_windows(&rows, 0, count, &t->grid, &t->window, 0, scratch);
    hc_gemm(NULL, &w.packed, &rows, &plain, out, (size_t)(n + GAP));
    for (int pixel = 0; pixel < count; pixel++)
        for (int channel = 0; channel < n; channel++) {
            const double *weight = w.plain + channel * k;
            double sum = 0;
            for (int y = 0; y < t->window.height; y++)
                for (int x = 0; x < t->window.width; x++)
                    for (int c = 0; c < t->grid.channels; c++, weight++) {
                        const float *in = covered_pixel(t, pixel / t->window.across, pixel % t->window.across, y, x);
                        sum += in ? (double)in[c] * *weight : 0;
                    }
            double error = fabs((double)out[(size_t)pixel * (size_t)(n + GAP) + (size_t)channel] - sum) / (k + 1);
            worst = error > worst ? error : worst;
        }
    CHECK(worst < 5e-7, "convolution of %dx%dx%d: %g", t->grid.height, t->grid.width, t->grid.channels, worst);
    free(out);
    free(scratch);
    free_rows(&rows);
    free_weights(&w);
}

/* All panels, in bands that are cut somewhere, too. */
static void run_depthwise(const test_grid *t, const hc_matrix *w, int exact, const hc_epilogue *e, int cut, float *out)
{
    float *scratch = allocate((size_t)hc_depthwise_scratch(&t->window, t->down) * sizeof *scratch);
    for (int panel = (w->n + HC_PANEL - 1) / HC_PANEL; panel-- > 0;) {
        if (cut < t->down) hc_depthwise(&t->grid, &t->window, w, exact, e, panel, cut, t->down, scratch, out);
        if (cut > 0) hc_depthwise(&t->grid, &t->window, w, exact, e, panel, 0, cut, scratch, out);
    }
    free(scratch);
}

/* Each channel of the grid is seen by `times` output channels. */
static void check_depthwise(const test_grid *t, int times, int which)
{
    int channels = t->grid.channels * times, pixels = t->window.across * t->down,
        k = t->window.height * t->window.width;
    size_t count = (size_t)(pixels * channels);
    test_matrix w = make_weights(channels, k, random_bits() & 1 ? HC_STORE_F32 : HC_STORE_F16, RANDOM);
    float *residual = random_floats(count, 1), *out = random_floats(count, 1), *sums = allocate(count * sizeof *sums),
          *contracted = allocate(count * sizeof *sums);
    hc_epilogue e = make_epilogue(channels, which), plain = {0};
    int cut = random_below(t->down + 1);
    run_depthwise(t, &w.packed, 1, &plain, 0, sums);
    run_depthwise(t, &w.packed, 0, &plain, cut, contracted);
    if (which & RESIDUAL) {
        e.residual = which & IN_PLACE ? out : residual;
        if (which & IN_PLACE) memcpy(out, residual, count * sizeof *out);
    }
    run_depthwise(t, &w.packed, 1, &e, cut, out);
    hash(HASH_DEPTHWISE, out, count * sizeof *out);
    int wrong = 0;
    double worst = 0, worst_sum = 0;
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int c = 0; c < channels; c++) {
            float sum = 0;
            for (int y = 0; y < t->window.height; y++)
                for (int x = 0; x < t->window.width; x++) {
                    const float *in = covered_pixel(t, pixel / t->window.across, pixel % t->window.across, y, x);
                    float product = in ? in[c / times] * (float)w.plain[c * k + y * t->window.width + x] : 0;
                    sum += product;
                }
            int at = pixel * channels + c;
            wrong += sums[at] != sum;
            double expected = reference_epilogue(&e, (double)sum, c, e.residual ? (double)residual[at] : 0);
            double error = fabs((double)out[at] - expected) / (fabs((double)sum) + 4),
                   sum_error = fabs((double)(contracted[at] - sum)) / k;
            worst = error > worst ? error : worst;
            worst_sum = sum_error > worst_sum ? sum_error : worst_sum;
        }
    CHECK(!wrong, "depthwise %dx%dx%d: %d wrong sums", t->grid.height, t->grid.width, channels, wrong);
    CHECK(worst < 5e-7, "depthwise %dx%dx%d, epilogue %d: %g", t->grid.height, t->grid.width, channels, which, worst);
    CHECK(worst_sum < 5e-7, "depthwise %dx%dx%d, contracted: %g", t->grid.height, t->grid.width, channels, worst_sum);
    free(contracted);
    free(sums);
    free(out);
    free(residual);
    free_weights(&w);
    free_epilogue(&e);
}

static void check_pool(const test_grid *t, hc_pooling pooling)
{
    int channels = t->grid.channels, pixels = t->window.across * t->down, cut = random_below(t->down + 1), wrong = 0;
    float *out = allocate((size_t)(pixels * channels) * sizeof *out);
    hc_pool(pooling, &t->grid, &t->window, 0, cut, out);
    hc_pool(pooling, &t->grid, &t->window, cut, t->down, out);
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int c = 0; c < channels; c++) {
            float sum = 0, most = -INFINITY;
            int count = 0;
            for (int y = 0; y < t->window.height; y++)
                for (int x = 0; x < t->window.width; x++) {
                    const float *in = covered_pixel(t, pixel / t->window.across, pixel % t->window.across, y, x);
                    sum += in ? in[c] : 0;
                    count += in != NULL;
                    most = in && in[c] > most ? in[c] : most;
                }
            float average = sum / (float)(count ? count : 1);
            wrong += out[pixel * channels + c] != (pooling == HC_POOL_AVERAGE ? average : most);
        }
    CHECK(!wrong, "pooling %d of %dx%dx%d: %d wrong", (int)pooling, t->grid.height, t->grid.width, channels, wrong);
    free(out);
}

/* Global Response Normalization of n channels, in two parts. */
static void check_response(int rows, int n)
{
    size_t stride = (size_t)n + 3;
    float *x = random_floats((size_t)rows * stride, 2), *y = allocate((size_t)rows * stride * sizeof *y),
          *norms = allocate((size_t)n * sizeof *norms), *weight = random_floats((size_t)n, 1),
          *bias = random_floats((size_t)n + HC_PANEL, 1);
    double worst = 0, mean = 0, *lengths = allocate((size_t)n * sizeof *lengths);
    int cut = random_below(n + 1);
    for (int c = 0; c < n; c++) {
        double sum = 0;
        for (int r = 0; r < rows; r++)
            sum += (double)x[(size_t)r * stride + (size_t)c] * x[(size_t)r * stride + (size_t)c];
        lengths[c] = sqrt(sum);
        mean += lengths[c] / n;
    }
    memcpy(y, x, (size_t)rows * stride * sizeof *y);
    hc_response_norms(y, stride, rows, cut, n, norms);
    hc_response_norms(y, stride, rows, 0, cut, norms);
    hc_response_factors(n, weight, 0.5f, norms);
    for (int r = 0; r < rows; r++) hc_response_apply(n, norms, bias, y + (size_t)r * stride);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < n; c++) {
            size_t at = (size_t)r * stride + (size_t)c;
            double expected = x[at] + weight[c] * x[at] * lengths[c] / (mean + 0.5) + bias[c];
            double error = fabs((double)y[at] - expected);
            worst = error > worst || error != error ? error : worst;
        }
    for (int r = 0; r < rows; r++) hash(HASH_RESPONSE, y + (size_t)r * stride, (size_t)n * sizeof *y);
    int beyond = 0;
    for (int r = 0; r < rows; r++)
        beyond += memcmp(y + (size_t)r * stride + n, x + (size_t)r * stride + n, 3 * sizeof *y) != 0;
    CHECK(worst < 1e-5 && !beyond, "response of %d by %d: %g, %d rows written beyond", rows, n, worst, beyond);
    free(lengths);
    free(bias);
    free(weight);
    free(norms);
    free(y);
    free(x);
}

static void check_grid(int height, int width, int channels, hc_window window)
{
    test_grid t = make_grid(height, width, channels, window, (height + width) % 2);
    for (int storage = HC_STORE_F32; storage <= HC_STORE_I4; storage++) {
        int exact = random_below(2), dot = random_below(2), before = random_below(3) * 5;
        check_windows(&t, (hc_storage)storage, exact, (hc_dot)dot, before);
    }
    check_convolution(&t, 1 + random_below(9));
    int which = random_below(64);
    which |= random_bits() & 1 ? SCALE | RELU : 0;
    which |= random_bits() & 1 ? LAST : 0;
    check_depthwise(&t, 1 + random_below(3), which);
    if (window.above + 1 < window.height && window.before + 1 < window.width) check_pool(&t, HC_POOL_MAX);
    check_pool(&t, HC_POOL_AVERAGE);
    free(t.values);
}

static void check_not_finite(void)
{
    test_grid t = make_grid(4, 5, 8, (hc_window){3, 3, 1, 1, 1, 0}, 0);
    float range[40], scratch[72];
    hc_matrix w = shape_of(72, HC_STORE_I8);
    hc_rows rows = make_rows(20, &w, 1, 0, HC_DOT_PAIRS);
    t.values[3] = NAN;
    t.values[19 * 8 + 7] = -INFINITY;
    hc_grid_range(&t.grid, 0, 20, range);
    for (int with = 0; with < 2; with++) {
        int wrong = 0;
        t.grid.range = with ? range : NULL;
        hc_rows_put_windows(&rows, 0, 20, &t.grid, &t.window, 0, scratch);
        for (int r = 0; r < 20; r++) {
            int near = (r / 5 <= 1 && r % 5 <= 1) || (r / 5 >= 2 && r % 5 >= 3);
            wrong += near ? !isnan(rows.scale[r]) : isnan(rows.scale[r]);
            for (size_t i = 0; i < rows.depth; i++) wrong += *level(&rows, r, i) < 0 || *level(&rows, r, i) > 127;
        }
        CHECK(!wrong, "windows with a NaN or an infinity: %d wrong", wrong);
    }
    free_rows(&rows);
    free(t.values);
}

/* Values far from zero, as the deviation of theirs is taken, and activations of others added. */
static void check_group_norm(int rows, int groups, int size)
{
    int n = groups * size, wrong = 0, cut = 4 * random_below(n / 4 + 1);
    size_t stride = (size_t)n + 4, count = (size_t)rows * stride;
    float *x = random_floats(count, 1), *y = allocate(count * sizeof *y), *add = random_floats(count, 1),
          *weight = random_floats((size_t)n, 1), *bias = random_floats((size_t)n, 1),
          *factors = allocate(2 * (size_t)n * sizeof *factors), *shifts = factors + n;
    hc_moments *moments = allocate((size_t)n * sizeof *moments);
    double worst = 0;
    for (size_t i = 0; i < count; i++) x[i] += 50;
    memcpy(y, x, count * sizeof *y);
    hc_group_moments(y, stride, rows, cut, n, moments);
    hc_group_moments(y, stride, rows, 0, cut, moments);
    hc_group_factors(moments, n, groups, weight, bias, 0.25f, factors, shifts);
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * stride;
        hc_group_apply(n, factors, shifts, r % 2 ? add + at : NULL, y + at);
        hash(HASH_GROUP_NORM, y + at, (size_t)n * sizeof *y);
        wrong += memcmp(y + at + n, x + at + n, 4 * sizeof *y) != 0;
    }
    for (int c = 0; c < n; c++) {
        double mean = 0, variance = 0, values = (double)rows * size;
        int first = c / size * size;
        for (int r = 0; r < rows; r++)
            for (int k = first; k < first + size; k++) mean += (double)x[(size_t)r * stride + (size_t)k] / values;
        for (int r = 0; r < rows; r++)
            for (int k = first; k < first + size; k++) {
                double off = (double)x[(size_t)r * stride + (size_t)k] - mean;
                variance += off * off / values;
            }
        for (int r = 0; r < rows; r++) {
            size_t at = (size_t)r * stride + (size_t)c;
            double expected = ((double)x[at] - mean) / sqrt(variance + 0.25) * (double)weight[c] + (double)bias[c] +
                              (r % 2 ? (double)add[at] : 0);
            double error = fabs((double)y[at] - expected);
            worst = error > worst || error != error ? error : worst;
        }
    }
    CHECK(worst < 5e-5 && !wrong, "group norm of %d by %d in %d groups: %g, %d rows written beyond", rows, n, groups,
          worst, wrong);
    free(moments);
    free(factors);
    free(bias);
    free(weight);
    free(add);
    free(y);
    free(x);
}

static void check_grids(void)
{
    for (int channels = 1; channels <= 20; channels++)
        for (int size = 1; size <= 3; size++)
            for (int stride = 1; stride <= 2; stride++) {
                int height = size + random_below(9), width = size + random_below(12);
                check_grid(height, width, channels, (hc_window){size, size, stride, size / 2, size / 2, 0});
            }
    for (int i = 0; i < 60; i++) {
        int down = 1 + random_below(7), across = 1 + random_below(7), stride = 1 + random_below(4),
            above = random_below(5), before = random_below(5), height = down + random_below(8),
            width = across + random_below(20), channels = 1 + random_below(24);
        check_grid(height, width, channels, (hc_window){down, across, stride, above, before, 0});
    }
    check_grid(2, 140, 8, (hc_window){3, 3, 1, 1, 1, 0});  /* a long row */
    check_grid(9, 9, 16, (hc_window){7, 7, 1, 3, 3, 0});   /* a window almost as large as the grid */
    check_grid(1, 1, 8, (hc_window){3, 3, 1, 1, 1, 0});    /* and larger */
    check_grid(6, 10, 12, (hc_window){6, 10, 1, 0, 0, 0}); /* all of the grid */
    check_grid(14, 14, 64, (hc_window){3, 3, 1, 1, 1, 0});
    check_not_finite();
    for (int n = 1; n <= 20; n++) check_response(1 + random_below(9), n);
    for (int size = 1; size <= 9; size++) check_group_norm(1 + random_below(200), 4, size);
    check_group_norm(12544, 32, 2);
}

#endif
