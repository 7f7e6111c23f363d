/* positions.c: positions by formula. */
#include "operations/operations.h"

#include "tower/pass.h"

static const hc_op_kind SINUSOIDS;

hc_value hc_sinusoids(hc_network *net, int rows, int width, int padding)
{
    hc_op op = {.kind = &SINUSOIDS, .skip = padding, .out = hc_network_value(net, HC_SHARED, rows, width)};
    return hc_network_op(net, "positions", op);
}

typedef struct job {
    hc_span_of_rows out;
    int padding;
} job;

/* e^x for x from -16 to 0, by its series. */
static double exponential(double x)
{
    double term = 1, sum = 1;
    x /= 16;
    for (int n = 1; n < 16; n++) sum += term *= x / n;
    for (int n = 0; n < 4; n++) sum *= sum;
    return sum;
}

/* Columns k and half + k. The angle, at most 1, is added from row to row: doubles stay exact enough over all the rows
 * that there can be. */
static void fill_column(const job *j, double angle, int k, int half)
{
    double sine = angle, cosine = 1, term = angle, x = 0, y = 1; /* x and y: the row's */
    for (int n = 2; n < 20; n += 2) {
        term *= -angle / n; /* of the cosine's series */
        cosine += term;
        term *= angle / (n + 1); /* of the sine's */
        sine += term;
    }
    for (int row = 0; row < j->out.count; row++) {
        float *at = j->out.at + (size_t)row * j->out.stride + (size_t)k;
        double next = x * cosine + y * sine;
        at[0] = row == j->padding ? 0 : (float)x;
        at[half] = row == j->padding ? 0 : (float)y;
        y = y * cosine - x * sine;
        x = next;
    }
}

static void fill(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    int width = j->out.width, half = width / 2;
    for (int k = first; k < last; k++) {
        if (k < half) fill_column(j, exponential(-9.2103403719761827361 * k / (half - 1)), k, half); /* 1 / 10000^… */
        for (int row = 0; k >= half && row < j->out.count; row++) /* an odd width's last column */
            j->out.at[(size_t)row * j->out.stride + (size_t)width - 1] = 0;
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->out), op->skip};
    hc_each(pass->steps, (j.out.width + 1) / 2, HC_PANEL, (uint64_t)j.out.count * HC_VALUE_COST, fill, &j);
}

static const hc_op_kind SINUSOIDS = {.name = "positions", .run = run};
