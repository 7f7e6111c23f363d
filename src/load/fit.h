/* fit.h: how far a file is from the tower that a config asks for, by the names and shapes of its tensors alone. */
#ifndef HC_FIT_H
#define HC_FIT_H

#include "checkpoint/names.h"
#include "tower/network.h"

/* 0: the file has each tensor of the tower in its shape, and no other that belongs to it. Up to 1, where it has none
 * of them: the share of those that are missing or too many, and for another shape something between. -1: no family
 * computes such a tower, the config is none, or memory is exhausted. */
double hc_fit(hc_tower tower, const char *config, size_t length, hc_safetensors *file);

/* Whether the file is to have a tensor of the network: of a convolution and its branches it has one or the other. */
int hc_fit_wants(const hc_network *net, const hc_names_match *match, const hc_safetensors *file,
                 const hc_tensor *tensor);

/* The shape in which the file is to have each of the parts of a tensor; see hc_names_of for `parts` and `rule`. */
void hc_fit_shape(const hc_tensor *tensor, int parts, const hc_name_rule *rule, uint32_t shape[HC_MOST_RANK]);

/* Whether a shape is the expected one, or that without dimensions of 1 at its beginning, or [1, 1, n, k] for what has
 * fewer dimensions: Hugging Face has positions [n, k] where timm has [1, n, k], and Apple the latter. */
int hc_fit_is(const uint32_t *shape, int rank, const uint32_t *expected, int expected_rank);

#endif
