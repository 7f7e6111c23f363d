/* factor.c: Cholesky's factorisation from the last column to the first, a block of columns at a time. */
#include "calibrate/factor.h"

#include "kernels/simd.h"

#include <math.h>

enum { BLOCK = HC_FACTOR_BLOCK, TILE = 4 };

typedef struct job {
    float *h;
    size_t k;
    int begin, end; /* columns of the block              */
    float *inverse; /* of the root of each column's pivot */
} job;

/* to[r][c] -= Σ_l rows[r][l] columns[c][l], over n numbers, a multiple of 4. Rows are k floats apart. */
SIMD_INLINE void subtract_products(float *to, const float *rows, const float *columns, size_t k, int n)
{
    f32x4 sums[TILE][TILE];
    for (int r = 0; r < TILE; r++)
        for (int c = 0; c < TILE; c++) sums[r][c] = f32_splat(0);
    for (int l = 0; l < n; l += 4) {
        f32x4 right[TILE];
        for (int c = 0; c < TILE; c++) right[c] = f32_load(columns + (size_t)c * k + l);
        for (int r = 0; r < TILE; r++) {
            f32x4 left = f32_load(rows + (size_t)r * k + l);
            for (int c = 0; c < TILE; c++) sums[r][c] = f32_fma(left, right[c], sums[r][c]);
        }
    }
    for (int r = 0; r < TILE; r++)
        for (int c = 0; c < TILE; c++) to[(size_t)r * k + (size_t)c] -= f32_sum(sums[r][c]);
}

/* Rows 4 first to 4 last of the block's columns: what the columns behind the block take away. */
static void update(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    const float *behind = j->h + (size_t)j->end;
    for (int row = TILE * first; row < TILE * last; row += TILE)
        for (int column = j->begin; column < j->end; column += TILE)
            subtract_products(j->h + (size_t)row * j->k + (size_t)column, behind + (size_t)row * j->k,
                              behind + (size_t)column * j->k, j->k, (int)j->k - j->end);
}

/* Column c of a row, once those of the block behind it are there. */
static float solved(const job *j, const float *row, int c)
{
    const float *pivot = j->h + (size_t)c * j->k;
    float sum = row[c];
    for (int l = c + 1; l < j->end; l++) sum -= row[l] * pivot[l];
    return sum;
}

/* Rows above the block, whose own triangle is done. */
static void solve(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (int r = first; r < last; r++) {
        float *row = j->h + (size_t)r * j->k;
        for (int c = j->end - 1; c >= j->begin; c--) row[c] = solved(j, row, c) / j->h[(size_t)c * j->k + (size_t)c];
    }
}

/* The block's own triangle, with the root of each pivot on the diagonal. Rounding must not make a pivot smaller than
 * any eigenvalue is. */
static void factor_block(const job *j, float damping)
{
    for (int c = j->end - 1; c >= j->begin; c--) {
        float *diagonal = j->h + (size_t)c * j->k + (size_t)c, pivot = solved(j, j->h + (size_t)c * j->k, c);
        *diagonal = sqrtf(pivot > damping ? pivot : damping);
        for (int r = j->begin; r < c; r++) {
            float *row = j->h + (size_t)r * j->k;
            row[c] = solved(j, row, c) / *diagonal;
        }
    }
}

/* Columns divided by the roots of their pivots. */
static void scale(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    for (size_t r = (size_t)first; r < (size_t)last; r++)
        for (size_t c = r + 1; c < j->k; c++) j->h[r * j->k + c] *= j->inverse[c];
}

void hc_factor(hc_threads *threads, float *h, int k, float damping, float *pivots)
{
    job j = {h, (size_t)k, 0, 0, pivots};
    for (size_t i = 0; i < j.k; i++) {
        h[i * j.k + i] += damping;
        for (size_t c = i + 1; c < j.k; c++) h[i * j.k + c] = h[c * j.k + i];
    }
    for (j.end = k; j.end > 0; j.end = j.begin) {
        j.begin = j.end - BLOCK;
        hc_parallel_for(threads, j.end / TILE, 1, update, &j);
        factor_block(&j, damping);
        hc_parallel_for(threads, j.begin, 1, solve, &j);
    }
    for (size_t i = 0; i < j.k; i++) pivots[i] = 1 / h[i * j.k + i];
    hc_parallel_for(threads, k, 1, scale, &j);
    for (size_t i = 0; i < j.k; i++) pivots[i] = h[i * j.k + i] * h[i * j.k + i];
}
