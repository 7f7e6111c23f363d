/* rows_in.c: rows of a value, or LayerNorm of them, put in place one by one. */
#include "operations/rows_in.h"

#include "base/size.h"

typedef struct row_job {
    hc_span_of_rows from;
    const float *weight, *bias; /* of a norm, or NULL; without a bias an RMSNorm */
    int centred;                /* or SimpleNorm                                 */
    float eps;
    const hc_rows *rows; /* where to, or NULL: */
    float *out;
    size_t stride;
    float *row; /* of each thread */
    size_t row_size;
} row_job;

static void do_rows(void *context, int first, int last, int thread)
{
    const row_job *j = context;
    for (int r = first; r < last; r++) {
        const float *x = j->from.at + (size_t)r * j->from.stride;
        float *to = j->out ? j->out + (size_t)r * j->stride : j->row + (size_t)thread * j->row_size;
        if (j->weight) {
            if (j->bias) hc_layer_norm(x, j->from.width, j->weight, j->bias, j->eps, to);
            else hc_rms_norm(x, j->from.width, j->weight, j->eps, j->centred, to);
            x = to;
        }
        if (j->rows) hc_rows_put(j->rows, r, x);
    }
}

static row_job job_of(const hc_pass *pass, hc_value value)
{
    const hc_value_info *v = &pass->net->values[value];
    return (row_job){.from = hc_pass_value(pass, v->normed ? v->normed : value),
                     .weight = hc_pass_floats(pass, v->norm_weight),
                     .bias = hc_pass_floats(pass, v->norm_bias),
                     .centred = v->norm_centred,
                     .eps = v->eps};
}

static void each_row(hc_pass *pass, row_job *job)
{
    uint64_t cost = (uint64_t)job->from.width * HC_VALUE_COST;
    hc_each(pass->steps, job->from.count, HC_ROWS_A_CHUNK, cost, do_rows, job);
}

/* ---- into a GEMM --------------------------------------------------------------------------------------------------
 */

static size_t row_size(int width) { return hc_round_up((size_t)width, HC_PANEL); }

static int is_quantised(const hc_network *net, const hc_op *op)
{
    return hc_is_quantised(net->tensors[op->tensors[0]].matrix.storage);
}

uint64_t hc_rows_in_bytes(const hc_network *net, const hc_op *op, const hc_batch *batch)
{
    const hc_value_info *v = &net->values[op->in[0]];
    uint64_t count = hc_network_rows(net, op->in[0], batch);
    uint64_t normed = v->normed ? (uint64_t)batch->threads * row_size(v->width) * sizeof(float) : 0;
    return hc_size_sum(hc_rows_bytes(count, (uint64_t)v->width, is_quantised(net, op), 1), normed);
}

void hc_rows_in(hc_pass *pass, const hc_op *op, const hc_matrix *w, hc_rows *rows)
{
    char *scratch = hc_pass_scratch(pass, op);
    uint64_t count = hc_network_rows(pass->net, op->in[0], &pass->batch);
    row_job job = job_of(pass, op->in[0]);
    *rows = (hc_rows){.exact = pass->exact, .apart = 1, .dot = pass->dot};
    hc_rows_lay(rows, w, job.from.count, scratch);
    job.rows = rows;
    job.row = (float *)(void *)(scratch + (size_t)hc_rows_bytes(count, (uint64_t)w->k, hc_is_quantised(w->storage), 1));
    job.row_size = row_size(w->k);
    each_row(pass, &job);
}

void hc_rows_normed(hc_pass *pass, hc_value normed, float *out, size_t stride)
{
    row_job job = job_of(pass, normed);
    job.out = out;
    job.stride = stride;
    each_row(pass, &job);
}
