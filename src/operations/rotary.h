/* rotary.h: what tables of rotary positions are made with. */
#ifndef HC_ROTARY_H
#define HC_ROTARY_H

/* e to the power of a complex number, by Taylor's series of a part of it, and squared as often as it was halved: within
 * 1e-12 for what a table needs, from additions and multiplications alone. */
void hc_exp_complex(double re, double im, double out[2]);

/* About how many multiplications an entry of a table takes. */
enum { HC_ROTARY_ENTRY_COST = 64 };

#endif
