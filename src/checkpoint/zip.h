/* zip.h: the directory of a zip archive (PKWARE's APPNOTE 6.3, with zip64), and where its entries' bytes lie, for
 * archives whose entries are stored as they are. */
#ifndef HC_ZIP_H
#define HC_ZIP_H

#include "base/problem.h"

typedef struct hc_zip_entry {
    const char *name;      /* not NUL-terminated; in the directory's bytes         */
    uint64_t offset, size; /* of its local header; of its data                     */
    uint64_t limit;        /* where the next local header or the directory begins  */
    uint64_t begin;        /* of its data; 0 until known                           */
    uint16_t name_length, flags, method;
    uint16_t zip64; /* has sizes or an offset of 64 bits                    */
    int used;       /* for the caller                                       */
} hc_zip_entry;

typedef struct hc_zip {
    int found;      /* the file has an end record */
    uint64_t end64; /* where the zip64 end record is to be read; 0: there is none, or it has been read */
    uint64_t directory, directory_end, count;
    hc_zip_entry *entries; /* in the order of the file; freed by hc_zip_free */
    hc_zip_entry **by_name;
} hc_zip;

enum { HC_ZIP_END64 = 56, HC_ZIP_LOCAL = 30, HC_ZIP_LONGEST_END = 22 + 65535 };

/* Finds the end of the directory in the last `n` bytes of the file, of which a file's last HC_ZIP_LONGEST_END always
 * suffice. 1 with `found` 0: this is no zip archive, or it is cut short. Like the other readers here, 0 after a
 * failure: HC_WEIGHTS_FORMAT with a message that names what contradicts itself, or HC_OUT_OF_MEMORY. */
int hc_zip_find_end(hc_zip *zip, const void *tail, size_t n, uint64_t file_size, hc_problem *problem);

/* The HC_ZIP_END64 bytes at zip->end64, if that is not 0. */
int hc_zip_read_end64(hc_zip *zip, const void *bytes, hc_problem *problem);

/* The bytes of the directory, from zip->directory to zip->directory_end, which must outlive `zip`. On failure there is
 * nothing to free. */
int hc_zip_read_directory(hc_zip *zip, const void *bytes, hc_problem *problem);

void hc_zip_free(hc_zip *zip);

/* The entry `folder`/`file`, or `file` where the folder's name is empty; NULL if there is none. */
hc_zip_entry *hc_zip_find(const hc_zip *zip, const char *folder, size_t folder_length, const char *file,
                          size_t file_length);

/* The length of a local header is said only by itself, and reading one costs a request. This finds where an entry's
 * data begin without it, where what lies between the directory's figures for this entry and for the next is exactly
 * what a known writer leaves there: nothing but the name (Python, Info-ZIP), or with `aligned` set a field that makes
 * the data begin at the next multiple of 64 (PyTorch). Returns 1 and sets `begin`, or 0: the local header must be read.
 */
int hc_zip_infer_begin(hc_zip_entry *entry, int aligned);

/* Sets `begin` from the HC_ZIP_LOCAL bytes of the local header. */
int hc_zip_read_local(hc_zip_entry *entry, const void *bytes, hc_problem *problem);

#endif
