/* loader.c: from a weight file's bytes to an encoder. The header is turned into a plan (plan.c); then every chunk goes
 * to the items it overlaps, and each item converts, quantises and packs whole rows at once. Nothing grows with the
 * file: beside the packed weights there is one row, and a cut row for each tensor under way; of a shard that is loaded
 * at another dtype than it holds, the quantised tensors under way; and of a tensor that is stored transposed or with
 * gaps, the bytes from its first element to its last, until they have come.
 */
#include "load/loader.h"
#include "load/pack.h"
#include "base/size.h"

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
        hc_config checked;
        loader->config = hc_allocate((uint64_t)config_length + 1, 1);
        if (!loader->config) {
            free(loader);
            return NULL;
        }
        memcpy(loader->config, config, config_length);
        loader->config[config_length] = '\0';
        loader->config_length = config_length;
        loader->status =
            hc_config_parse(&checked, tower, config, config_length, loader->message, sizeof loader->message);
    }
    return loader;
}

hc_status hc_loader_status(const hc_loader *loader) { return loader->status; }
const char *hc_loader_message(const hc_loader *loader) { return loader->message; }

void hc_loader_set_threads(hc_loader *loader, int threads)
{
    loader->threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
}

/* Compares what the header describes, once it is known, with the file's size, once that is known. */
static void check_size(hc_loader *loader)
{
    if (!loader->file_size_known || !loader->described_size) return;
    if (loader->file_size < loader->described_size)
        FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, expected %u bytes after its header",
             loader->file_size, loader->described_size);
    if (loader->file_size > loader->described_size)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file has %u bytes, expected %u after its header", loader->file_size,
             loader->described_size);
}

void hc_loader_file_size(hc_loader *loader, uint64_t size)
{
    loader->file_size = size;
    loader->file_size_known = 1;
    check_size(loader);
}

uint64_t hc_loader_header_need(const hc_loader *loader) { return loader->status == HC_OK ? loader->header_need : 0; }

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
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file looks like %s, expected a safetensors file", guess);
    else if (ends)
        FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends at byte %u, before its safetensors header does",
             loader->file_size);
    else if (length > HC_SAFETENSORS_MAX_HEADER && length <= HC_SAFETENSORS_LARGEST_HEADER)
        FAIL(loader, HC_WEIGHTS_FORMAT, "the file's safetensors header is said to be of %m, expected at most %m",
             length, (uint64_t)HC_SAFETENSORS_MAX_HEADER);
    else if (!plausible)
        FAIL(loader, HC_WEIGHTS_FORMAT,
             "the file does not begin as a safetensors file does (with its header's length and '{')");
    loader->header_need = HC_SAFETENSORS_PREFIX + length;
}

/* Plans from what was parsed, if it was, and frees it. */
static hc_status plan(hc_loader *loader, hc_safetensors *file)
{
    if (loader->status != HC_OK) return loader->status;
    loader->described_size = file->file_size;
    check_size(loader);
    if (loader->status == HC_OK) hc_plan(loader, file);
    hc_safetensors_free(file);
    loader->header_need = 0;
    return loader->status;
}

hc_status hc_loader_header(hc_loader *loader, const void *bytes, size_t n)
{
    if (loader->status != HC_OK || !loader->header_need) return loader->status;
    check_prefix(loader, bytes, n);
    if (loader->status != HC_OK || n < HC_SAFETENSORS_PREFIX || n < loader->header_need) return loader->status;

    hc_safetensors file;
    loader->status = hc_safetensors_parse(&file, (const char *)bytes + HC_SAFETENSORS_PREFIX,
                                          (size_t)loader->header_need - HC_SAFETENSORS_PREFIX, loader->message,
                                          sizeof loader->message);
    return plan(loader, &file);
}

hc_status hc_loader_directory(hc_loader *loader, const char *directory, size_t n)
{
    if (loader->status != HC_OK || !loader->header_need) return loader->status;
    hc_safetensors file;
    loader->status = hc_safetensors_parse_directory(&file, directory, n, loader->message, sizeof loader->message);
    return plan(loader, &file);
}

const hc_range *hc_loader_ranges(hc_loader *loader, size_t *count)
{
    *count = loader->status == HC_OK ? loader->range_count : 0;
    return loader->ranges;
}

