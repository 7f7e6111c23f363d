/* torch_archive.c: from the end of the zip archive to its directory, the pickle, and where each tensor's storage
 * begins. */
#include "checkpoint/torch_steps.h"

#include <stdlib.h>
#include <string.h>

/* The end of a file holds the directory even of a ViT-bigG (some 1,000 entries of about 110 bytes), and often
 * TorchScript's pickle. Wants as near as NEAR become one. */
enum { TAIL = 128 << 10, NEAR = 64 << 10, LARGEST_WANT = 4 << 20, LONGEST_FOLDER = 255 };

#define NAME(entry) (entry)->name, (size_t)(entry)->name_length

/* ---- the directory ------------------------------------------------------------------------------------------------
 */

static uint8_t *copy(hc_torch *t, const uint8_t *bytes, uint64_t n)
{
    uint8_t *copied = malloc((size_t)n);
    if (copied) memcpy(copied, bytes, (size_t)n);
    else
        hc_fail(&t->problem, HC_OUT_OF_MEMORY, "out of memory for the directory of a PyTorch file of %u bytes",
                t->file_size);
    return copied;
}

static int read_directory(hc_torch *t);

static int read_end64(hc_torch *t)
{
    const uint8_t *bytes = hc_torch_bytes(t, t->zip.end64, t->zip.end64 + HC_ZIP_END64);
    if (!bytes) return 0;
    if (!hc_zip_read_end64(&t->zip, bytes, &t->problem)) return 0;
    t->step = read_directory;
    return 1;
}

int hc_torch_find_end(hc_torch *t)
{
    uint64_t n = t->file_size < TAIL ? t->file_size : TAIL;
    const uint8_t *tail = hc_torch_bytes(t, t->file_size - n, t->file_size);
    if (!tail || !(t->tail_copy = copy(t, tail, n))) return 0;
    t->tail = (hc_torch_window){t->tail_copy, t->file_size - n, t->file_size};
    if (!hc_zip_find_end(&t->zip, t->tail_copy, (size_t)n, t->file_size, &t->problem)) return 0;
    t->step = !t->zip.found ? hc_torch_explain : t->zip.end64 ? read_end64 : read_directory;
    return 1;
}

/* The entry NAME/data.pkl, of the archive's only folder or of none. 0 if there is not exactly one. */
static int find_pickle(hc_torch *t)
{
    static const char file[] = "data.pkl";
    size_t n = sizeof file - 1;
    for (uint64_t i = 0; i < t->zip.count; i++) {
        hc_zip_entry *entry = &t->zip.entries[i];
        if (entry->name_length < n || memcmp(entry->name + entry->name_length - n, file, n)) continue;
        const char *slash = memchr(entry->name, '/', entry->name_length);
        if (entry->name_length > n && slash != entry->name + entry->name_length - n - 1) continue;
        if (t->pickle_entry)
            return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the zip archive holds two PyTorch files, %t and %t",
                           NAME(t->pickle_entry), NAME(entry));
        t->pickle_entry = entry;
    }
    if (!t->pickle_entry)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                       "the file is a zip archive without data.pkl, expected a PyTorch file");
    if (t->pickle_entry->name_length > n + 1 + LONGEST_FOLDER)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                       "the PyTorch file has a folder whose name is longer than %d bytes", (int)LONGEST_FOLDER);
    return 1;
}

/* The entry FOLDER/file beside data.pkl, or FOLDER/data/file. */
static hc_zip_entry *find_beside(const hc_torch *t, int in_data, const char *file, size_t length)
{
    const hc_zip_entry *pickle = t->pickle_entry;
    size_t bare = strlen("data.pkl"), folder = in_data                      ? pickle->name_length - strlen(".pkl")
                                               : pickle->name_length > bare ? pickle->name_length - bare - 1
                                                                            : 0;
    return hc_zip_find(&t->zip, pickle->name, folder, file, length);
}

static int read_pickle(hc_torch *t);

static int read_directory(hc_torch *t)
{
    uint64_t begin = t->zip.directory, size = t->zip.directory_end - begin;
    if (size > HC_TORCH_LARGEST)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the zip archive's directory has %u bytes, expected at most %u",
                       size, (uint64_t)HC_TORCH_LARGEST);
    if (!size)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the file is an empty zip archive, expected a PyTorch file");
    const uint8_t *bytes = hc_torch_bytes(t, begin, begin + size);
    if (!bytes) return 0;
    if (begin < t->tail.begin && !(bytes = t->directory_copy = copy(t, bytes, size))) return 0;
    if (!hc_zip_read_directory(&t->zip, bytes, &t->problem) || !find_pickle(t)) return 0;
    t->byteorder = find_beside(t, 0, "byteorder", strlen("byteorder"));
    t->step = read_pickle;
    return 1;
}

/* ---- the pickle ---------------------------------------------------------------------------------------------------
 */

/* An entry with its local header, whose length is not known before it is read. */
static int extent(hc_torch *t, const hc_zip_entry *entry, hc_range *range)
{
    uint64_t longest = HC_ZIP_LOCAL + 2 * UINT16_MAX + entry->size, room = entry->limit - entry->offset;
    if (entry->size > HC_TORCH_LARGEST)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the PyTorch file's %t has %u bytes, expected at most %u",
                       NAME(entry), entry->size, (uint64_t)HC_TORCH_LARGEST);
    if (room < HC_ZIP_LOCAL)
        return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the zip archive's entry %t overlaps what follows it",
                       NAME(entry));
    *range = (hc_range){entry->offset, entry->offset + (room < longest ? room : longest)};
    return 1;
}

