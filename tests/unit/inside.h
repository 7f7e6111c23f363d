/* inside.h: what tests look for inside of an encoder. */
#ifndef INSIDE_H
#define INSIDE_H

#include "tower/encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tensor whose name ends so. */
static inline const hc_tensor *tensor_of(const hc_encoder *encoder, const char *ending)
{
    for (int i = 1; i < encoder->net.tensor_count; i++) {
        const char *name = encoder->net.tensors[i].name;
        size_t length = strlen(name), end = strlen(ending);
        if (length >= end && !strcmp(name + length - end, ending)) return &encoder->net.tensors[i];
    }
    fprintf(stderr, "the tower has no tensor %s\n", ending);
    exit(1);
}

/* The first operation of a kind. */
static inline const hc_op *op_of(const hc_encoder *encoder, const char *kind)
{
    for (int i = 0; i < encoder->net.op_count; i++)
        if (!strcmp(encoder->net.ops[i].kind->name, kind)) return &encoder->net.ops[i];
    fprintf(stderr, "the tower has no operation %s\n", kind);
    exit(1);
}

/* The activation of the tower's layers. */
static inline hc_activation activation_of(const hc_encoder *encoder)
{
    hc_activation found = HC_IDENTITY;
    for (int i = 0; i < encoder->net.op_count && found == HC_IDENTITY; i++) found = encoder->net.ops[i].activation;
    return found;
}

#endif
