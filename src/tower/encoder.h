/* encoder.h: a loaded tower: its operations, its packed weights, and the arena. Made by load/; what a call of hc_embed…
 * has under way is in it, too. */
#ifndef HC_ENCODER_H
#define HC_ENCODER_H

#include "tower/network.h"
#include "tower/steps.h"

/* A call of hc_embed… under way: what is left of it. */
typedef struct hc_run {
    const void *input;
    size_t count;
    float *out;
    int normalize;
    int frames; /* of the video that it is of; 0: it is of pictures or texts */
    int taken;  /* inputs of the pass under way; 0: none is */
    int op;     /* its next operation                       */
    hc_steps steps;
} hc_run;

struct hc_encoder {
    hc_network net;
    hc_dtype dtype;
    hc_dot dot;
    hc_batch batch;
    hc_threads *threads; /* or NULL: one thread               */
    void *packed;        /* all weights, one allocation       */
    size_t packed_bytes;
    void *arena;
    size_t arena_bytes;
    char *config_json;   /* NUL-terminated                    */
    uint8_t *vocabulary; /* or NULL                           */
    size_t vocabulary_bytes;
    uint64_t parameters;
    int is_twin; /* all but the arena and the run belong to another encoder */
    hc_run run;
};

/* Room for the batch's inputs and for their vectors, within the arena. A run takes them from there and puts them there
 * just as well; what one call is given or gives is overwritten by the next, and pixels by the call that is given them.
 */
void hc_encoder_buffers(const hc_encoder *encoder, void **input, float **output);

/* Goes on with encoder->run: as much of it as so many multiplications are. Returns whether anything is left. */
int hc_encoder_run(hc_encoder *encoder, uint64_t multiplications);

/* Prepares what the next operation of encoder->run multiplies, and shows it to the observer; the operation is still to
 * be done. */
void hc_encoder_observe(hc_encoder *encoder, hc_observer *observer, void *context);

#endif
