/* forms.c: from one form of a tensor to another, row by row. */
#include "calibrate/forms.h"

#include "load/normed.h"
#include "load/pack.h"
#include "load/stored.h"

#include <stdlib.h>

/* `out` has room for two rows. */
static void read_row(const hc_tensor *t, int row, float *out)
{
    if (t->kind == HC_TABLE) {
        hc_table_row(&t->table, row, out);
    } else if (hc_is_quantised(t->matrix.storage)) {
        hc_dequantise_row(&t->matrix, row, out);
    } else if (t->matrix.storage == HC_STORE_F16) {
        uint16_t *halves = (uint16_t *)(void *)(out + t->matrix.k);
        hc_unpack_row(&t->matrix, row, halves);
        hc_halves_to_floats(halves, out, (size_t)t->matrix.k);
    } else {
        hc_unpack_row(&t->matrix, row, out);
    }
}

typedef struct copy_job {
    const hc_tensor *from;
    hc_tensor *to;
    const float *counts, *means; /* of its input channels, or NULL */
    float *taken;                /* NULL: nobody asks */
    float *rows;                 /* two of each thread */
    size_t k;
    int begin;
} copy_job;

static void write_row(const copy_job *j, int row, const float *values)
{
    hc_tensor *t = j->to;
    if (t->kind == HC_TABLE) hc_pack_table_row(&t->table, row, values);
    else if (j->taken) j->taken[row] = hc_pack_row_i4(&t->matrix, row, values, j->counts, j->means);
    else hc_pack_row(&t->matrix, row, values);
}

static void copy_rows(void *context, int first, int last, int thread)
{
    const copy_job *j = context;
    float *row = j->rows + (size_t)thread * 2 * j->k;
    for (int r = j->begin + first; r < j->begin + last; r++) {
        read_row(j->from, r, row);
        write_row(j, r, row);
    }
}

static float *allocate(uint64_t floats, hc_problem *problem)
{
    float *memory = hc_allocate_zeros(floats, sizeof *memory);
    if (!memory) hc_fail(problem, HC_OUT_OF_MEMORY, "out of memory: %m for rows", floats * sizeof *memory);
    return memory;
}

static int copy_with(copy_job job, int end, hc_threads *threads, hc_problem *problem)
{
    job.k = (size_t)hc_stored_extent(job.from).k;
    job.rows = allocate(2 * (uint64_t)hc_threads_count(threads) * job.k, problem);
    if (job.rows) hc_parallel_for(threads, end - job.begin, HC_PANEL, copy_rows, &job);
    free(job.rows);
    return job.rows != NULL;
}

static int copy(const hc_tensor *from, hc_tensor *to, int begin, int end, hc_threads *threads, hc_problem *problem)
{
    return copy_with((copy_job){.from = from, .to = to, .begin = begin}, end, threads, problem);
}

/* To 4 bits, as a load at int4 rounds. */
static int round_to_four(hc_forms *f, const hc_network *net, const hc_tensor *t, hc_threads *threads,
                         hc_problem *problem)
{
    int rows = (int)hc_stored_extent(t).rows;
    float *counts = allocate(hc_stored_extent(t).k, problem);
    int done = 0;
    if (counts && hc_normed_counts(net, t, counts)) {
        f->taken = allocate((uint64_t)rows, problem);
        f->biases = allocate((uint64_t)rows, problem);
        for (int row = 0; f->biases && row < rows; row++) {
            const float *bias = hc_normed_bias(net, t, row);
            f->biases[row] = bias ? *bias : 0;
        }
        done = f->taken && f->biases &&
               copy_with((copy_job){t, &f->four, .counts = counts, .means = hc_normed_means(net, t), .taken = f->taken},
                         rows, threads, problem);
    } else if (counts) {
        done = copy(t, &f->four, 0, rows, threads, problem);
    }
    free(counts);
    return done;
}

/* int4's scales are halves, and so is what it does not quantise. */
static int fits(const hc_tensor *t)
{
    uint64_t bytes = t->kind == HC_TABLE ? hc_table_bytes(t->table.rows, t->table.width, HC_STORE_F32)
                                         : hc_matrix_bytes(t->matrix.n, t->matrix.k, HC_STORE_F32);
    return hc_largest_bits(t->kind == HC_TABLE ? t->table.data : t->matrix.data, (size_t)bytes / sizeof(float)) <=
           HC_LARGEST_HALF_BITS;
}

/* Lays the forms one after the other; with base NULL only counts. */
static uint64_t place(hc_forms *f, uint8_t *base)
{
    uint64_t at = 0;
    if (f->bits == 16) {
        hc_stored_place(&f->half, HC_STORE_F16, base, &at);
    } else {
        hc_stored_place(&f->four, HC_STORE_I4, base, &at);
        hc_stored_place(&f->eight, HC_STORE_I8, base, &at);
    }
    return at;
}

int hc_forms_make(hc_forms *f, const hc_network *net, const hc_tensor *t, hc_threads *threads, hc_problem *problem)
{
    int rows = (int)hc_stored_extent(t).rows;
    f->four = f->eight = f->half = *t;
    f->bits = t->keep_half ? 16 : 4;
    if (!fits(t))
        return hc_fail(problem, HC_WEIGHTS_CORRUPT, "tensor %s holds a weight beyond 65504, which int4 cannot hold",
                       t->name);
    uint64_t bytes = hc_size_sum(place(f, NULL), HC_ALIGN);
    f->memory = hc_allocate_zeros(bytes, 1);
    if (!f->memory)
        return hc_fail(problem, HC_OUT_OF_MEMORY, "out of memory: %m for tensor %s at 4 and 8 bits", bytes, t->name);
    place(f, (uint8_t *)f->memory + (HC_ALIGN - (uintptr_t)f->memory % HC_ALIGN) % HC_ALIGN);
    if (f->bits == 16) return copy(t, &f->half, 0, rows, threads, problem);
    return round_to_four(f, net, t, threads, problem) && copy(t, &f->eight, 0, rows, threads, problem);
}

void hc_forms_free(hc_forms *f)
{
    free(f->memory);
    free(f->taken);
    free(f->biases);
}

hc_tensor *hc_forms_chosen(hc_forms *f) { return f->bits == 8 ? &f->eight : f->bits == 4 ? &f->four : &f->half; }

int hc_forms_apply(hc_forms *f, hc_tensor *t, int begin, int end, hc_threads *threads, hc_problem *problem)
{
    return copy(hc_forms_chosen(f), t, begin, end, threads, problem);
}
