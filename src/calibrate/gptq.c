/* gptq.c: eight rows of a matrix at a time, group after group; each group takes over what rounding those before it has
 * left of the loss (factor.h). A group's scale is the one of a few whose levels, found in turn, have the least loss. */
#include "calibrate/gptq.h"

#include "kernels/kernels.h"
#include "kernels/simd.h"
#include "load/pack.h"

enum { LANES = HC_PANEL / 4, CANDIDATES = 16, AT_ONCE = 4, LOWEST = -8, HIGHEST = 7 };

/* One number for each row of a panel. */
typedef struct eight {
    f32x4 lane[LANES];
} eight;

/* A group of a panel: the weights, what errors before it add to each column, and the factor's part for it. */
typedef struct group {
    eight x[HC_GROUP], carried[HC_GROUP];
    const float *u; /* [HC_GROUP], rows `width` apart */
    size_t width;
    const float *pivots;
} group;

/* A way to round it. */
typedef struct rounding {
    eight levels[HC_GROUP], scale, loss;
} rounding;

SIMD_INLINE f32x4 choose(i32x4 mask, f32x4 a, f32x4 b) { return (f32x4)((mask & (i32x4)a) | (~mask & (i32x4)b)); }

SIMD_INLINE f32x4 level_of(f32x4 x, f32x4 inverse)
{
    return f32_from_i32(i32_round(f32_min(f32_splat(HIGHEST), f32_max(f32_splat(LOWEST), x * inverse))));
}

/* carried[j] = Σ_{i < first} errors_i U_ij for the columns from `first` on. */
static void carry(const float *u, size_t width, const float *errors, size_t first, eight carried[HC_GROUP])
{
    for (size_t j = 0; j < HC_GROUP; j += AT_ONCE) {
        f32x4 sums[AT_ONCE][LANES];
        const float *at = u + first + j;
        for (int c = 0; c < AT_ONCE; c++)
            for (int l = 0; l < LANES; l++) sums[c][l] = f32_splat(0);
        for (size_t i = 0; i < first; i++, at += width)
            for (int c = 0; c < AT_ONCE; c++)
                for (int l = 0; l < LANES; l++)
                    sums[c][l] = f32_fma(f32_load(errors + i * HC_PANEL + 4 * l), f32_splat(at[c]), sums[c][l]);
        for (int c = 0; c < AT_ONCE; c++)
            for (int l = 0; l < LANES; l++) carried[j + (size_t)c].lane[l] = sums[c][l];
    }
}

/* What the errors of the group's columns before j add to column j. */
SIMD_INLINE eight within(const group *g, const eight errors[HC_GROUP], size_t j)
{
    eight sum = g->carried[j];
    for (size_t i = 0; i < j; i++)
        for (int l = 0; l < LANES; l++)
            sum.lane[l] = f32_fma(errors[i].lane[l], f32_splat(g->u[i * g->width + j]), sum.lane[l]);
    return sum;
}

/* The numbers that the group would hold if it needed no rounding, and the farthest of each row, with its sign. */
static eight targets_of(const group *g, eight targets[HC_GROUP])
{
    eight errors[HC_GROUP], farthest = {{f32_splat(0), f32_splat(0)}};
    for (size_t j = 0; j < HC_GROUP; j++) {
        eight added = within(g, errors, j);
        for (int l = 0; l < LANES; l++) {
            targets[j].lane[l] = g->x[j].lane[l] + added.lane[l];
            errors[j].lane[l] = -added.lane[l];
            i32x4 farther = f32_abs(targets[j].lane[l]) > f32_abs(farthest.lane[l]);
            farthest.lane[l] = choose(farther, targets[j].lane[l], farthest.lane[l]);
        }
    }
    return farthest;
}

/* The halves that are nearest to each row's scale. */
static eight as_halves(eight scale)
{
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < 4; i++) scale.lane[l][i] = hc_half_to_float(hc_float_to_half(scale.lane[l][i]));
    return scale;
}

/* The scale that fits best the levels that the targets have by `inverse`, weighed by the pivots. */
static eight fitted(const group *g, const eight targets[HC_GROUP], const eight *inverse)
{
    eight fit;
    for (int l = 0; l < LANES; l++) {
        f32x4 xq = f32_splat(0), qq = xq;
        for (int j = 0; j < HC_GROUP; j++) {
            f32x4 q = level_of(targets[j].lane[l], inverse->lane[l]), weighed = q * f32_splat(g->pivots[j]);
            xq += targets[j].lane[l] * weighed;
            qq += q * weighed;
        }
        fit.lane[l] = choose(qq > f32_splat(0), xq / qq, f32_splat(0));
    }
    return as_halves(fit);
}

