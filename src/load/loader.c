/* loader.c: from a weight file's bytes to an encoder. The header is turned into a plan (plan.c); then every chunk goes
 * to the items it overlaps, and each item converts, quantises and packs whole rows at once (units.c). Nothing grows
 * with the file: beside the packed weights there are two rows, and a cut row for each tensor under way; of a shard that
 * is loaded at another dtype than it holds, the quantised tensors under way; and of a tensor that is stored transposed
 * or with gaps, the bytes from its first element to its last, until they have come (pending.c), and at int4 those of a
 * matrix that comes before its norm, until that has (normed.c).
 */
#include "base/constants.h"
#include "base/size.h"
#include "load/loader.h"
#include "load/normed.h"
#include "load/pack.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 256 };

/* ---- the header ---------------------------------------------------------------------------------------------------
 */

hc_loader *hc_loader_new(hc_tower tower, const char *config, size_t config_length, hc_dtype dtype)
{
    hc_loader *loader = calloc(1, sizeof *loader);
    if (!loader) return NULL;
    loader->tower = tower;
    loader->dtype = dtype;
    loader->threads = 1;
    loader->header_need = HC_SAFETENSORS_PREFIX;
    if (config) {
        loader->config = hc_allocate((uint64_t)config_length + 1, 1);
        if (!loader->config) {
            free(loader);
            return NULL;
        }
        memcpy(loader->config, config, config_length);
        loader->config[config_length] = '\0';
        loader->config_length = config_length;
        hc_network_init(&loader->net, tower, &loader->problem);
        loader->family = hc_family_build(&loader->net, config, config_length);
    }
    return loader;
}

hc_status hc_loader_status(const hc_loader *loader) { return loader->problem.status; }
const char *hc_loader_message(const hc_loader *loader) { return loader->problem.message; }

void hc_loader_set_threads(hc_loader *loader, int threads)
{
    loader->threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
}

void hc_loader_set_image_size(hc_loader *loader, int height, int width)
{
    loader->image_height = height;
    loader->image_width = width;
}

void hc_loader_set_temporal(hc_loader *loader, hc_temporal temporal) { loader->temporal = temporal; }

/* Compares what the header describes, once it is known, with the file's size, once that is known. */
static void check_size(hc_loader *loader)
{
    if (!loader->file_size_known || !loader->described_size) return;
    if (loader->file_size < loader->described_size)
        hc_fail(&loader->problem, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, expected %u bytes after its header",
                loader->file_size, loader->described_size);
    if (loader->file_size > loader->described_size)
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT, "the file has %u bytes, expected %u after its header",
                loader->file_size, loader->described_size);
}

void hc_loader_file_size(hc_loader *loader, uint64_t size)
{
    loader->file_size = size;
    loader->file_size_known = 1;
    check_size(loader);
}

uint64_t hc_loader_header_need(const hc_loader *loader)
{
    return loader->problem.status == HC_OK ? loader->header_need : 0;
}

/* The first 8 bytes and the one after them tell safetensors from everything else that comes under its name. */
static void check_prefix(hc_loader *loader, const uint8_t *bytes, size_t n)
{
    int ends = loader->file_size_known && loader->file_size < HC_SAFETENSORS_PREFIX + 2;
    if (n < HC_SAFETENSORS_PREFIX && !ends) return;
    const char *guess = hc_safetensors_guess(bytes, n);
    uint64_t length = n < HC_SAFETENSORS_PREFIX ? 0 : hc_safetensors_header_length(bytes);
    int plausible = length >= 2 && length <= HC_SAFETENSORS_MAX_HEADER &&
                    (n == HC_SAFETENSORS_PREFIX || bytes[HC_SAFETENSORS_PREFIX] == '{');
    ends |= plausible && loader->file_size_known && loader->file_size < HC_SAFETENSORS_PREFIX + length;
    if (guess && (ends || !plausible))
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT, "the file looks like %s, expected a safetensors file", guess);
    else if (ends)
        hc_fail(&loader->problem, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, before its safetensors header does",
                loader->file_size);
    else if (length > HC_SAFETENSORS_MAX_HEADER && length <= HC_SAFETENSORS_LARGEST_HEADER)
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT,
                "the file's safetensors header is said to be of %m, expected at most %m", length,
                (uint64_t)HC_SAFETENSORS_MAX_HEADER);
    else if (!plausible)
        hc_fail(&loader->problem, HC_WEIGHTS_FORMAT,
                "the file does not begin as a safetensors file does (with its header's length and '{')");
    loader->header_need = HC_SAFETENSORS_PREFIX + length;
}

