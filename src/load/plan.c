/* plan.c: from a file's header to a plan: one item for each tensor of the file that the tower needs, and the ranges of
 * bytes to ask for. */
#include "base/constants.h"
#include "base/size.h"
#include "base/sort.h"
#include "load/fit.h"
#include "load/loader.h"
#include "load/pack.h"
#include "load/places.h"

#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_GAP = 64 * 1024,
    LARGEST_MERGES = 65536 * 4, /* ids have 16 bits, and every merge makes one from two */
    LARGEST_TOKENIZER = 1 << 26
};

/* ---- items --------------------------------------------------------------------------------------------------------
 */

static int is_weight(hc_element element)
{
    return element == HC_F32 || element == HC_F16 || element == HC_BF16 || element == HC_F64;
}

uint64_t hc_item_bytes(const hc_item *it)
{
    return it->strided ? hc_size_product(hc_size_shape(it->shape, it->strided), hc_pack_element_bytes(it->element))
                       : it->end - it->begin;
}

/* Finds a tensor of the expected shape; NULL and an error else. */
static hc_file_tensor *require(hc_loader *loader, const hc_safetensors *file, const char *name, const uint32_t *shape,
                               int rank)
{
    hc_file_tensor *found = hc_safetensors_find(file, name);
    uint32_t has[HC_MOST_RANK];
    if (!found) {
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "tensor %s is missing from the file, expected with shape %x",
                name, shape, rank);
        return NULL;
    }
    found->used = 1;
    if (!hc_fit_is(has, hc_safetensors_shape(found, has), shape, rank)) {
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "tensor %s has shape %t, expected %x", name, found->shape.text,
                found->shape.length, shape, rank);
        return NULL;
    }
    return found;
}

static hc_item *add_item(hc_loader *loader, hc_tensor *tensor, const char *name, const hc_file_tensor *found,
                         hc_target where, uint64_t unit_values)
{
    hc_item *it = &loader->items[loader->item_count++];
    it->tensor = tensor;
    hc_format(it->name, sizeof it->name, "%s", name);
    it->target = where;
    it->element = found->element;
    it->begin = it->at = found->begin;
    it->end = found->end;
    uint64_t unit = hc_size_product(unit_values, hc_pack_element_bytes(found->element));
    if (unit > HC_SIZE_MOST)
        hc_fail(&loader->problem, HC_OUT_OF_MEMORY, "a row of tensor %s has %m, expected at most %m", name, unit,
                HC_SIZE_MOST);
    it->unit_values = (size_t)unit_values;
    it->unit = (size_t)unit;
    if (found->strides.type != HC_JSON_ABSENT) {
        it->strided = hc_safetensors_shape(found, it->shape);
        hc_safetensors_strides(found, it->strides);
    }
    return it;
}

/* A shard's quantised tensor and its scales: at int8 a scale a channel or row, at int4 one a group. What an int4 shard
 * holds at int8 was chosen to be so (calibrate/), and stays so at int4. */
static void plan_quantised(hc_loader *loader, const hc_safetensors *file, hc_tensor *tensor, const char *name,
                           hc_element element)
{
    char scale_name[HC_NAME_LENGTH];
    hc_stored_part parts[2];
    hc_stored_parts(tensor, element == HC_U8 ? HC_STORE_I4 : HC_STORE_I8, parts);
    hc_format(scale_name, sizeof scale_name, "%s%s", name, parts[1].ending);
    const hc_file_tensor *values = require(loader, file, name, parts[0].shape, parts[0].rank),
                         *scales = require(loader, file, scale_name, parts[1].shape, parts[1].rank);
    if (!values || !scales) return;
    if (scales->element != parts[1].element) {
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected %s", scale_name,
                scales->dtype.text, scales->dtype.length, parts[1].element == HC_F16 ? "F16" : "F32");
        return;
    }
    tensor->eight_bits = loader->held == HC_INT4 && element == HC_I8;
    hc_item *it = add_item(loader, tensor, name, values, TO_QUANTISED, 1);
    hc_item *scale = add_item(loader, tensor, scale_name, scales, TO_SCALES, 1);
    it->has_partner = scale->has_partner = 1;
}

static hc_target target_of(const hc_tensor *tensor, int linear)
{
    switch (tensor->kind) {
    case HC_FLOATS: return TO_FLOATS;
    case HC_TABLE: return TO_TABLE;
    case HC_MATRIX: break;
    }
    return tensor->transposed != linear ? TO_COLUMNS : TO_ROWS;
}

/* Of a tensor of the file the rows that are the tower's: `count` of `of` parts of equal size. */
static void cut_item(hc_loader *loader, hc_item *it, const hc_name_rule *rule)
{
    uint64_t part = (it->end - it->begin) / (uint64_t)rule->of;
    if (it->strided)
        hc_fail(&loader->problem, HC_MODEL_UNSUPPORTED,
                "tensor %s is stored with strides, expected in the order of its shape, of which parts can be read",
                it->name);
    it->begin = it->at = it->begin + part * (uint64_t)rule->first;
    it->end = it->begin + part * (uint64_t)rule->count;
}

