/* torch.c: from the end of a PyTorch file to its directory. Each step either finds the bytes it needs among those at
 * hand or wants them and is repeated. */
#include "checkpoint/torch.h"

#include "checkpoint/json_writer.h"

#include "checkpoint/pickle.h"
#include "checkpoint/safetensors.h"
#include "base/text_format.h"
#include "checkpoint/zip.h"

#include <stdlib.h>
#include <string.h>

/* The end of a file holds the directory even of a ViT-bigG (some 1,000 entries of about 110 bytes), and often
 * TorchScript's pickle. Wants as near as NEAR become one. */
enum {
    TAIL = 128 << 10,
    START = 512,
    NEAR = 64 << 10,
    LARGEST_WANT = 4 << 20,
    LARGEST = 256 << 20,
    LONGEST_FOLDER = 255
};

/* Bytes [begin, end) of the file. */
typedef struct window {
    const uint8_t *bytes;
    uint64_t begin, end;
} window;

struct hc_torch {
    uint64_t file_size;
    int (*step)(hc_torch *torch); /* NULL: nothing is left to do */
    hc_range want;
    window tail, given;
    uint8_t *tail_copy, *directory_copy;
    hc_zip zip;
    hc_zip_entry *pickle_entry, *byteorder;
    int aligned; /* data begin where PyTorch makes them begin */
    hc_pickle pickle;
    hc_zip_entry **storages; /* of each tensor */
    uint64_t placed;         /* so many entries of the archive have been looked at */
    char *header;
    size_t header_length;
    hc_status status;
    char message[512];
};

static int fail(hc_torch *t, hc_status status)
{
    t->status = status;
    return 0;
}

#define FAIL(t, code, ...) (hc_format((t)->message, sizeof(t)->message, __VA_ARGS__), fail(t, code))
#define NAME(entry)        (entry)->name, (size_t)(entry)->name_length

/* Bytes [begin, end) of the file if they are at hand; else NULL, and they are wanted. */
static const uint8_t *bytes_at(hc_torch *t, uint64_t begin, uint64_t end)
{
    const window *windows[] = {&t->tail, &t->given};
    for (int i = 0; i < 2; i++)
        if (windows[i]->bytes && windows[i]->begin <= begin && end <= windows[i]->end)
            return windows[i]->bytes + (begin - windows[i]->begin);
    t->want = (hc_range){begin, end};
    return NULL;
}

static uint8_t *copy(hc_torch *t, const uint8_t *bytes, uint64_t n)
{
    uint8_t *copied = malloc((size_t)n);
    if (copied) memcpy(copied, bytes, (size_t)n);
    else FAIL(t, HC_OUT_OF_MEMORY, "out of memory for the directory of a PyTorch file of %u bytes", t->file_size);
    return copied;
}

/* ---- files that are something else ---------------------------------------------------------------------------------
 */

/* The pickled number that begins PyTorch's format before 1.6. */
static int is_legacy(const uint8_t *start, size_t n)
{
    static const char MAGIC[] = "\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
    for (size_t i = 0; i < 16 && i + sizeof MAGIC - 1 <= n; i++)
        if (!memcmp(start + i, MAGIC, sizeof MAGIC - 1)) return 1;
    return 0;
}

/* There is no directory at the end: the start says what the file is. */
static int explain(hc_torch *t)
{
    size_t n = t->file_size < START ? (size_t)t->file_size : START;
    const uint8_t *start = bytes_at(t, 0, n);
    if (!start) return 0;
    if (n >= 4 && !memcmp(start, "PK\3\4", 4))
        return FAIL(t, HC_WEIGHTS_TRUNCATED,
                    "the PyTorch file ends after %u bytes without its directory: it is cut short", t->file_size);
    if (is_legacy(start, n))
        return FAIL(t, HC_WEIGHTS_FORMAT,
                    "the file is in PyTorch's format of before version 1.6: convert it with weights-tools/convert.py");
    if (n >= 262 && !memcmp(start + 257, "ustar", 5))
        return FAIL(
            t, HC_WEIGHTS_FORMAT,
            "the file is a tar archive, as PyTorch's oldest format is: convert it with weights-tools/convert.py");
    const char *guess = hc_safetensors_guess(start, n);
    return FAIL(t, HC_WEIGHTS_FORMAT, "the file is %s, expected a PyTorch file",
                guess ? guess : "of an unknown format");
}

