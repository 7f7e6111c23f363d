/* steps.h: long work that can be left at any time and taken up again, without a stack of its own that would have to be
 * kept.
 *
 * The work is written as plain functions that call hc_each and hc_each_panel for everything that changes anything. Each
 * such call is a step. When enough has been done at a time, the steps that follow do nothing, and the functions return;
 * to go on they are called once more, with the same arguments, and the steps that are done already do nothing. So what
 * lies between steps is done over and over: it must be cheap, and must come out the same each time. */
#ifndef HC_STEPS_H
#define HC_STEPS_H

#include "kernels/kernels.h"

/* Is shown the two sides of a GEMM, in place of the GEMM. */
typedef void hc_observer(void *context, const hc_matrix *w, const hc_rows *a);

typedef struct hc_steps {
    hc_threads *threads;
    hc_observer *observer; /* or NULL: GEMMs are done */
    void *observed;        /* its context             */
    uint64_t left;         /* multiplications that may still be done this time        */
    int begun;             /* whether anything has been done this time                */
    int stopped;           /* whether there is more to do than there was time for     */
    int number;            /* of the step that the functions have come to             */
    int done, at;          /* steps that are done; iterations of the next one that are */
} hc_steps;

/* Before the functions are called: this time they may do so many multiplications, and a little in any case. */
void hc_steps_begin(hc_steps *steps, uint64_t multiplications);

/* Before they are called again for as much as is left of that: to go on, or (`anew`) for other work. */
void hc_steps_again(hc_steps *steps, int anew);

/* A parallel loop (see hc_parallel_for) whose iterations take about `cost` multiplications each. */
void hc_each(hc_steps *steps, int count, int grain, uint64_t cost, hc_task *task, void *context);

/* hc_gemm, or its observer. */
void hc_each_panel(hc_steps *steps, const hc_matrix *w, const hc_rows *a, const hc_epilogue *epilogue, float *out,
                   size_t out_stride);

#endif
