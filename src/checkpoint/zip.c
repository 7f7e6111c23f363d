/* zip.c: end record, zip64 end record, central directory, local headers. Every figure is checked against the next
 * before it is used. */
#include "checkpoint/zip.h"

#include "base/size.h"
#include "base/sort.h"

#include <stdlib.h>
#include <string.h>

enum { END = 22, LOCATOR = 20, CENTRAL = 46, HAS_DESCRIPTOR = 8, ENCRYPTED = 1 };
enum {
    IS_LOCAL = 0x04034B50,
    IS_CENTRAL = 0x02014B50,
    IS_END = 0x06054B50,
    IS_LOCATOR = 0x07064B50,
    IS_END64 = 0x06064B50
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

/* ---- the end -------------------------------------------------------------------------------------------------------
 */

/* The directory lies directly before the record that says where it lies; where it does not, bytes of the file were lost
 * or added. */
static int set_directory(hc_zip *zip, uint64_t begin, uint64_t size, uint64_t count, uint64_t end, hc_problem *problem)
{
    if (begin > end || size != end - begin || count > size / CENTRAL)
        return hc_fail(
            problem, HC_WEIGHTS_FORMAT,
            "the zip archive's directory is said to be %u bytes from byte %u on with %u entries, but its end "
            "record is at byte %u",
            size, begin, count, end);
    zip->directory = begin;
    zip->directory_end = end;
    zip->count = count;
    return 1;
}

int hc_zip_find_end(hc_zip *zip, const void *tail, size_t n, uint64_t file_size, hc_problem *problem)
{
    const uint8_t *bytes = tail;
    memset(zip, 0, sizeof *zip);
    for (size_t at = n < END ? 0 : n - END + 1; at-- > 0 && n - at <= HC_ZIP_LONGEST_END;) {
        const uint8_t *p = bytes + at;
        if (get32(p) != IS_END || get16(p + 20) != n - at - END) continue;
        uint64_t end = file_size - n + at;
        zip->found = 1;
        if (at >= LOCATOR && get32(p - LOCATOR) == IS_LOCATOR) {
            zip->end64 = get64(p - LOCATOR + 8);
            if (zip->end64 && end >= LOCATOR + HC_ZIP_END64 && zip->end64 <= end - LOCATOR - HC_ZIP_END64) return 1;
            return hc_fail(problem, HC_WEIGHTS_FORMAT,
                           "the zip archive's zip64 end record is said to be at byte %u, which cannot be", zip->end64);
        }
        return set_directory(zip, get32(p + 16), get32(p + 12), get16(p + 10), end, problem);
    }
    return 1;
}

int hc_zip_read_end64(hc_zip *zip, const void *bytes, hc_problem *problem)
{
    const uint8_t *p = bytes;
    uint64_t end = zip->end64;
    zip->end64 = 0;
    if (get32(p) != IS_END64)
        return hc_fail(problem, HC_WEIGHTS_FORMAT,
                       "the zip archive has no zip64 end record at byte %u, where it is said to be", end);
    return set_directory(zip, get64(p + 48), get64(p + 40), get64(p + 32), end, problem);
}

/* ---- the directory -------------------------------------------------------------------------------------------------
 */

static int by_offset(const void *a, const void *b)
{
    uint64_t x = ((const hc_zip_entry *)a)->offset, y = ((const hc_zip_entry *)b)->offset;
    return x < y ? -1 : x > y;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int by_name(const void *a, const void *b)
{
    const hc_zip_entry *x = *(hc_zip_entry *const *)a, *y = *(hc_zip_entry *const *)b;
    return compare_text(x->name, x->name_length, y->name, y->name_length);
}

/* Sizes and offset that do not fit 32 bits stand in an extra field, in this order; those that fit do not. 0 if one is
 * missing. */
static int read_zip64(hc_zip_entry *entry, uint64_t *packed, const uint8_t *extra, size_t length)
{
    uint64_t *wide[3];
    size_t count = 0, at = 0;
    if (entry->size == UINT32_MAX) wide[count++] = &entry->size;
    if (*packed == UINT32_MAX) wide[count++] = packed;
    if (entry->offset == UINT32_MAX) wide[count++] = &entry->offset;
    entry->zip64 = count > 0;
    while (count && length - at >= 4) {
        size_t size = get16(extra + at + 2);
        if (size > length - at - 4) return 0;
        if (get16(extra + at) == 1) {
            if (size < 8 * count) return 0;
            for (size_t i = 0; i < count; i++) *wide[i] = get64(extra + at + 4 + 8 * i);
            return 1;
        }
        at += 4 + size;
    }
    return !count;
}

/* One entry of the directory. Returns its length, or 0 if it is none. */
static size_t read_entry(hc_zip_entry *entry, const uint8_t *p, size_t left)
{
    if (left < CENTRAL || get32(p) != IS_CENTRAL) return 0;
    size_t extra_length = get16(p + 30), comment_length = get16(p + 32);
    memset(entry, 0, sizeof *entry);
    entry->name = (const char *)p + CENTRAL;
    entry->name_length = get16(p + 28);
    entry->flags = get16(p + 8);
    entry->method = get16(p + 10);
    entry->size = get32(p + 24);
    entry->offset = get32(p + 42);
    uint64_t packed = get32(p + 20);
    size_t length = CENTRAL + entry->name_length + extra_length + comment_length;
    if (length > left || !read_zip64(entry, &packed, p + CENTRAL + entry->name_length, extra_length)) return 0;
    return entry->method || packed == entry->size ? length : 0;
}

static int read_entries(hc_zip *zip, const uint8_t *bytes, hc_problem *problem)
{
    size_t size = (size_t)(zip->directory_end - zip->directory), at = 0;
    for (size_t i = 0; i < zip->count; i++) {
        size_t length = read_entry(&zip->entries[i], bytes + at, size - at);
        if (!length || zip->entries[i].offset >= zip->directory)
            return hc_fail(problem, HC_WEIGHTS_FORMAT,
                           "the zip archive's directory is damaged at byte %u, in entry %u of %u", zip->directory + at,
                           (uint64_t)i + 1, zip->count);
        zip->by_name[i] = &zip->entries[i];
        at += length;
    }
    if (at != size)
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the zip archive's directory has more than its %u entries",
                       zip->count);
    hc_sort(zip->entries, (size_t)zip->count, sizeof *zip->entries, by_offset);
    for (size_t i = 0; i < zip->count; i++)
        zip->entries[i].limit = i + 1 < zip->count ? zip->entries[i + 1].offset : zip->directory;
    hc_sort(zip->by_name, (size_t)zip->count, sizeof *zip->by_name, by_name);
    for (size_t i = 1; i < zip->count; i++) {
        if (by_name(&zip->by_name[i - 1], &zip->by_name[i])) continue;
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the zip archive has %t twice", zip->by_name[i]->name,
                       (size_t)zip->by_name[i]->name_length);
    }
    return 1;
}

