/* mixed.c: rotary position embeddings whose frequencies are learned, for each head and pair of numbers one down and one
 * across the grid (Heo et al., "Rotary Position Embedding for Vision Transformer", 2024), as timm's
 * RotaryEmbeddingMixed has them. A pair turns by the sum of two angles, which is to turn by one after the other, so
 * that a row for each of the grid's rows and columns is all that there is to hold. */
#include "operations/operations.h"
#include "operations/real.h"
#include "operations/rotary.h"

#include "tower/pass.h"

static const hc_op_kind TABLE, ROTATE;

/* ---- the table ----------------------------------------------------------------------------------------------------
 */

hc_tensor_id hc_mixed_frequencies(hc_network *net, const char *name, int layers, int heads, int head_dim)
{
    return hc_network_tensor(net, name, "", HC_FLOATS, 4, 2, layers, heads, head_dim / 2);
}

hc_value hc_mixed_table(hc_network *net, hc_tensor_id frequencies, int layer, hc_rotary grid)
{
    const uint32_t *shape = net->tensors[frequencies].shape;
    hc_op op = {.kind = &TABLE, .tensors = {frequencies}, .first = layer, .rotary = grid};
    op.out = hc_network_value(net, HC_SHARED, grid.height + grid.across, (int)(4 * shape[2] * shape[3]));
    return hc_network_op(net, "rope", op);
}

/* A whole turn more or less is none; what is left is small enough for hc_exp_complex, or not a number. */
static double within_a_turn(double angle)
{
    const double TURN = 6.283185307179586,
                 WHOLE = 6755399441055744.0; /* 1.5 * 2^52: added, only whole numbers are left */
    return angle - TURN * (angle / TURN + WHOLE - WHOLE);
}

typedef struct table_job {
    hc_rotary grid;
    hc_span_of_rows out;
    const float *frequencies; /* of the first axis' layer */
    size_t axis;              /* to those of the second   */
    int half;                 /* pairs in half a head     */
} table_job;

/* A row: as hc_rotate has it, of each half of each head the cosines, twice each, and then the sines, with a minus and
 * without. */
static void fill(void *context, int first, int last, int thread)
{
    (void)thread;
    const table_job *j = context;
    const hc_rotary *g = &j->grid;
    int pairs = j->out.width / 4;
    for (int r = first; r < last; r++) {
        int down = r < g->height, coordinate = down ? r : r - g->height;
        const float *frequencies = j->frequencies + (down == g->x_first ? j->axis : 0);
        float *out = j->out.at + (size_t)r * j->out.stride;
        for (int pair = 0; pair < pairs; pair++, out += 2) {
            double turned[2];
            if (pair && pair % j->half == 0) out += 2 * j->half;
            hc_exp_complex(0, within_a_turn((double)coordinate * frequencies[pair]), turned);
            out[0] = out[1] = (float)turned[0];
            out[2 * j->half] = (float)-turned[1];
            out[2 * j->half + 1] = (float)turned[1];
        }
    }
}

static void run_table(hc_pass *pass, const hc_op *op)
{
    const uint32_t *shape = pass->net->tensors[op->tensors[0]].shape;
    size_t layer = (size_t)shape[2] * shape[3];
    table_job j = {op->rotary, hc_pass_value(pass, op->out),
                   hc_pass_floats(pass, op->tensors[0]) + (size_t)op->first * layer, shape[1] * layer,
                   (int)shape[3] / 2};
    hc_each(pass->steps, j.out.count, 1, (uint64_t)j.out.width / 4 * HC_ROTARY_ENTRY_COST, fill, &j);
}

static const hc_op_kind TABLE = {.name = "rotary table", .run = run_table};

/* ---- turning ------------------------------------------------------------------------------------------------------
 */

hc_value hc_rotate_mixed(hc_network *net, hc_value table, hc_value x, int heads, int skip, hc_rotary grid)
{
    return hc_rotate_by(net, &ROTATE, table, x, heads, skip, grid);
}

static void turn_by_both(const hc_op *op, float *x, const float *down, const float *right, int width)
{
    const float *both[] = {down, right};
    int dim = width / op->heads / 2;
    for (int i = 0; i < 2; i++)
        for (int head = 0; head < op->heads; head++) {
            const float *table = both[i] + (size_t)(2 * head * dim);
            hc_rotate(x + (size_t)(head * dim), 1, dim / 2, table, table + dim);
        }
}

static void run_rotate(hc_pass *pass, const hc_op *op) { hc_run_turns(pass, op, turn_by_both, 2); }

static const hc_op_kind ROTATE = {.name = "rotate", .run = run_rotate};