/* The data of an entry that is at hand with its local header at `bytes`; NULL after a failure. */
static const uint8_t *open_entry(hc_torch *t, hc_zip_entry *entry, const uint8_t *bytes)
{
    return hc_zip_read_local(entry, bytes, &t->problem) ? bytes + (entry->begin - entry->offset) : NULL;
}

static int check_byteorder(hc_torch *t, const uint8_t *bytes)
{
    hc_zip_entry *entry = t->byteorder;
    const uint8_t *text = open_entry(t, entry, bytes);
    t->byteorder = NULL;
    if (!text || (entry->size == 6 && !memcmp(text, "little", 6))) return text != NULL;
    return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                   "the PyTorch file has byte order %t, expected little: save it again on a little-endian machine",
                   (const char *)text, (size_t)entry->size);
}

static int place(hc_torch *t);

/* The archive's entry for each tensor's storage. */
static int find_storages(hc_torch *t)
{
    t->storages = malloc(t->pickle.count * sizeof *t->storages);
    if (!t->storages)
        return hc_fail(&t->problem, HC_OUT_OF_MEMORY, "out of memory for a directory of %u tensors",
                       (uint64_t)t->pickle.count);
    for (size_t i = 0; i < t->pickle.count; i++) {
        const hc_pickle_tensor *tensor = &t->pickle.tensors[i];
        hc_zip_entry *entry = t->storages[i] = find_beside(t, 1, tensor->storage, tensor->storage_length);
        if (!entry)
            return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                           "the PyTorch file has no data/%t, in which tensor %t is said to be", tensor->storage,
                           (size_t)tensor->storage_length, tensor->name, (size_t)tensor->name_length);
        if (entry->method)
            return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                           "the zip archive's entry %t is compressed, expected it stored, as torch.save does",
                           NAME(entry));
        if (tensor->storage_size > entry->size)
            return hc_fail(&t->problem, HC_WEIGHTS_FORMAT,
                           "the PyTorch file lies: tensor %t is in a storage of %u bytes, but %t has %u", tensor->name,
                           (size_t)tensor->name_length, tensor->storage_size, NAME(entry), entry->size);
        entry->used = 1;
    }
    return 1;
}

/* The tensors, from data.pkl with its local header at `local`. */
static int read_tensors(hc_torch *t, const uint8_t *local)
{
    hc_zip_entry *entry = t->pickle_entry;
    const uint8_t *data = open_entry(t, entry, local);
    if (!data) return 0;
    t->aligned = entry->begin - entry->offset >= HC_ZIP_LOCAL + entry->name_length + 4u &&
                 !memcmp(local + HC_ZIP_LOCAL + entry->name_length, "FB", 2);
    if (!hc_pickle_read(&t->pickle, data, (size_t)entry->size, &t->problem)) return 0;
    t->step = place;
    return find_storages(t);
}

/* The pickle, and in the same piece of the file the byte order where that is near. */
static int read_pickle(hc_torch *t)
{
    hc_zip_entry *entry = t->pickle_entry;
    hc_range wanted, order;
    if (!extent(t, entry, &wanted)) return 0;
    if (t->byteorder) {
        if (!extent(t, t->byteorder, &order)) return 0;
        hc_range both = {order.begin < wanted.begin ? order.begin : wanted.begin,
                         order.end > wanted.end ? order.end : wanted.end};
        if (both.end - both.begin <= wanted.end - wanted.begin + order.end - order.begin + NEAR) wanted = both;
        else {
            const uint8_t *bytes = hc_torch_bytes(t, order.begin, order.end);
            return bytes && check_byteorder(t, bytes);
        }
    }
    const uint8_t *bytes = hc_torch_bytes(t, wanted.begin, wanted.end);
    if (!bytes || (t->byteorder && !check_byteorder(t, bytes + (t->byteorder->offset - wanted.begin)))) return 0;
    return read_tensors(t, bytes + (entry->offset - wanted.begin));
}

/* ---- where the data begin -----------------------------------------------------------------------------------------
 */

/* Finds where each storage begins; where only its local header can tell, wants that, with others nearby. */
static int place(hc_torch *t)
{
    hc_range range = {0, 0};
    uint64_t i = t->placed;
    for (; i < t->zip.count; i++) {
        hc_zip_entry *entry = &t->zip.entries[i];
        if (!entry->used || entry->begin || hc_zip_infer_begin(entry, t->aligned)) continue;
        uint64_t end = entry->offset + HC_ZIP_LOCAL;
        if (end > entry->limit)
            return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the zip archive's entry %t overlaps what follows it",
                           NAME(entry));
        if (!range.end) range.begin = entry->offset;
        else if (end - range.end > NEAR || end - range.begin > LARGEST_WANT) break;
        range.end = end;
    }
    if (range.end) {
        const uint8_t *bytes = hc_torch_bytes(t, range.begin, range.end);
        for (; bytes && t->placed < i; t->placed++) {
            hc_zip_entry *entry = &t->zip.entries[t->placed];
            if (entry->used && !entry->begin && !open_entry(t, entry, bytes + (entry->offset - range.begin))) return 0;
        }
        return bytes != NULL;
    }
    t->step = hc_torch_write_header;
    return 1;
}