/* Plans from what was parsed, if it was, and frees it. */
static hc_status plan(hc_loader *loader, hc_safetensors *file)
{
    if (loader->problem.status != HC_OK) return loader->problem.status;
    loader->described_size = file->file_size;
    check_size(loader);
    if (loader->problem.status == HC_OK) hc_plan(loader, file);
    hc_safetensors_free(file);
    loader->header_need = 0;
    return loader->problem.status;
}

hc_status hc_loader_header(hc_loader *loader, const void *bytes, size_t n)
{
    if (loader->problem.status != HC_OK || !loader->header_need) return loader->problem.status;
    check_prefix(loader, bytes, n);
    if (loader->problem.status != HC_OK || n < HC_SAFETENSORS_PREFIX || n < loader->header_need)
        return loader->problem.status;

    hc_safetensors file;
    hc_safetensors_parse(&file, (const char *)bytes + HC_SAFETENSORS_PREFIX,
                         (size_t)loader->header_need - HC_SAFETENSORS_PREFIX, &loader->problem);
    return plan(loader, &file);
}

hc_status hc_loader_directory(hc_loader *loader, const char *directory, size_t n)
{
    if (loader->problem.status != HC_OK || !loader->header_need) return loader->problem.status;
    hc_safetensors file;
    hc_safetensors_parse_directory(&file, directory, n, &loader->problem);
    return plan(loader, &file);
}

const hc_range *hc_loader_ranges(hc_loader *loader, size_t *count)
{
    *count = loader->problem.status == HC_OK ? loader->range_count : 0;
    return loader->ranges;
}

/* ---- the data -----------------------------------------------------------------------------------------------------
 */

static void feed_span(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    if (it->at == it->begin) it->span = hc_loader_allocate(loader, it->end - it->begin, 1, it->name);
    if (!it->span) return;
    memcpy(it->span + (size_t)(it->at - it->begin), bytes, n);
    it->at += n;
    if (it->at == it->end) hc_loader_defer(loader, it);
}

/* The part of a chunk that this item waits for; a unit that the chunk cuts is kept. */
static void feed(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    if (it->at == it->begin) it->is_held = hc_normed_waits(loader, it) && it->target != TO_QUANTISED;
    if (it->strided || it->is_held) {
        feed_span(loader, it, bytes, n);
        return;
    }
    it->at += n;
    if (it->cut_bytes) {
        size_t missing = it->unit - it->cut_bytes, now = n < missing ? n : missing;
        memcpy(it->cut + it->cut_bytes, bytes, now);
        it->cut_bytes += now;
        bytes += now;
        n -= now;
        if (it->cut_bytes < it->unit) return;
        it->cut_bytes = 0;
        hc_loader_take(loader, it, it->cut, 1);
    }
    if (n >= it->unit && loader->problem.status == HC_OK) hc_loader_take(loader, it, bytes, n / it->unit);
    if (loader->problem.status != HC_OK) return;
    if (n % it->unit) {
        if (!it->cut) it->cut = hc_loader_allocate(loader, it->unit, 1, "a row");
        if (!it->cut) return;
        it->cut_bytes = n % it->unit;
        memcpy(it->cut, bytes + n - it->cut_bytes, it->cut_bytes);
    }
    if (it->at == it->end) hc_loader_complete(loader, it);
}