/* ---- the data -----------------------------------------------------------------------------------------------------
 */

/* Whether weights whose largest has these bits fit the storage: halves, or int4 with its scales in halves. 0 and a
 * failure if not. */
static int check_half(hc_loader *loader, const hc_item *it, uint32_t largest)
{
    hc_storage storage = hc_loader_storage(loader, it->tensor->role);
    if ((storage == HC_STORE_F16 || storage == HC_STORE_I4) && largest > HC_LARGEST_HALF_BITS)
        FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds a weight beyond 65504, which %s cannot hold", it->name,
             storage == HC_STORE_F16 ? "fp16" : "int4");
    return loader->status == HC_OK;
}

static void fail_not_finite(hc_loader *loader, const hc_item *it)
{
    FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds NaN or infinity, expected finite weights", it->name);
}

/* Converts whole units to floats and checks them. 0 after a failure. */
static int convert(hc_loader *loader, hc_item *it, const uint8_t *bytes, float *to, size_t values)
{
    uint32_t largest = hc_pack_floats(it->element, bytes, to, values);
    it->nonzero |= largest != 0;
    if (largest >= HC_INFINITY_BITS) fail_not_finite(loader, it);
    return loader->status == HC_OK && (it->target == TO_SCALES || check_half(loader, it, largest));
}

/* Whole rows or columns of halves that are held as they come. */
static void take_halves(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    for (size_t i = 0; i < units && loader->status == HC_OK; i++) {
        int row = it->first + (int)(it->done + i);
        uint32_t largest = it->target == TO_ROWS ? hc_pack_row_halves(it->tensor->slot, row, bytes + i * it->unit)
                                                 : hc_pack_column_halves(it->tensor->slot, row, bytes + i * it->unit);
        it->nonzero |= largest != 0;
        if (largest >= HC_INFINITE_HALF) fail_not_finite(loader, it);
    }
}

/* Quantisers to 8 bits write -127 to 127; all 4 bits are in use. 0 after a failure. */
static int check_quantised(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    uint8_t any = 0, lowest = 255; /* q + 128, so that the lowest is unsigned, which every SIMD has a minimum for */
    for (size_t i = 0; i < n; i++) {
        uint8_t shifted = bytes[i] ^ 0x80;
        any |= bytes[i];
        lowest = shifted < lowest ? shifted : lowest;
    }
    it->nonzero |= any != 0;
    if (!lowest && it->element == HC_I8)
        FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds -128, expected -127 to 127", it->name);
    return loader->status == HC_OK;
}

/* 127 times a scale of int8 must still be a number. Those of int4 may be negative. */
static void take_scales(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    enum { CHUNK = 64 };
    float scales[CHUNK];
    for (size_t i = 0, n; i < units; i += n) {
        n = units - i < CHUNK ? units - i : CHUNK;
        if (!convert(loader, it, bytes + i * it->unit, scales, n)) return;
        for (size_t j = 0; j < n && it->element == HC_F32; j++)
            if (!(scales[j] >= 0 && scales[j] <= 3.4e38f / 127))
                FAIL(loader, HC_WEIGHTS_CORRUPT, "tensor %s holds a scale that is negative or too large", it->name);
    }
    memcpy(it->place + it->done * it->unit, bytes, units * it->unit);
}

/* Takes whole units in order. */
static void take_units(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t units)
{
    void *slot = it->tensor ? it->tensor->slot : NULL;
    switch (it->target) {
    case TO_VOCABULARY: memcpy(loader->encoder->vocabulary + it->done, bytes, units); break;
    case TO_VECTOR: convert(loader, it, bytes, *(float **)slot + (size_t)it->first + it->done, units); break;
    case TO_SCALES: take_scales(loader, it, bytes, units); break;
    case TO_QUANTISED:
        if (check_quantised(loader, it, bytes, units) && bytes != it->place + it->done)
            memcpy(it->place + it->done, bytes, units);
        break;
    case TO_ROWS:
    case TO_COLUMNS:
        if (it->element == HC_F16 && ((const hc_matrix *)slot)->storage == HC_STORE_F16) {
            take_halves(loader, it, bytes, units);
            break;
        }
        /* fallthrough */
    case TO_TABLE:
        for (size_t i = 0; i < units && convert(loader, it, bytes + i * it->unit, loader->row, it->unit_values); i++) {
            int row = it->first + (int)(it->done + i);
            if (it->target == TO_ROWS) hc_pack_row(slot, row, loader->row);
            else if (it->target == TO_COLUMNS) hc_pack_column(slot, row, loader->row);
            else hc_pack_table_row(slot, row, loader->row);
        }
        break;
    }
    it->done += units;
}

