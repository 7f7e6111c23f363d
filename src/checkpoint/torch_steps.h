/* torch_steps.h: what the files of the reader of PyTorch files share: its state, and the steps that lead from the
 * file's end to the directory. A step returns 1 when it is done, with the next one set; 0 when it wants bytes, after
 * which it is repeated, and after a failure. */
#ifndef HC_TORCH_STEPS_H
#define HC_TORCH_STEPS_H

#include "base/problem.h"
#include "checkpoint/pickle.h"
#include "checkpoint/torch.h"
#include "checkpoint/zip.h"

/* More than this of a file, or of a directory, is not read at once. */
enum { HC_TORCH_LARGEST = 256 << 20 };

/* Bytes [begin, end) of the file. */
typedef struct hc_torch_window {
    const uint8_t *bytes;
    uint64_t begin, end;
} hc_torch_window;

struct hc_torch {
    uint64_t file_size;
    int (*step)(hc_torch *torch); /* NULL: nothing is left to do */
    hc_range want;
    hc_torch_window tail, given;
    uint8_t *tail_copy, *directory_copy;
    hc_zip zip;
    hc_zip_entry *pickle_entry, *byteorder;
    int aligned; /* data begin where PyTorch makes them begin */
    hc_pickle pickle;
    hc_zip_entry **storages; /* of each tensor */
    uint64_t placed;         /* so many entries of the archive have been looked at */
    char *header;
    size_t header_length;
    hc_problem problem;
};

/* torch.c: bytes [begin, end) of the file if they are at hand; else NULL, and they are wanted. */
const uint8_t *hc_torch_bytes(hc_torch *t, uint64_t begin, uint64_t end);

/* Frees all that the directory is made from. */
void hc_torch_forget(hc_torch *t);

/* torch_archive.c: the first step, from the end of the zip archive to where each tensor's bytes lie. */
int hc_torch_find_end(hc_torch *t);

/* torch_other.c: the step for what has no zip directory at its end: the failure that says what the file is. */
int hc_torch_explain(hc_torch *t);

/* torch_header.c: the last step, which makes the directory. */
int hc_torch_write_header(hc_torch *t);

#endif