/* Positions that the file has for another grid or length. 0: it has them for the tower's, or not such. */
static int plan_resized(hc_loader *loader, const hc_safetensors *file, hc_tensor *tensor, const char *name)
{
    hc_file_tensor *found = hc_safetensors_find(file, name);
    hc_places from;
    if (!found || !is_weight(found->element) || !hc_places_differ(loader, tensor, found, &from)) return 0;
    found->used = 1;
    add_item(loader, tensor, name, found, TO_PLACES, 1)->from = from;
    return 1;
}

/* What the file calls a tensor, in one piece or three, each of the shape that the config implies. */
static void plan_tensor(hc_loader *loader, const hc_safetensors *file, const hc_names_match *match, hc_tensor *tensor)
{
    char names[HC_NAME_PARTS][HC_NAME_LENGTH];
    const hc_name_rule *rule;
    int parts = hc_names_of(match, tensor->name, names, &rule);
    uint32_t shape[HC_MOST_RANK];
    hc_fit_shape(tensor, parts, rule, shape);
    for (int part = 0; part < parts; part++) {
        hc_file_tensor *found = hc_safetensors_find(file, names[part]);
        int quantised = found && (found->element == HC_I8 || found->element == HC_U8);
        if (quantised && tensor->kind != HC_FLOATS && !tensor->keep_half && parts == 1 && !rule->of) {
            plan_quantised(loader, file, tensor, names[part], found->element);
            return;
        }
        if (parts == 1 && !rule->of && plan_resized(loader, file, tensor, names[part])) return;
        found = require(loader, file, names[part], shape, tensor->rank);
        if (!found) return;
        if (!is_weight(found->element)) {
            hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "tensor %s has dtype %t, expected F32, F16, BF16 or F64",
                    names[part], found->dtype.text, found->dtype.length);
            return;
        }
        hc_target where = target_of(tensor, rule->linear);
        uint64_t row = where == TO_FLOATS ? 1 : hc_size_shape(shape + 1, tensor->rank - 1);
        hc_item *it = add_item(loader, tensor, names[part], found, where, row);
        it->first = part * (int)shape[0];
        if (rule->of) cut_item(loader, it, rule);
    }
}

/* What a text shard carries for its texts, under either of its names. */
static void plan_vocabulary(hc_loader *loader, const hc_safetensors *file)
{
    if (loader->tower != HC_TEXT) return;
    const char *name = HC_VOCABULARY_MERGES;
    uint64_t most = LARGEST_MERGES;
    const hc_file_tensor *found = hc_safetensors_find(file, name);
    if (!found) {
        name = HC_VOCABULARY_TOKENIZER;
        most = LARGEST_TOKENIZER;
        found = hc_safetensors_find(file, name);
    }
    if (!found || found->element != HC_U8 || found->begin == found->end) return;
    uint32_t shape[HC_MOST_RANK];
    int rank = hc_safetensors_shape(found, shape);
    uint64_t bytes = rank < 0 ? HC_SIZE_TOO_LARGE : hc_size_shape(shape, rank);
    if (bytes > most) {
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT, "tensor %s has shape %t, expected at most %u bytes", name,
                found->shape.text, found->shape.length, most);
        return;
    }
    hc_encoder *e = loader->encoder;
    e->vocabulary = hc_loader_allocate(loader, bytes, 1, "the vocabulary");
    if (!e->vocabulary) return;
    e->vocabulary_bytes = (size_t)bytes;
    add_item(loader, NULL, name, found, TO_VOCABULARY, 1);
}

/* ---- order --------------------------------------------------------------------------------------------------------
 */

static int by_position(const void *a, const void *b)
{
    uint64_t x = (*(const hc_item *const *)a)->begin, y = (*(const hc_item *const *)b)->begin;
    return x < y ? -1 : x > y;
}

/* Puts the items in file order, and links quantised values with their scales. */
static void order_items(hc_loader *loader)
{
    hc_item **order = hc_loader_allocate(loader, loader->item_count, sizeof *order, "the plan");
    hc_item *sorted = hc_loader_allocate(loader, loader->item_count, sizeof *sorted, "the plan");
    if (order && sorted) {
        for (size_t i = 0; i < loader->item_count; i++) order[i] = &loader->items[i];
        hc_sort(order, loader->item_count, sizeof *order, by_position);
        for (size_t i = 0; i < loader->item_count; i++) order[i]->partner = i;
        for (size_t i = 0; i < loader->item_count; i++) {
            hc_item *it = order[i];
            sorted[i] = *it;
            if (it->has_partner) sorted[i].partner = (it->target == TO_SCALES ? it - 1 : it + 1)->partner;
            sorted[i].reach = i && sorted[i - 1].reach > it->end ? sorted[i - 1].reach : it->end;
        }
        free(loader->items);
        loader->items = sorted;
        sorted = NULL;
    }
    free(order);
    free(sorted);
}