/* Rounds column after column with a scale; what a column loses those behind it make up for. */
static void round_group(const group *g, eight scale, rounding *r, eight errors[HC_GROUP])
{
    eight inverse;
    for (int l = 0; l < LANES; l++) {
        inverse.lane[l] = choose(scale.lane[l] != f32_splat(0), f32_splat(1) / scale.lane[l], f32_splat(0));
        r->loss.lane[l] = f32_splat(0);
    }
    r->scale = scale;
    for (size_t j = 0; j < HC_GROUP; j++) {
        eight target = within(g, errors, j);
        for (int l = 0; l < LANES; l++) {
            target.lane[l] += g->x[j].lane[l];
            f32x4 q = level_of(target.lane[l], inverse.lane[l]), held = q * scale.lane[l], off = target.lane[l] - held;
            r->levels[j].lane[l] = q;
            errors[j].lane[l] = g->x[j].lane[l] - held;
            r->loss.lane[l] += off * off * f32_splat(g->pivots[j]);
        }
    }
}

/* Keeps of each row the better one. */
static void keep_better(rounding *best, const rounding *r)
{
    for (int l = 0; l < LANES; l++) {
        i32x4 better = r->loss.lane[l] < best->loss.lane[l];
        best->scale.lane[l] = choose(better, r->scale.lane[l], best->scale.lane[l]);
        best->loss.lane[l] = choose(better, r->loss.lane[l], best->loss.lane[l]);
        for (int j = 0; j < HC_GROUP; j++)
            best->levels[j].lane[l] = choose(better, r->levels[j].lane[l], best->levels[j].lane[l]);
    }
}

static void find_rounding(const group *g, rounding *best)
{
    eight targets[HC_GROUP], errors[HC_GROUP], farthest = targets_of(g, targets);
    for (int i = 0; i < CANDIDATES; i++) {
        rounding r;
        eight inverse;
        for (int l = 0; l < LANES; l++) {
            f32x4 steps = f32_splat(-5.5f - 0.25f * (float)i);
            inverse.lane[l] = choose(farthest.lane[l] != f32_splat(0), steps / farthest.lane[l], f32_splat(0));
        }
        round_group(g, fitted(g, targets, &inverse), i ? &r : best, errors);
        if (i) keep_better(best, &r);
    }
}

typedef struct job {
    const hc_matrix *w;
    const float *u, *pivots;
    size_t width;
    float *errors; /* [width][HC_PANEL] of each thread */
    hc_matrix *to;
} job;

static void write_group(hc_matrix *to, int panel, size_t first, const rounding *r)
{
    for (int lane = 0; lane < HC_PANEL && panel * HC_PANEL + lane < to->n; lane++) {
        int8_t levels[HC_GROUP];
        for (int j = 0; j < HC_GROUP; j++) levels[j] = (int8_t)r->levels[j].lane[lane / 4][lane % 4];
        hc_pack_levels_i4(to, panel * HC_PANEL + lane, first / HC_GROUP, levels,
                          hc_float_to_half(r->scale.lane[lane / 4][lane % 4]));
    }
}

static void round_panels(void *context, int first_panel, int last_panel, int thread)
{
    const job *j = context;
    size_t k = (size_t)j->w->k;
    float *errors = j->errors + (size_t)thread * j->width * HC_PANEL;
    for (int panel = first_panel; panel < last_panel; panel++) {
        const float *w = (const float *)j->w->data + (size_t)panel * k * HC_PANEL;
        for (size_t first = 0; first < j->width; first += HC_GROUP) {
            group g = {.u = j->u + first * j->width + first, .width = j->width, .pivots = j->pivots + first};
            rounding r;
            carry(j->u, j->width, errors, first, g.carried);
            for (size_t i = 0; i < HC_GROUP; i++)
                for (int l = 0; l < LANES; l++)
                    g.x[i].lane[l] = first + i < k ? f32_load(w + (first + i) * HC_PANEL + 4 * l) : f32_splat(0);
            find_rounding(&g, &r);
            for (size_t i = 0; i < HC_GROUP; i++)
                for (int l = 0; l < LANES; l++)
                    f32_store(errors + (first + i) * HC_PANEL + 4 * l,
                              g.x[i].lane[l] - r.levels[i].lane[l] * r.scale.lane[l]);
            write_group(j->to, panel, first, &r);
        }
    }
}

void hc_gptq(hc_threads *threads, const hc_matrix *w, float *h, float damping, float *pivots, float *errors,
             hc_matrix *to)
{
    size_t width = hc_gptq_width(w->k);
    float sum = 0;
    for (size_t i = 0; i < width; i++) sum += h[i * width + i];
    float mean = sum / (float)w->k;
    if (!(mean > 0 && mean - mean == 0)) {
        memset(h, 0, width * width * sizeof *h);
        mean = 1;
    }
    hc_factor(threads, h, (int)width, mean * damping, pivots);
    job j = {w, h, pivots, width, errors, to};
    hc_parallel_for(threads, (w->n + HC_PANEL - 1) / HC_PANEL, 1, round_panels, &j);
}
