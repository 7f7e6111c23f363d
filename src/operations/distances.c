/* distances.c: biases by distance within windows, of windows of another size: spread as resize_rel_pos_bias_table
 * (timm/layers/pos_embed_rel.py, after BEiT's) spreads them, and linear between those that the file has. */
#include "operations/operations.h"

static void add_row(float *to, const float *from, size_t width, float weight)
{
    for (size_t k = 0; k < width; k++) to[k] += weight * from[k];
}

/* The two distances of the file's beside one of the tower's, and how near it is to each. */
typedef struct pair {
    int left, right;
    float near_left, near_right;
} pair;

/* The quotient of a geometric progression of `steps` steps, the first of which is 1, that ends at `end`: by halves,
 * between the bounds that timm has, and as near. */
static double quotient_of(int steps, int end)
{
    double left = 1.01, right = 1.5, q = left;
    while (right - left > 1e-6) {
        double power = 1;
        q = (left + right) / 2;
        for (int i = 0; i < steps; i++) power *= q;
        if ((1 - power) / (1 - q) > end) right = q;
        else left = q;
    }
    return q;
}

/* Where the file's distances lie among the tower's: they grow from the middle on, so that near ones stay what they are.
 */
static pair pair_of(int in, int out, int place)
{
    int middle = in / 2, way = place - out / 2, far = way < 0 ? -way : way, index = 0;
    double q = quotient_of(middle, out / 2), step = 1, next = 0, last = 0;
    while (index < middle && (float)next < (float)far) {
        last = next;
        next += step;
        step *= q;
        index++;
    }
    float beyond = (float)next - (float)far, within = (float)far - (float)last;
    int inner = index ? middle + (way < 0 ? 1 - index : index - 1) : middle,
        outer = middle + (way < 0 ? -index : index);
    if (beyond <= 0) return (pair){outer, outer, 1, 0};
    return (pair){inner, outer, beyond / (beyond + within), within / (beyond + within)};
}

size_t hc_distance_made(const hc_places *from, const hc_places *to, const float *places, size_t width, int place,
                        float *out)
{
    pair down = pair_of(from->height, to->height, place / to->across),
         across = pair_of(from->across, to->across, place % to->across);
    const float *top = places + (size_t)(down.left * from->across) * width,
                *bottom = places + (size_t)(down.right * from->across) * width;
    size_t left = (size_t)across.left * width, right = (size_t)across.right * width;
    add_row(out, top + left, width, down.near_left * across.near_left);
    add_row(out, top + right, width, down.near_left * across.near_right);
    add_row(out, bottom + left, width, down.near_right * across.near_left);
    add_row(out, bottom + right, width, down.near_right * across.near_right);
    return 4 + (size_t)(from->height + from->across);
}
