/* rotary.c: rotary position embeddings (Su et al., "RoFormer", 2021) of tokens that are pixels of a grid, as timm's
 * RotaryEmbeddingCat and RotaryEmbeddingDinoV3 have them: of a head's pairs of numbers the first half turn with one
 * coordinate, the others with the other one. mixed.c has those that turn with both. */
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/rotary.h"

#include "tower/pass.h"

static const hc_op_kind TABLE, ROTATE;

/* ---- the table ----------------------------------------------------------------------------------------------------
 */

hc_value hc_rotary_table(hc_network *net, int head_dim, hc_rotary grid)
{
    hc_op op = {.kind = &TABLE, .rotary = grid};
    op.out = hc_network_value(net, HC_SHARED, grid.height + grid.across, grid.whole_turns ? head_dim / 2 : head_dim);
    return hc_network_op(net, "rope", op);
}

void hc_exp_complex(double re, double im, double out[2])
{
    enum { TERMS = 9 };
    double size = (re < 0 ? -re : re) + (im < 0 ? -im : im), x = 1, y = 0;
    int halved = 0;
    for (; size > 0.0625; size /= 2, re /= 2, im /= 2) halved++;
    for (int term = TERMS; term > 0; term--) {
        double real = 1 + (x * re - y * im) / term;
        y = (x * im + y * re) / term;
        x = real;
    }
    for (; halved > 0; halved--) {
        double real = x * x - y * y;
        y = 2 * x * y;
        x = real;
    }
    out[0] = x;
    out[1] = y;
}

typedef struct table_job {
    hc_rotary grid;
    hc_span_of_rows out;
} table_job;

/* What frequencies are multiplied by, of row or column `index` of `size`. Sizes other than those that a tower was
 * trained with are stretched to them. */
static double coordinate_of(const hc_rotary *g, int index, int size)
{
    const double TURN = 6.283185307179586;
    if (g->whole_turns) return TURN * ((2 * index + 1) / (double)size - 1);
    double coordinate = index + g->offset;
    return g->reference ? coordinate / size * g->reference : coordinate;
}

/* A row for each of the grid's rows, then one for each of its columns: the cosines of a coordinate's angles, then the
 * sines; for pairs that lie side by side the cosines twice each, and the sines each with a minus and without. */
static void fill(void *context, int first, int last, int thread)
{
    (void)thread;
    const table_job *j = context;
    const hc_rotary *g = &j->grid;
    int half = j->out.width / 2, bands = g->whole_turns ? half : half / 2;
    for (int r = first; r < last; r++) {
        int size = r < g->height ? g->height : g->across;
        float *out = j->out.at + (size_t)r * j->out.stride;
        double coordinate = coordinate_of(g, r < g->height ? r : r - g->height, size);
        for (int band = 0; band < bands; band++) {
            double frequency[2], angle[2];
            hc_exp_complex(-g->log_temperature * band / bands, 0, frequency);
            hc_exp_complex(0, coordinate * frequency[0], angle);
            if (g->whole_turns) {
                out[band] = (float)angle[0];
                out[half + band] = (float)angle[1];
                continue;
            }
            out[2 * band] = out[2 * band + 1] = (float)angle[0];
            out[half + 2 * band] = (float)-angle[1];
            out[half + 2 * band + 1] = (float)angle[1];
        }
    }
}

static void run_table(hc_pass *pass, const hc_op *op)
{
    table_job j = {op->rotary, hc_pass_value(pass, op->out)};
    hc_each(pass->steps, j.out.count, HC_ROWS_A_CHUNK, (uint64_t)j.out.width * HC_ROTARY_ENTRY_COST, fill, &j);
}

static const hc_op_kind TABLE = {.name = "rotary table", .run = run_table};

/* ---- turning ------------------------------------------------------------------------------------------------------
 */

hc_value hc_rotate_by(hc_network *net, const hc_op_kind *kind, hc_value table, hc_value x, int heads, int skip,
                      hc_rotary grid)
{
    hc_value from = hc_real(net, x);
    hc_op op = {.kind = kind, .in = {from, table}, .heads = heads, .skip = skip, .rotary = grid};
    op.out = hc_columns(net, from, 0, net->values[from].width);
    return hc_network_op(net, "rope", op);
}

hc_value hc_rotate_heads(hc_network *net, hc_value table, hc_value x, int heads, int skip, hc_rotary grid)
{
    return hc_rotate_by(net, &ROTATE, table, x, heads, skip, grid);
}

typedef struct turn_job {
    const hc_op *op;
    hc_turn *turn;
    hc_span_of_rows x, table;
    int rows; /* of an input */
} turn_job;

static void turn_rows(void *context, int first, int last, int thread)
{
    (void)thread;
    const turn_job *j = context;
    const hc_rotary *g = &j->op->rotary;
    for (int r = first; r < last; r++) {
        int pixel = r % j->rows - j->op->skip;
        if (pixel < 0) continue;
        const float *down = j->table.at + (size_t)(pixel / g->across) * j->table.stride,
                    *right = j->table.at + (size_t)(g->height + pixel % g->across) * j->table.stride;
        j->turn(j->op, j->x.at + (size_t)r * j->x.stride, down, right, j->table.width);
    }
}

void hc_run_turns(hc_pass *pass, const hc_op *op, hc_turn *turn, int times)
{
    turn_job j = {op, turn, hc_pass_value(pass, op->out), hc_pass_value(pass, op->in[1]),
                  pass->net->values[op->in[0]].rows};
    hc_each(pass->steps, j.x.count, HC_ROWS_A_CHUNK, (uint64_t)times * (uint64_t)j.x.width, turn_rows, &j);
}

static void turn_by_axis(const hc_op *op, float *x, const float *down, const float *right, int width)
{
    const float *first = op->rotary.x_first ? right : down, *second = op->rotary.x_first ? down : right;
    if (op->rotary.whole_turns) hc_rotate_halves(x, op->heads, width, first, second);
    else hc_rotate(x, op->heads, width / 2, first, second);
}

static void run_rotate(hc_pass *pass, const hc_op *op) { hc_run_turns(pass, op, turn_by_axis, 1); }

static const hc_op_kind ROTATE = {.name = "rotate", .run = run_rotate};
