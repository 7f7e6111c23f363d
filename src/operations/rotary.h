/* rotary.h: what the operations of rotary positions have in common. */
#ifndef HC_ROTARY_H
#define HC_ROTARY_H

#include "operations/operations.h"
#include "tower/pass.h"

/* e to the power of a complex number, by Taylor's series of a part of it, and squared as often as it was halved: within
 * 1e-12 for what a table needs, from additions and multiplications alone. */
void hc_exp_complex(double re, double im, double out[2]);

/* About how many multiplications an entry of a table takes. */
enum { HC_ROTARY_ENTRY_COST = 64 };

/* The operation that turns x's heads, behind the first `skip` rows, by a table, as `kind` reads that. */
hc_value hc_rotate_by(hc_network *net, const hc_op_kind *kind, hc_value table, hc_value x, int heads, int skip,
                      hc_rotary grid);

/* Turns one row of x by the table's rows, `width` wide, of its pixel's row and column in the grid. */
typedef void hc_turn(const hc_op *op, float *x, const float *down, const float *right, int width);

/* Runs such an operation, which multiplies each number about `times` times. */
void hc_run_turns(hc_pass *pass, const hc_op *op, hc_turn *turn, int times);

#endif
