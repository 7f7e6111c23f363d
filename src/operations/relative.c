/* relative.c: biases of attention by the distance between a query and a key, and these distances. */
#include "operations/operations.h"
#include "operations/real.h"

#include "base/size.h"
#include "tower/pass.h"

static const hc_op_kind RELATIVE_BIAS, RELATIVE_COORDINATES;

/* ---- biases -------------------------------------------------------------------------------------------------------
 */

hc_value hc_relative_bias(hc_network *net, hc_value table, int height, int across, int class_token)
{
    hc_value from = hc_real(net, table);
    int heads = net->values[from].width, tokens = height * across + class_token;
    hc_op op = {.kind = &RELATIVE_BIAS, .in = {from}, .skip = class_token};
    op.kernel = (hc_kernel_size){.height = height, .width = across};
    op.out = hc_network_value(net, HC_SHARED, heads * tokens, (int)hc_size_round_up((uint64_t)tokens, HC_PANEL));
    return hc_network_op(net, "relative_position_bias", op);
}

/* Which windows have pixels of both sides of the picture: the last of each row, the last row, and where both meet. */
enum { IN_LAST_COLUMN = 1, IN_LAST_ROW = 2, WINDOW_KINDS = 4 };

hc_value hc_window_bias(hc_network *net, hc_value table, hc_windows w)
{
    int heads = net->values[table].width, tokens = w.height * w.across, kinds = w.down || w.right ? WINDOW_KINDS : 1;
    hc_op op = {.kind = &RELATIVE_BIAS, .in = {hc_real(net, table)}, .windows = w};
    op.kernel = (hc_kernel_size){.height = w.height, .width = w.across};
    op.out =
        hc_network_value(net, HC_SHARED, kinds * heads * tokens, (int)hc_size_round_up((uint64_t)tokens, HC_PANEL));
    return hc_network_op(net, "relative_position_bias", op);
}

typedef struct job {
    hc_span_of_rows table, out;
    int height, across, class_token;
    hc_windows windows;
} job;

/* to [tokens of the grid]: a head's numbers for what each query's distance from the key is. Distances of queries side
 * by side are side by side. */
static void gather_grid(const job *j, const float *table, int key, float *to)
{
    int across = j->across, top = j->height - 1 - key / across, left = across - 1 - key % across;
    for (int y = 0; y < j->height; y++, to += across) {
        const float *from = table + (size_t)((top + y) * (2 * across - 1) + left) * j->table.stride;
        for (int x = 0; x < across; x++) to[x] = from[(size_t)x * j->table.stride];
    }
}

/* As much less for queries that the key's side of the picture does not see as timm has it. */
static void part_sides(const job *j, int kind, int key, float *to)
{
    int below = j->height - j->windows.down, behind = j->across - j->windows.right;
    int is_below = key / j->across >= below, is_behind = key % j->across >= behind;
    for (int y = 0; y < j->height; y++)
        for (int x = 0; x < j->across; x++, to++) {
            int rows = kind & IN_LAST_ROW && (y >= below) != is_below,
                columns = kind & IN_LAST_COLUMN && (x >= behind) != is_behind;
            if (rows || columns) *to -= 100;
        }
}

/* Rows are keys, head by head, and of windows kind by kind. */
static void gather(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    int tokens = j->height * j->across + j->class_token;
    int distances = (2 * j->height - 1) * (2 * j->across - 1), extra = j->table.count > distances;
    size_t stride = j->table.stride;
    for (int r = first; r < last; r++) {
        int head = r / tokens % j->table.width, kind = r / tokens / j->table.width;
        const float *table = j->table.at + head, *with_class = table + (size_t)distances * stride;
        float *out = j->out.at + (size_t)r * j->out.stride;
        int key = r % tokens - j->class_token;
        if (j->class_token) out[0] = extra ? with_class[key < 0 ? 2 * stride : 0] : 0;
        for (int i = 1; key < 0 && i < tokens; i++) out[i] = extra ? with_class[stride] : 0;
        if (key >= 0) gather_grid(j, table, key, out + j->class_token);
        if (kind) part_sides(j, kind, key, out);
        for (int i = tokens; i < j->out.width; i++) out[i] = 0;
    }
}

static void run(hc_pass *pass, const hc_op *op)
{
    job j = {hc_pass_value(pass, op->in[0]),
             hc_pass_value(pass, op->out),
             op->kernel.height,
             op->kernel.width,
             op->skip,
             op->windows};
    hc_each(pass->steps, j.out.count, 1, (uint64_t)j.out.width * HC_VALUE_COST, gather, &j);
}

static const hc_op_kind RELATIVE_BIAS = {.name = "relative position bias", .run = run};

/* ---- distances ----------------------------------------------------------------------------------------------------
 */

hc_value hc_relative_coordinates(hc_network *net, int height, int across)
{
    hc_op op = {.kind = &RELATIVE_COORDINATES, .kernel = {.height = height, .width = across}};
    op.out = hc_network_value(net, HC_SHARED, (2 * height - 1) * (2 * across - 1), 2);
    return hc_network_op(net, "relative_coordinates", op);
}

/* sign(x) log(1 + |x|): of a number from 0.75 to 1.5 by the series of the inverse hyperbolic tangent. */
static float signed_log(int x)
{
    double number = x < 0 ? 1 - x : 1 + x, halvings = 0, power = 1, sum = 0;
    for (; number > 1.5; number *= 0.5) halvings++;
    double z = (number - 1) / (number + 1);
    for (int k = 1; k < 24; k += 2, power *= z * z) sum += power / k;
    float log = (float)(halvings * 0.693147180559945309417 + 2 * z * sum);
    return x < 0 ? -log : log;
}

static void put_coordinates(void *context, int first, int last, int thread)
{
    (void)thread;
    const job *j = context;
    int distances = 2 * j->across - 1;
    for (int r = first; r < last; r++) {
        float *out = j->out.at + (size_t)r * j->out.stride;
        out[0] = signed_log(r / distances - (j->height - 1));
        out[1] = signed_log(r % distances - (j->across - 1));
    }
}

static void run_coordinates(hc_pass *pass, const hc_op *op)
{
    job j = {.out = hc_pass_value(pass, op->out), .height = op->kernel.height, .across = op->kernel.width};
    hc_each(pass->steps, j.out.count, 64, 2 * HC_VALUE_COST, put_coordinates, &j);
}

static const hc_op_kind RELATIVE_COORDINATES = {.name = "relative coordinates", .run = run_coordinates};