/* ---- the directory -------------------------------------------------------------------------------------------------
 */

static int read_directory(hc_torch *t);

static int read_end64(hc_torch *t)
{
    const uint8_t *bytes = bytes_at(t, t->zip.end64, t->zip.end64 + HC_ZIP_END64);
    if (!bytes) return 0;
    if (hc_zip_read_end64(&t->zip, bytes, t->message, sizeof t->message)) return fail(t, HC_WEIGHTS_FORMAT);
    t->step = read_directory;
    return 1;
}

static int find_end(hc_torch *t)
{
    uint64_t n = t->file_size < TAIL ? t->file_size : TAIL;
    const uint8_t *tail = bytes_at(t, t->file_size - n, t->file_size);
    if (!tail || !(t->tail_copy = copy(t, tail, n))) return 0;
    t->tail = (window){t->tail_copy, t->file_size - n, t->file_size};
    if (hc_zip_find_end(&t->zip, t->tail_copy, (size_t)n, t->file_size, t->message, sizeof t->message))
        return fail(t, HC_WEIGHTS_FORMAT);
    t->step = !t->zip.found ? explain : t->zip.end64 ? read_end64 : read_directory;
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
            return FAIL(t, HC_WEIGHTS_FORMAT, "the zip archive holds two PyTorch files, %t and %t",
                        NAME(t->pickle_entry), NAME(entry));
        t->pickle_entry = entry;
    }
    if (!t->pickle_entry)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the file is a zip archive without data.pkl, expected a PyTorch file");
    if (t->pickle_entry->name_length > n + 1 + LONGEST_FOLDER)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the PyTorch file has a folder whose name is longer than %d bytes",
                    (int)LONGEST_FOLDER);
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
    if (size > LARGEST)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the zip archive's directory has %u bytes, expected at most %u", size,
                    (uint64_t)LARGEST);
    if (!size) return FAIL(t, HC_WEIGHTS_FORMAT, "the file is an empty zip archive, expected a PyTorch file");
    const uint8_t *bytes = bytes_at(t, begin, begin + size);
    if (!bytes) return 0;
    if (begin < t->tail.begin && !(bytes = t->directory_copy = copy(t, bytes, size))) return 0;
    hc_status status = hc_zip_read_directory(&t->zip, bytes, t->message, sizeof t->message);
    if (status) return fail(t, status);
    if (!find_pickle(t)) return 0;
    t->byteorder = find_beside(t, 0, "byteorder", strlen("byteorder"));
    t->step = read_pickle;
    return 1;
}

/* ---- the pickle ----------------------------------------------------------------------------------------------------
 */

/* An entry with its local header, whose length is not known before it is read. */
static int extent(hc_torch *t, const hc_zip_entry *entry, hc_range *range)
{
    uint64_t longest = HC_ZIP_LOCAL + 2 * UINT16_MAX + entry->size, room = entry->limit - entry->offset;
    if (entry->size > LARGEST)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the PyTorch file's %t has %u bytes, expected at most %u", NAME(entry),
                    entry->size, (uint64_t)LARGEST);
    if (room < HC_ZIP_LOCAL)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the zip archive's entry %t overlaps what follows it", NAME(entry));
    *range = (hc_range){entry->offset, entry->offset + (room < longest ? room : longest)};
    return 1;
}

/* The data of an entry that is at hand with its local header at `bytes`; NULL after a failure. */
static const uint8_t *open_entry(hc_torch *t, hc_zip_entry *entry, const uint8_t *bytes)
{
    hc_status status = hc_zip_read_local(entry, bytes, t->message, sizeof t->message);
    if (status) fail(t, status);
    return status ? NULL : bytes + (entry->begin - entry->offset);
}

