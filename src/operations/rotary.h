/* rotary.h: what the operations of rotary positions have in common. */
#ifndef HC_ROTARY_H
#define HC_ROTARY_H

#include "operations/operations.h"

/* e to the power of a complex number, by Taylor's series of a part of it, and squared as often as it was halved: within
 * 1e-12 for what a table needs, from additions and multiplications alone. */
void hc_exp_complex(double re, double im, double out[2]);

/* About how many multiplications an entry of a table takes. */
enum { HC_ROTARY_ENTRY_COST = 64 };

/* The operation that turns x's heads, behind the first `skip` rows, by a table, as `kind` reads that. */
hc_value hc_rotate_by(hc_network *net, const hc_op_kind *kind, hc_value table, hc_value x, int heads, int skip,
                      hc_rotary grid);

#endif
