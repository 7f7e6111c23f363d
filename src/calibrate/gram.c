/* gram.c: Xᵀ X as a GEMM: the values of each input channel in all rows are a row of its left side and a channel of its
 * right. */
#include "calibrate/gram.h"

#include "load/pack.h"

#include <stdlib.h>

enum { BLOCK = 384 }; /* channels at a time: what lies above the diagonal is left out by blocks */

typedef struct job {
    const hc_rows *a;
    float *values;   /* [k][rows]: the input channels */
    hc_matrix right; /* the same in panels            */
    hc_rows left;    /* the same in tiles, of a block */
    int begin;       /* its first channel             */
} job;

/* Channels [first, last), out of the order of tiles. */
static void gather(void *context, int first, int last, int thread)
{
    (void)thread;
    job *j = context;
    const hc_rows *a = j->a;
    int tiles = hc_tile_count(a->count, a->most);
    for (int c = first; c < last; c++) {
        float *values = j->values + (size_t)c * (size_t)a->count;
        for (int t = 0; t < tiles; t++) {
            int row = hc_tile_first(a->count, tiles, t), rows = hc_tile_first(a->count, tiles, t + 1) - row;
            const float *from = a->x + a->depth * (size_t)row + (size_t)c * (size_t)rows;
            for (int r = 0; r < rows; r++) values[row + r] = from[r];
        }
        hc_pack_row(&j->right, c, values);
    }
}

static void put(void *context, int first, int last, int thread)
{
    (void)thread;
    job *j = context;
    for (int c = first; c < last; c++)
        hc_rows_put(&j->left, c, j->values + (size_t)(j->begin + c) * (size_t)j->a->count);
}

void hc_gram_add(void *context, const hc_matrix *w, const hc_rows *a)
{
    hc_gram *gram = context;
    int k = w->k, rows = a->count;
    job j = {.a = a, .right = {.n = k, .k = rows, .storage = HC_STORE_F32}};
    float *tiles = hc_allocate(hc_size_product(BLOCK, (uint64_t)rows), sizeof *tiles);
    j.values = hc_allocate((uint64_t)k * (uint64_t)rows, sizeof *j.values);
    j.right.data = hc_allocate_zeros(hc_matrix_bytes(k, rows, HC_STORE_F32), 1);
    gram->failed |= !tiles || !j.values || !j.right.data;
    if (!gram->failed) {
        hc_parallel_for(gram->threads, k, HC_PANEL, gather, &j);
        for (int count; j.begin < k; j.begin += count) {
            count = k - j.begin < BLOCK ? k - j.begin : BLOCK;
            hc_matrix right = hc_matrix_part(&j.right, 0, j.begin + count);
            float *out = gram->h + (size_t)j.begin * gram->width;
            hc_epilogue add = {.residual = out};
            hc_rows_lay(&j.left, &right, count, tiles);
            hc_parallel_for(gram->threads, count, 1, put, &j);
            hc_gemm(gram->threads, &right, &j.left, &add, out, gram->width);
        }
    }
    free(tiles);
    free(j.values);
    free(j.right.data);
}
