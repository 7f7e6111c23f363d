/* fit.c: compares a file with a config's tower. */
#include "load/fit.h"
#include "base/problem.h"
#include "families/family.h"

#include <string.h>

void hc_fit_shape(const hc_tensor *tensor, int parts, const hc_name_rule *rule, uint32_t shape[HC_MOST_RANK])
{
    memcpy(shape, tensor->shape, sizeof tensor->shape);
    if (parts > 1) shape[0] /= (uint32_t)parts;
    if (rule->of) shape[0] = shape[0] / (uint32_t)rule->count * (uint32_t)rule->of;
    if (rule->linear) {
        shape[0] = tensor->shape[1];
        shape[1] = tensor->shape[0];
    }
}

/* How many dimensions of 1 Apple's positions have too many at their beginning. */
static int too_many(const uint32_t *shape, int rank, int expected_rank)
{
    return rank == 4 && expected_rank >= 2 && shape[0] == 1 && shape[1] == 1 ? rank - expected_rank : 0;
}

int hc_fit_is(const uint32_t *shape, int rank, const uint32_t *expected, int expected_rank)
{
    int more = too_many(shape, rank, expected_rank);
    while (rank < expected_rank && rank > 0 && *expected == 1) expected++, expected_rank--;
    shape += more, rank -= more;
    return rank == expected_rank && !memcmp(shape, expected, (size_t)rank * sizeof *shape);
}

int hc_fit_wants(const hc_network *net, const hc_names_match *match, const hc_safetensors *file,
                 const hc_tensor *tensor)
{
    char names[HC_NAME_PARTS][HC_NAME_LENGTH];
    const hc_name_rule *rule;
    if (!tensor->sum && !tensor->part_of) return 1;
    hc_names_of(match, net->tensors[tensor->sum ? tensor->sum : tensor->part_of].name, names, &rule);
    return !hc_safetensors_find(file, names[0]) == !tensor->sum;
}

/* 0 for the shape that is expected, below 1 for another of as many dimensions, 1 for one of more or fewer. */
static double distance(const hc_file_tensor *found, const uint32_t *shape, int rank)
{
    uint32_t has[HC_MOST_RANK];
    double sum = 0;
    int found_rank = hc_safetensors_shape(found, has);
    int skipped = too_many(has, found_rank, rank);
    const uint32_t *is = has + skipped;
    while (found_rank < rank && found_rank > 0 && *shape == 1) shape++, rank--; /* as hc_fit_is says */
    found_rank -= skipped;
    if (found_rank != rank) return 1;
    for (int i = 0; i < rank; i++) {
        double less = is[i] < shape[i] ? is[i] : shape[i], more = is[i] < shape[i] ? shape[i] : is[i];
        if (less < more) sum += 1 - less / more;
    }
    return rank ? sum / rank : 0;
}

/* The distance of one tensor of the tower, and which of the file's it is made of. */
static double measure(const hc_tensor *tensor, const hc_names_match *match, hc_safetensors *file)
{
    char names[HC_NAME_PARTS][HC_NAME_LENGTH];
    uint32_t shape[HC_MOST_RANK];
    const hc_name_rule *rule;
    int parts = hc_names_of(match, tensor->name, names, &rule);
    double sum = 0;
    hc_fit_shape(tensor, parts, rule, shape);
    for (int part = 0; part < parts; part++) {
        hc_file_tensor *found = hc_safetensors_find(file, names[part]);
        sum += found ? distance(found, shape, tensor->rank) : 1;
        if (found) found->used = 1;
    }
    return parts ? sum / parts : 0;
}

double hc_fit(hc_tower tower, const char *config, size_t length, hc_safetensors *file)
{
    hc_problem problem = {.status = HC_OK};
    hc_network net;
    hc_network_init(&net, tower, &problem);
    const hc_family *family = hc_family_build(&net, config, length);
    double sum = 0, count = 0;
    hc_names_match match = {NULL, "", ""};
    if (family) match = hc_family_match(family, &net, file);
    for (size_t i = 0; i < file->count; i++) file->tensors[i].used = 0;
    for (int i = 1; match.names && i < net.tensor_count; i++) {
        if (!hc_fit_wants(&net, &match, file, &net.tensors[i])) continue;
        sum += measure(&net.tensors[i], &match, file);
        count++;
    }
    for (size_t i = 0; match.names && i < file->count; i++) {
        if (file->tensors[i].used || !hc_names_own(&match, &file->tensors[i].name)) continue;
        sum++;
        count++;
    }
    hc_network_free(&net);
    if (!family) return -1;
    return match.names ? sum / count : 1;
}
