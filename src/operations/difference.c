/* difference.c: differential attention (Ye et al., "Differential Transformer", 2024). */
#include "operations/operations.h"
#include "operations/real.h"

#include "tower/pass.h"

#include <math.h>
#include <string.h>

/* ---- one half of each head's queries, zeros in place of the other: what is left of its products is one attention ----
 */

typedef struct half_job {
    hc_span_of_rows x, out;
    int heads, second;
} half_job;

static void put_halves(void *context, int first, int last, int thread)
{
    (void)thread;
    const half_job *j = context;
    size_t half = (size_t)(j->x.width / j->heads / 2), kept = j->second ? half : 0, other = half - kept;
    for (int r = first; r < last; r++)
        for (int head = 0; head < j->heads; head++) {
            size_t at = (size_t)head * 2 * half;
            float *out = j->out.at + (size_t)r * j->out.stride + at;
            memcpy(out + kept, j->x.at + (size_t)r * j->x.stride + at + kept, half * sizeof *out);
            memset(out + other, 0, half * sizeof *out);
        }
}

static void run_halves(hc_pass *pass, const hc_op *op)
{
    half_job job = {hc_pass_value(pass, op->in[0]), hc_pass_value(pass, op->out), op->heads, op->first};
    hc_each(pass->steps, job.x.count, HC_ROWS_A_CHUNK, (uint64_t)job.x.width, put_halves, &job);
}

static const hc_op_kind HALVES = {.name = "halves", .run = run_halves};

static hc_value half_of(hc_network *net, hc_value q, int heads, int second)
{
    hc_op op = {.kind = &HALVES, .in = {q}, .heads = heads, .first = second};
    op.out = hc_network_like(net, q, net->values[q].width);
    return hc_network_op(net, "", op);
}

/* ---- the difference ---- */

typedef struct difference_job {
    hc_span_of_rows x, y;
    float lambda;
} difference_job;

static void subtract(void *context, int first, int last, int thread)
{
    (void)thread;
    const difference_job *j = context;
    for (int r = first; r < last; r++) {
        float *x = j->x.at + (size_t)r * j->x.stride;
        const float *y = j->y.at + (size_t)r * j->y.stride;
        for (int i = 0; i < j->x.width; i++) x[i] -= j->lambda * y[i];
    }
}

static float exp_of_product(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return hc_expf(sum);
}

static void run_difference(hc_pass *pass, const hc_op *op)
{
    const float *tensors[4];
    int n = pass->net->values[op->out].width / op->heads / 2;
    for (int i = 0; i < 4; i++) tensors[i] = hc_pass_floats(pass, op->tensors[i]);
    difference_job job = {hc_pass_value(pass, op->out), hc_pass_value(pass, op->in[1]), op->scale};
    job.lambda += exp_of_product(tensors[0], tensors[1], n) - exp_of_product(tensors[2], tensors[3], n);
    hc_each(pass->steps, job.x.count, HC_ROWS_A_CHUNK, (uint64_t)job.x.width, subtract, &job);
}

static const hc_op_kind DIFFERENCE = {.name = "difference", .run = run_difference};

hc_value hc_attend_difference(hc_network *net, hc_value q, hc_value k, hc_value v, int heads, float first)
{
    static const char *const names[] = {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"};
    const float EPS = 1e-5f;
    int half = net->values[v].width / heads / 2;
    hc_value queries = hc_real(net, q);
    hc_attention_options options = {.heads = heads, .scale = 1.0f / sqrtf((float)half)};
    hc_value x = hc_attend(net, half_of(net, queries, heads, 0), k, v, options),
             y = hc_attend(net, half_of(net, queries, heads, 1), k, v, options);
    hc_op op = {.kind = &DIFFERENCE, .in = {x, y}, .heads = heads, .scale = first};
    op.out = hc_columns(net, x, 0, net->values[x].width);
    for (int i = 0; i < 4; i++) op.tensors[i] = hc_vector(net, names[i], half);
    x = hc_network_op(net, "", op);
    return hc_scaled(net, hc_rms_norm_heads(net, "sub_norm.", x, heads, EPS), 1 - first);
}