static int check_byteorder(hc_torch *t, const uint8_t *bytes)
{
    hc_zip_entry *entry = t->byteorder;
    const uint8_t *text = open_entry(t, entry, bytes);
    t->byteorder = NULL;
    if (!text || (entry->size == 6 && !memcmp(text, "little", 6))) return text != NULL;
    return FAIL(t, HC_WEIGHTS_FORMAT,
                "the PyTorch file has byte order %t, expected little: save it again on a little-endian machine",
                (const char *)text, (size_t)entry->size);
}

static int place(hc_torch *t);

/* The archive's entry for each tensor's storage. */
static int find_storages(hc_torch *t)
{
    t->storages = malloc(t->pickle.count * sizeof *t->storages);
    if (!t->storages)
        return FAIL(t, HC_OUT_OF_MEMORY, "out of memory for a directory of %u tensors", (uint64_t)t->pickle.count);
    for (size_t i = 0; i < t->pickle.count; i++) {
        const hc_pickle_tensor *tensor = &t->pickle.tensors[i];
        hc_zip_entry *entry = t->storages[i] = find_beside(t, 1, tensor->storage, tensor->storage_length);
        if (!entry)
            return FAIL(t, HC_WEIGHTS_FORMAT, "the PyTorch file has no data/%t, in which tensor %t is said to be",
                        tensor->storage, (size_t)tensor->storage_length, tensor->name, (size_t)tensor->name_length);
        if (entry->method)
            return FAIL(t, HC_WEIGHTS_FORMAT,
                        "the zip archive's entry %t is compressed, expected it stored, as torch.save does",
                        NAME(entry));
        if (tensor->storage_size > entry->size)
            return FAIL(t, HC_WEIGHTS_FORMAT,
                        "the PyTorch file lies: tensor %t is in a storage of %u bytes, but %t has %u", tensor->name,
                        (size_t)tensor->name_length, tensor->storage_size, NAME(entry), entry->size);
        entry->used = 1;
    }
    return 1;
}

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
            const uint8_t *bytes = bytes_at(t, order.begin, order.end);
            return bytes && check_byteorder(t, bytes);
        }
    }
    const uint8_t *bytes = bytes_at(t, wanted.begin, wanted.end);
    if (!bytes || (t->byteorder && !check_byteorder(t, bytes + (t->byteorder->offset - wanted.begin)))) return 0;

    const uint8_t *local = bytes + (entry->offset - wanted.begin), *data = open_entry(t, entry, local);
    if (!data) return 0;
    t->aligned = entry->begin - entry->offset >= HC_ZIP_LOCAL + entry->name_length + 4u &&
                 !memcmp(local + HC_ZIP_LOCAL + entry->name_length, "FB", 2);
    hc_status status = hc_pickle_read(&t->pickle, data, (size_t)entry->size, t->message, sizeof t->message);
    if (status) return fail(t, status);
    t->step = place;
    return find_storages(t);
}

/* ---- where the data begin ------------------------------------------------------------------------------------------
 */

static int write_header(hc_torch *t);

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
            return FAIL(t, HC_WEIGHTS_FORMAT, "the zip archive's entry %t overlaps what follows it", NAME(entry));
        if (!range.end) range.begin = entry->offset;
        else if (end - range.end > NEAR || end - range.begin > LARGEST_WANT) break;
        range.end = end;
    }
    if (range.end) {
        const uint8_t *bytes = bytes_at(t, range.begin, range.end);
        for (; bytes && t->placed < i; t->placed++) {
            hc_zip_entry *entry = &t->zip.entries[t->placed];
            if (entry->used && !entry->begin && !open_entry(t, entry, bytes + (entry->offset - range.begin))) return 0;
        }
        return bytes != NULL;
    }
    t->step = write_header;
    return 1;
}

/* ---- the header ----------------------------------------------------------------------------------------------------
 */

/* Counts what is written, and writes it if there is somewhere to write to. */
typedef struct buffer {
    char *out;
    uint64_t length;
} buffer;