/* Where quantised values and their scales go. */
static void plan_places(hc_loader *loader)
{
    for (size_t i = 0; i < loader->item_count && loader->problem.status == HC_OK; i++) {
        hc_item *it = &loader->items[i];
        if (!it->has_partner) continue;
        int scales = it->target == TO_SCALES;
        hc_element element = scales ? loader->items[it->partner].element : it->element;
        hc_storage storage = element == HC_U8 ? HC_STORE_I4 : HC_STORE_I8;
        hc_stored_part parts[2];
        hc_stored_parts(it->tensor, storage, parts);
        if (storage == hc_stored_as(it->tensor, loader->dtype)) {
            it->place = hc_stored_at(it->tensor, &parts[scales]);
        } else {
            it->place = hc_loader_allocate(loader, hc_item_bytes(it), 1, "quantised weights");
            it->owns_place = it->place != NULL;
        }
    }
}

static void plan_ranges(hc_loader *loader)
{
    loader->ranges = hc_loader_allocate(loader, loader->item_count, sizeof *loader->ranges, "the plan");
    for (size_t i = 0; loader->ranges && i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        hc_range *last = loader->ranges + loader->range_count - 1;
        if (loader->range_count && (it->begin < last->end || it->begin - last->end <= LARGEST_GAP))
            last->end = it->reach;
        else loader->ranges[loader->range_count++] = (hc_range){it->begin, it->end};
    }
}

static void plan_rows(hc_loader *loader)
{
    const hc_network *net = &loader->encoder->net;
    uint64_t longest = 1;
    for (size_t i = 0; i < loader->item_count; i++)
        if (loader->items[i].unit_values > longest) longest = loader->items[i].unit_values;
    for (int i = 1; i < net->tensor_count; i++) {
        hc_extent extent = hc_stored_extent(&net->tensors[i]);
        if (net->tensors[i].kind != HC_FLOATS && extent.k > longest) longest = extent.k;
    }
    loader->row_length = (size_t)longest;
    loader->row = hc_loader_allocate(loader, 2 * longest, sizeof *loader->row, "a row");
}

/* ---- the whole ----------------------------------------------------------------------------------------------------
 */

static void check_unexpected(hc_loader *loader, const hc_safetensors *file, const hc_names_match *match)
{
    for (size_t i = 0; i < file->count; i++) {
        const hc_file_tensor *t = &file->tensors[i];
        if (!t->used && !hc_json_is(&t->name, HC_VOCABULARY_MERGES) && !hc_json_is(&t->name, HC_VOCABULARY_TOKENIZER) &&
            hc_names_own(match, &t->name))
            hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH,
                    "the file has tensor %t of shape %t, which the %s tower of this model does not have",
                    t->name.text + 1, t->name.length - 2, t->shape.text, t->shape.length, hc_tower_name(loader->tower));
    }
}

static void plan_items(hc_loader *loader, const hc_safetensors *file)
{
    hc_network *net = &loader->encoder->net;
    hc_names_match match = hc_family_match(loader->family, net, file);
    if (!match.names) {
        char held[256], asked[128];
        hc_family_describe(file, loader->family, held, sizeof held, asked, sizeof asked);
        hc_fail(&loader->problem, HC_WEIGHTS_MISMATCH, "the file holds %s, %s was asked for", held, asked);
        return;
    }
    loader->items =
        hc_loader_allocate(loader, (uint64_t)net->tensor_count * HC_NAME_PARTS + 1, sizeof *loader->items, "the plan");
    if (!loader->items) return;
    for (int i = 1; i < net->tensor_count && loader->problem.status == HC_OK; i++) {
        hc_tensor *t = &net->tensors[i];
        hc_names_match named = hc_family_match_of(&match, net, t);
        if (hc_fit_wants(net, &named, file, t)) plan_tensor(loader, file, &named, t);
        else t->is_summed = t->sum == i;
    }
    if (loader->problem.status == HC_OK) check_unexpected(loader, file, &match);
    hc_names_match last = hc_family_match_of(&match, net, &net->tensors[net->tensor_count - 1]);
    if (loader->problem.status == HC_OK && last.names != match.names) check_unexpected(loader, file, &last);
    if (loader->problem.status == HC_OK) plan_vocabulary(loader, file);
}

void hc_plan(hc_loader *loader, const hc_safetensors *file)
{
    static void (*const steps[])(hc_loader *) = {hc_loader_allocate_encoder, order_items, plan_places, plan_ranges,
                                                 plan_rows};
    hc_loader_read_metadata(loader, &file->metadata);
    if (loader->problem.status != HC_OK) return;
    hc_encoder *e = loader->encoder = hc_loader_allocate(loader, 1, sizeof *e, "the encoder");
    if (!e) return;
    e->dtype = loader->dtype;
    e->dot = HC_DOT_DEFAULT;
    hc_loader_make_tower(loader, file);
    if (loader->problem.status == HC_OK) plan_items(loader, file);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && loader->problem.status == HC_OK; i++) steps[i](loader);
}