int hc_zip_read_directory(hc_zip *zip, const void *bytes, hc_problem *problem)
{
    _Static_assert(sizeof *zip->entries <= 128, "hc_sort moves elements of at most 128 bytes");
    zip->entries = hc_allocate(zip->count, sizeof *zip->entries);
    zip->by_name = zip->entries ? hc_allocate(zip->count, sizeof *zip->by_name) : NULL;
    int ok = zip->by_name
                 ? read_entries(zip, bytes, problem)
                 : hc_fail(problem, HC_OUT_OF_MEMORY, "out of memory for a zip archive of %u entries", zip->count);
    if (!ok) hc_zip_free(zip);
    return ok;
}

void hc_zip_free(hc_zip *zip)
{
    free(zip->entries);
    free(zip->by_name);
    memset(zip, 0, sizeof *zip);
}

/* Order of an entry's name and "folder/file". */
static int compare_path(const hc_zip_entry *entry, const char *folder, size_t folder_length, const char *file,
                        size_t file_length)
{
    const char *name = entry->name;
    size_t left = entry->name_length, slash = folder_length > 0;
    int order = compare_text(name, left < folder_length ? left : folder_length, folder, folder_length);
    if (order) return order;
    order = compare_text(name + folder_length, left - folder_length < slash ? 0 : slash, "/", slash);
    if (order) return order;
    return compare_text(name + folder_length + slash, left - folder_length - slash, file, file_length);
}

hc_zip_entry *hc_zip_find(const hc_zip *zip, const char *folder, size_t folder_length, const char *file,
                          size_t file_length)
{
    size_t low = 0, high = (size_t)zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_path(zip->by_name[middle], folder, folder_length, file, file_length);
        if (!order) return zip->by_name[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* ---- local headers -------------------------------------------------------------------------------------------------
 */

int hc_zip_infer_begin(hc_zip_entry *entry, int aligned)
{
    enum { ALIGNMENT = 64, FIELD = 4, FIELD64 = 28 };
    uint64_t descriptor = !(entry->flags & HAS_DESCRIPTOR) ? 0 : entry->zip64 ? 24 : 16;
    uint64_t earliest = entry->offset + HC_ZIP_LOCAL + entry->name_length;
    if (entry->flags & ENCRYPTED || entry->size > entry->limit || entry->limit - entry->size < earliest + descriptor)
        return 0;
    uint64_t begin = entry->limit - descriptor - entry->size;
    int bare = !descriptor && begin == earliest;
    /* A descriptor may be 8 bytes longer or shorter than supposed, which alignment tells. */
    int padded = aligned && begin % ALIGNMENT == 0 && begin >= earliest + FIELD &&
                 begin < earliest + FIELD + FIELD64 + ALIGNMENT;
    if (bare || padded) entry->begin = begin;
    return bare || padded;
}

int hc_zip_read_local(hc_zip_entry *entry, const void *bytes, hc_problem *problem)
{
    const uint8_t *p = bytes;
    uint64_t begin = entry->offset + HC_ZIP_LOCAL + get16(p + 26) + get16(p + 28);
    const char *wrong = NULL;
    if (get32(p) != IS_LOCAL) wrong = "has no local header where the directory says";
    else if (get16(p + 8) != entry->method || get16(p + 26) != entry->name_length)
        wrong = "has a local header that is another entry's";
    else if (entry->flags & ENCRYPTED) wrong = "is encrypted";
    else if (entry->method) wrong = "is compressed, expected it stored, as torch.save does";
    else if (begin > entry->limit || entry->limit - begin < entry->size) wrong = "overlaps what follows it";
    if (wrong)
        return hc_fail(problem, HC_WEIGHTS_FORMAT, "the zip archive's entry %t %s", entry->name,
                       (size_t)entry->name_length, wrong);
    entry->begin = begin;
    return 1;
}
