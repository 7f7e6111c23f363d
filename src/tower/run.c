/* run.c: passes over as many inputs as a caller has, each in as many steps as it takes. */
#include "families/transformer.h"

static void lay_pass(hc_pass *pass, const hc_encoder *encoder)
{
    hc_pass_plan(pass, &encoder->config, encoder->dtype, encoder->batch, encoder->arena);
}

void hc_tower_buffers(const hc_encoder *encoder, void **input, float **output)
{
    hc_pass pass;
    lay_pass(&pass, encoder);
    *input = pass.input;
    *output = pass.output;
}

typedef struct unit_job {
    float *vectors;
    int dim;
} unit_job;

static void make_unit(void *context, int first, int last, int thread)
{
    (void)thread;
    const unit_job *j = context;
    for (int i = first; i < last; i++) hc_normalise(j->vectors + (size_t)i * (size_t)j->dim, j->dim);
}

/* One pass over the next inputs. Returns how many it takes. */
static int pass_over(hc_encoder *encoder, hc_pass *pass)
{
    const hc_config *c = &encoder->config;
    hc_run *run = &encoder->run;
    int limit = c->tower == HC_IMAGE || c->tokens_out > 1 ? encoder->batch.full : encoder->batch.inputs,
        taken = run->count < (size_t)limit ? (int)run->count : limit;
    if (c->tower == HC_IMAGE) hc_image_run(pass, run->input, taken, run->out);
    else taken = hc_text_run(pass, run->input, taken, encoder->batch.full * c->positions, run->out);
    unit_job unit = {run->out, c->dim};
    if (run->normalize) hc_each(&run->steps, taken * c->tokens_out, 1, (uint64_t)c->dim * 4, make_unit, &unit);
    return taken;
}

int hc_tower_run(hc_encoder *encoder, uint64_t multiplications)
{
    const hc_config *c = &encoder->config;
    hc_run *run = &encoder->run;
    size_t values =
        c->tower == HC_IMAGE ? 3 * (size_t)c->image_height * (size_t)c->image_width : (size_t)c->context_length;
    hc_steps_begin(&run->steps, multiplications);
    while (run->count) {
        hc_pass pass;
        lay_pass(&pass, encoder);
        pass.weights = &encoder->weights;
        pass.steps = &run->steps;
        pass.rows.dot = encoder->dot;
        pass.rows.exact = pass.exact;
        int taken = pass_over(encoder, &pass);
        if (run->steps.stopped) return 1;
        hc_steps_again(&run->steps, 1);
        run->input = (const float *)run->input + (size_t)taken * values; /* ids are as wide */
        run->out += (size_t)taken * (size_t)c->tokens_out * (size_t)c->dim;
        run->count -= (size_t)taken;
    }
    return 0;
}