/* What is left to do of a tensor that has come whole is done this many values at a time. */
enum { AT_ONCE = 1 << 18 };

static void defer(hc_loader *loader, hc_item *it)
{
    it->waiting = 1;
    loader->waiting++;
}

/* Quantised values and their scales are both here: the tower holds them as they are, or gets them row by row. Returns
 * whether that is done. */
static int finish_quantised(hc_loader *loader, hc_item *values, hc_item *scales)
{
    const hc_tensor *t = values->tensor;
    int table = t->role == HC_ROLE_TABLE, int4 = values->element == HC_U8;
    hc_storage from = int4 ? HC_STORE_I4 : HC_STORE_I8, to = hc_loader_storage(loader, t->role);
    float *scale = int4 ? NULL : (float *)(void *)scales->place;
    uint16_t *group_scale = int4 ? (uint16_t *)(void *)scales->place : NULL;
    hc_table rows = {(int)t->shape[0], (int)t->shape[1], from, values->place, scale, group_scale};
    hc_matrix matrix = {rows.rows, rows.width, from, values->place, scale, NULL, group_scale, NULL};
    if (from == to) {
        if (!table) hc_pack_finish(t->slot);
        return 1;
    }
    int row = (int)loader->settled, end = rows.rows;
    if ((int64_t)end - row > AT_ONCE / rows.width + 1) end = row + AT_ONCE / rows.width + 1;
    for (; row < end && loader->status == HC_OK; row++) {
        if (table) hc_unpack_table_row(&rows, row, loader->row);
        else hc_dequantise_row(&matrix, row, loader->row);
        if (!check_half(loader, values, hc_largest_bits(loader->row, t->shape[1]))) return 0;
        if (table) hc_pack_table_row(t->slot, row, loader->row);
        else hc_pack_row(t->slot, row, loader->row);
    }
    loader->settled = (size_t)row;
    if (row < rows.rows) return 0;
    free(values->place);
    free(scales->place);
    values->place = scales->place = NULL;
    return 1;
}

static void complete(hc_loader *loader, hc_item *it)
{
    free(it->cut);
    it->cut = NULL;
    if (!it->has_partner) return;
    hc_item *partner = &loader->items[it->partner];
    if (partner->at < partner->end || partner->span) return;
    defer(loader, it->target == TO_SCALES ? partner : it);
}

/* ---- tensors with strides ---- */

/* Values `first` to `first + count` of a tensor, in the order of its shape, out of its span. */
static void gather(const hc_item *it, uint64_t first, size_t count, uint8_t *to)
{
    int inner = it->strided - 1;
    size_t size = hc_pack_element_bytes(it->element), step = (size_t)it->strides[inner] * size;
    for (size_t done = 0, run; done < count; done += run) {
        uint64_t index = first + done, rest = index / it->shape[inner], at = index % it->shape[inner],
                 left = it->shape[inner] - at;
        uint64_t element = at * it->strides[inner];
        for (int i = inner; i-- > 0; rest /= it->shape[i]) element += rest % it->shape[i] * it->strides[i];
        run = left < count - done ? (size_t)left : count - done;
        const uint8_t *from = it->span + (size_t)element * size;
        for (size_t i = 0; i < run; i++) memcpy(to + (done + i) * size, from + i * step, size);
    }
}

/* Takes a tensor whose span has come. Returns whether that is done. */
static int take_span(hc_loader *loader, hc_item *it)
{
    enum { IN_TURN = 16 * 1024 };
    size_t units = (size_t)(hc_item_bytes(it) / it->unit), most = it->unit < IN_TURN ? IN_TURN / it->unit : 1,
           taken = 0;
    it->cut = hc_loader_allocate(loader, hc_size_product(most, it->unit), 1, "rows");
    for (size_t n; it->cut && loader->settled < units && taken < AT_ONCE && loader->status == HC_OK;
         loader->settled += n, taken += n * it->unit_values) {
        n = units - loader->settled < most ? units - loader->settled : most;
        gather(it, (uint64_t)loader->settled * it->unit_values, n * it->unit_values, it->cut);
        take_units(loader, it, it->cut, n);
    }
    free(it->cut);
    it->cut = NULL;
    if (loader->settled < units || loader->status != HC_OK) return 0;
    free(it->span);
    it->span = NULL;
    complete(loader, it);
    return 1;
}

