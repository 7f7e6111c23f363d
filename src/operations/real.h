/* real.h: values as rows in memory. */
#ifndef HC_REAL_H
#define HC_REAL_H

#include "tower/network.h"

/* x itself, or where it is a LayerNorm that nobody has done, the value of an operation that does it. Every operation
 * but those that take rows one by one asks for this first. */
hc_value hc_real(hc_network *net, hc_value x);

/* The norm that x is, done or not; NULL if it is none. */
const hc_value_info *hc_norm_info(const hc_network *net, hc_value x);

#endif
