/* forms.h: a tensor of a tower at fp32, and what it is once it is rounded. */
#ifndef HC_FORMS_H
#define HC_FORMS_H

#include "tower/network.h"

/* A tensor at 4 and at 8 bits, or in halves if it is one that int4 keeps so. */
typedef struct hc_forms {
    hc_tensor four, eight, half;
    void *memory; /* of them; NULL: it stays at fp32 */
    int bits;     /* 4, 8 or 16: which one counts    */
    float *taken; /* from each row's mean by rounding it to 4 bits for itself, and the biases as they were: [rows]
                     each; NULL: nothing */
    float *biases;
    int done; /* rows of `four` that are rounded for what they multiply: those before this one */
} hc_forms;

/* Makes the forms of one of the network's matrices or tables at fp32, each rounded for itself; 4 bits or halves count.
 * 0 and a failure where int4 cannot hold it, or without memory. hc_forms_free frees them in either case. */
int hc_forms_make(hc_forms *forms, const hc_network *net, const hc_tensor *tensor, hc_threads *threads,
                  hc_problem *problem);
void hc_forms_free(hc_forms *forms);

/* Whether it may have 4 or 8 bits. */
static inline int hc_forms_have_choice(const hc_forms *forms) { return forms->bits == 4 || forms->bits == 8; }

/* The form that counts. */
hc_tensor *hc_forms_chosen(hc_forms *forms);

/* Puts the numbers of that form's rows [begin, end) into the tensor. 0 and a failure without memory for rows. */
int hc_forms_apply(hc_forms *forms, hc_tensor *tensor, int begin, int end, hc_threads *threads, hc_problem *problem);

#endif