int hc_loader_settle(hc_loader *loader)
{
    if (loader->status != HC_OK || !loader->waiting) return 0;
    hc_item *it = loader->items;
    while (!it->waiting) it++;
    it->waiting = 0;
    loader->waiting--;
    if (it->span ? take_span(loader, it) : finish_quantised(loader, it, &loader->items[it->partner]))
        loader->settled = 0;
    else defer(loader, it);
    return loader->status == HC_OK && loader->waiting;
}

static void feed_span(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    if (it->at == it->begin) it->span = hc_loader_allocate(loader, it->end - it->begin, 1, it->name);
    if (!it->span) return;
    memcpy(it->span + (size_t)(it->at - it->begin), bytes, n);
    it->at += n;
    if (it->at == it->end) defer(loader, it);
}

/* ---- chunks ---- */

/* The part of a chunk that this item waits for; a unit that the chunk cuts is kept. */
static void feed(hc_loader *loader, hc_item *it, const uint8_t *bytes, size_t n)
{
    if (it->strided) {
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
        take_units(loader, it, it->cut, 1);
    }
    if (n >= it->unit && loader->status == HC_OK) take_units(loader, it, bytes, n / it->unit);
    if (loader->status != HC_OK) return;
    if (n % it->unit) {
        if (!it->cut) it->cut = hc_loader_allocate(loader, it->unit, 1, "a row");
        if (!it->cut) return;
        it->cut_bytes = n % it->unit;
        memcpy(it->cut, bytes + n - it->cut_bytes, it->cut_bytes);
    }
    if (it->at == it->end) complete(loader, it);
}

/* The first item that may want bytes from `offset` on. */
static size_t item_at(const hc_loader *loader, uint64_t offset)
{
    size_t low = 0, high = loader->status == HC_OK && !loader->header_need ? loader->item_count : 0;
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
    if (loader->header_need || loader->status != HC_OK || index == loader->item_count) return NULL;
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
    for (size_t low = item_at(loader, offset);
         low < loader->item_count && !loader->header_need && loader->status == HC_OK && loader->items[low].begin < end;
         low++) {
        hc_item *it = &loader->items[low];
        uint64_t stop = it->end < end ? it->end : end;
        if (it->at >= offset && it->at < stop)
            feed(loader, it, (const uint8_t *)bytes + (it->at - offset), (size_t)(stop - it->at));
    }
    return loader->status;
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
        FAIL(loader, HC_WEIGHTS_TRUNCATED, "the file ends before its header does, expected %u bytes",
             loader->header_need);
    for (size_t i = 0; i < loader->item_count; i++) {
        const hc_item *it = &loader->items[i];
        if (it->at < it->end)
            FAIL(loader, HC_WEIGHTS_TRUNCATED, "tensor %s has come to byte %u of its %u (bytes %u to %u of the file)",
                 it->name, it->at - it->begin, it->end - it->begin, it->begin, it->end);
    }
    if (loader->item_count && !is_any_nonzero(loader))
        FAIL(loader, HC_WEIGHTS_CORRUPT, "the %s tower holds nothing but zeros", hc_tower_name(loader->tower));
    if (loader->status != HC_OK) return NULL;
    hc_encoder *encoder = loader->encoder;
    loader->encoder = NULL;
    if (!encoder) FAIL(loader, HC_WEIGHTS_TRUNCATED, "the encoder was taken already");
    return encoder;
}

void hc_loader_free(hc_loader *loader)
{
    if (!loader) return;
    for (size_t i = 0; i < loader->item_count; i++) {
        free(loader->items[i].cut);
        free(loader->items[i].span);
        if (loader->items[i].owns_place) free(loader->items[i].place);
    }
    hc_encoder_free(loader->encoder);
    free(loader->items);
    free(loader->tensors);
    free(loader->ranges);
    free(loader->row);
    free(loader->config);
    free(loader);
}
