/* pass.h: one pass over a few inputs, as operations see it. */
#ifndef HC_PASS_H
#define HC_PASS_H

#include "tower/network.h"
#include "tower/steps.h"

struct hc_pass {
    const hc_network *net;
    hc_steps *steps;
    hc_batch batch;
    hc_dot dot;
    int exact; /* int8 and int4 promise the same bits everywhere */
    char *arena;
    const void *input; /* pixels or ids */
    float *out;
    int inputs;
    int frames; /* of a video */
    /* texts: */
    int *first;      /* [inputs + 1] the first row of each in a packed value; the last is the row count */
    int *pooled;     /* [inputs] the row that pooling takes                                              */
    uint8_t *hidden; /* [rows] keys that no query may see, or NULL                                        */
};

/* A value in this pass: `count` rows of `width` floats, `stride` apart. */
typedef struct hc_span_of_rows {
    float *at;
    size_t stride;
    int count, width;
} hc_span_of_rows;

hc_span_of_rows hc_pass_value(const hc_pass *pass, hc_value value);

/* The rows of one input in a value; all of them where it is shared. */
typedef struct hc_part_of_rows {
    int first, count;
} hc_part_of_rows;

hc_part_of_rows hc_pass_part(const hc_pass *pass, hc_value value, int input);

/* What an operation may write to while it runs, as large as its kind's `scratch` says. */
void *hc_pass_scratch(const hc_pass *pass, const hc_op *op);

const float *hc_pass_floats(const hc_pass *pass, hc_tensor_id tensor); /* NULL for none */

/* About how many multiplications a value takes that is normalised or put in place. */
enum { HC_VALUE_COST = 8 };

/* Rows of a loop over rows that are worth taking at once. */
enum { HC_ROWS_A_CHUNK = 4 };

#endif
