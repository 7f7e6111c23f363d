/* fit.h: how far a file is from the tower that a config asks for, by the names and shapes of its tensors alone. */
#ifndef HC_FIT_H
#define HC_FIT_H

#include "checkpoint/safetensors.h"
#include "tower/network.h"

/* 0: the file has each tensor of the tower in its shape, and no other that belongs to it. Up to 1, where it has none
 * of them: the share of those that are missing or too many, and for another shape something between. -1: no family
 * computes such a tower, the config is none, or memory is exhausted. */
double hc_fit(hc_tower tower, const char *config, size_t length, hc_safetensors *file);

/* The shape in which the file is to have each of the parts of a tensor; see hc_names_of for `parts` and `linear`. */
void hc_fit_shape(const hc_tensor *tensor, int parts, int linear, uint32_t shape[4]);

#endif