static void take(void *user, const void *bytes, size_t n)
{
    buffer *b = user;
    if (b->out) memcpy(b->out + (size_t)b->length, bytes, n);
    b->length += n;
}

static void put_tensors(buffer *b, const hc_torch *t)
{
    const hc_json_writer w = {take, b};
    for (size_t i = 0; i < t->pickle.count; i++) {
        const hc_pickle_tensor *tensor = &t->pickle.tensors[i];
        uint64_t begin = t->storages[i]->begin;
        hc_json_put(&w, i ? ",\n" : "{");
        hc_json_put_string(&w, tensor->name, tensor->name_length);
        hc_json_put(&w, ":{\"dtype\":\"");
        hc_json_put(&w, tensor->dtype);
        hc_json_put(&w, "\",\"shape\":");
        hc_json_put_numbers(&w, tensor->shape, tensor->rank);
        if (!tensor->contiguous) {
            hc_json_put(&w, ",\"strides\":");
            hc_json_put_numbers(&w, tensor->strides, tensor->rank);
        }
        hc_json_put(&w, ",\"data_offsets\":");
        hc_json_put_numbers(&w, (const uint64_t[]){begin + tensor->begin, begin + tensor->end}, 2);
        hc_json_put(&w, "}");
    }
    hc_json_put(&w, "}");
}

static void forget_source(hc_torch *t)
{
    hc_pickle_free(&t->pickle);
    hc_zip_free(&t->zip);
    free(t->storages);
    free(t->tail_copy);
    free(t->directory_copy);
    t->storages = NULL;
    t->tail_copy = t->directory_copy = NULL;
    t->tail = (window){0};
}

static int write_header(hc_torch *t)
{
    buffer b = {0};
    put_tensors(&b, t);
    if (b.length > LARGEST)
        return FAIL(t, HC_WEIGHTS_FORMAT, "the PyTorch file's directory has %u bytes, expected at most %u", b.length,
                    (uint64_t)LARGEST);
    t->header = malloc((size_t)b.length);
    if (!t->header) return FAIL(t, HC_OUT_OF_MEMORY, "out of memory for a directory of %u bytes", b.length);
    t->header_length = (size_t)b.length;
    b = (buffer){t->header, 0};
    put_tensors(&b, t);
    forget_source(t);
    t->step = NULL;
    return 0;
}

/* ---- the reader ----------------------------------------------------------------------------------------------------
 */

hc_torch *hc_torch_new(uint64_t file_size)
{
    hc_torch *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->file_size = file_size;
    t->step = find_end;
    if (file_size) t->step(t);
    else FAIL(t, HC_WEIGHTS_FORMAT, "the file is empty, expected a PyTorch file");
    return t;
}

int hc_torch_want(const hc_torch *torch, hc_range *range)
{
    if (torch->status || !torch->step) return 0;
    *range = torch->want;
    return 1;
}

hc_status hc_torch_give(hc_torch *torch, uint64_t offset, const void *bytes, size_t n)
{
    if (torch->status || !torch->step) return torch->status;
    if (offset > torch->want.begin || n < torch->want.end - offset) {
        FAIL(torch, HC_WEIGHTS_TRUNCATED,
             "the PyTorch file ends at byte %u, but bytes %u to %u are needed for its directory", offset + n,
             torch->want.begin, torch->want.end);
    } else {
        torch->given = (window){bytes, offset, offset + n};
        while (torch->step && torch->step(torch)) {
        }
        torch->given = (window){0};
    }
    if (torch->status) forget_source(torch);
    return torch->status;
}

hc_status hc_torch_status(const hc_torch *torch) { return torch->status; }
const char *hc_torch_message(const hc_torch *torch) { return torch->message; }

const char *hc_torch_header(const hc_torch *torch, size_t *length)
{
    *length = torch->status ? 0 : torch->header_length;
    return torch->status ? NULL : torch->header;
}

void hc_torch_free(hc_torch *torch)
{
    if (!torch) return;
    forget_source(torch);
    free(torch->header);
    free(torch);
}