/* The first item that may want bytes from `offset` on. */
static size_t item_at(const hc_loader *loader, uint64_t offset)
{
    size_t low = 0, high = loader->problem.status == HC_OK && !loader->header_need ? loader->item_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (loader->items[middle].reach <= offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

void *hc_loader_place(hc_loader *loader, uint64_t offset, size_t *n)
{
    size_t index = item_at(loader, offset);
    if (loader->header_need || loader->problem.status != HC_OK || index == loader->item_count) return NULL;
    hc_item *it = &loader->items[index];
    /* Tensors that overlap, as those of a lying header may, all want the bytes. */
    int alone = index + 1 == loader->item_count || loader->items[index + 1].begin >= it->end;
    if (it->target != TO_QUANTISED || it->strided || it->at != offset || !alone) return NULL;
    if (*n > it->end - offset) *n = (size_t)(it->end - offset);
    return it->place + it->done;
}

hc_status hc_loader_push(hc_loader *loader, uint64_t offset, const void *bytes, size_t n)
{
    uint64_t end = hc_size_sum(offset, n);
    while (hc_loader_settle(loader)) {
    }
    for (size_t low = item_at(loader, offset); low < loader->item_count && !loader->header_need &&
                                               loader->problem.status == HC_OK && loader->items[low].begin < end;
         low++) {
        hc_item *it = &loader->items[low];
        uint64_t stop = it->end < end ? it->end : end;
        if (it->at >= offset && it->at < stop)
            feed(loader, it, (const uint8_t *)bytes + (it->at - offset), (size_t)(stop - it->at));
    }
    return loader->problem.status;
}

/* Whether any weight of the tower is not zero. A block of zeros is how training begins (LayerScale, the last projection
 * of a branch); a tower of zeros is a file whose space was reserved and never written. Quantised values count with
 * their scales. */
static int is_any_nonzero(const hc_loader *loader)
{
    for (size_t i = 0; i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        if (it->tensor && it->nonzero && (!it->has_partner || loader->items[it->partner].nonzero)) return 1;
    }
    return 0;
}

hc_encoder *hc_loader_finish(hc_loader *loader)
{
    while (hc_loader_settle(loader)) {
    }
    if (loader->header_need)
        hc_fail(&loader->problem, HC_WEIGHTS_TRUNCATED, "the file ends before its header does, expected %u bytes",
                loader->header_need);
    for (size_t i = 0; i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        if (it->at < it->end)
            hc_fail(&loader->problem, HC_WEIGHTS_TRUNCATED,
                    "tensor %s has come to byte %u of its %u (bytes %u to %u of the file)", it->name,
                    it->at - it->begin, it->end - it->begin, it->begin, it->end);
    }
    if (loader->item_count && !is_any_nonzero(loader))
        hc_fail(&loader->problem, HC_WEIGHTS_CORRUPT, "the %s tower holds nothing but zeros",
                hc_tower_name(loader->tower));
    if (loader->problem.status != HC_OK) return NULL;
    if (loader->encoder) hc_loader_combine(loader);
    if (loader->problem.status != HC_OK) return NULL;
    if (loader->encoder) hc_normed_finish(loader);
    hc_encoder *encoder = loader->encoder;
    loader->encoder = NULL;
    if (encoder) encoder->net.problem = NULL;
    else hc_fail(&loader->problem, HC_WEIGHTS_TRUNCATED, "the encoder was taken already");
    return encoder;
}

void hc_loader_free(hc_loader *loader)
{
    if (!loader) return;
    for (size_t i = 0; i < loader->item_count; i++) {
        free(loader->items[i].cut);
        free(loader->items[i].span);
        free(loader->items[i].places);
        if (loader->items[i].owns_place) free(loader->items[i].place);
    }
    if (loader->encoder) hc_normed_free(loader);
    hc_encoder_free(loader->encoder);
    free(loader->items);
    hc_network_free(&loader->net);
    free(loader->parts);
    free(loader->ranges);
    free(loader->row);
    free(loader->config);
    free(loader);
}
