/* steps.c: which part of a loop is to be done now. */
#include "tower/steps.h"

enum { PANEL_GRAIN = 4 }; /* of a product that is cut: as many panels as the kernels take at once */

void hc_steps_begin(hc_steps *steps, uint64_t multiplications)
{
    steps->left = multiplications;
    steps->begun = 0;
    hc_steps_again(steps, 0);
}

void hc_steps_again(hc_steps *steps, int anew)
{
    steps->number = steps->stopped = 0;
    if (anew) steps->done = steps->at = 0;
}

/* How many of the next step's iterations are to be done now, from *first on. */
static int take(hc_steps *steps, int count, int grain, uint64_t cost, int *first)
{
    if (steps->number++ < steps->done || steps->stopped) return 0;
    int missing = count - steps->at, now = missing;
    *first = steps->at;
    if (cost && steps->left / cost < (uint64_t)missing) now = (int)(steps->left / cost) / grain * grain;
    if (!now && !steps->begun) now = grain < missing ? grain : missing;
    uint64_t spent = hc_size_product((uint64_t)now, cost);
    steps->left -= spent < steps->left ? spent : steps->left;
    steps->begun |= now > 0;
    steps->stopped = now < missing;
    steps->at = steps->stopped ? steps->at + now : 0;
    steps->done += !steps->stopped;
    return now;
}

typedef struct part {
    hc_task *task;
    void *context;
    int first;
} part;

static void do_part(void *context, int first, int last, int thread)
{
    const part *p = context;
    p->task(p->context, p->first + first, p->first + last, thread);
}

void hc_each(hc_steps *steps, int count, int grain, uint64_t cost, hc_task *task, void *context)
{
    part p = {task, context, 0};
    int now = take(steps, count, grain, cost, &p.first);
    hc_parallel_for(steps->threads, now, grain, do_part, &p);
}

void hc_each_panel(hc_steps *steps, const hc_matrix *w, const hc_rows *a, const hc_epilogue *epilogue, float *out,
                   size_t out_stride)
{
    int panels = (w->n + HC_PANEL - 1) / HC_PANEL, first,
        now = take(steps, panels, PANEL_GRAIN, (uint64_t)a->count * (uint64_t)w->k * HC_PANEL, &first);
    if (!now) return;
    if (steps->observer) {
        steps->observer(steps->observed, w, a);
        return;
    }
    int column = first * HC_PANEL, columns = now * HC_PANEL;
    hc_matrix part = hc_matrix_part(w, column, columns < w->n - column ? columns : w->n - column);
    hc_epilogue e = *epilogue;
    if (e.scale) e.scale += column;
    if (e.bias) e.bias += column;
    if (e.gamma) e.gamma += column;
    if (e.residual) e.residual += column;
    hc_gemm(steps->threads, &part, a, &e, out + column, out_stride);
}
