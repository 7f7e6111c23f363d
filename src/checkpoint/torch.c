/* torch.c: the reader from outside: which bytes it wants, what it is given, and what it ends with. */
#include "checkpoint/torch_steps.h"

#include <stdlib.h>

const uint8_t *hc_torch_bytes(hc_torch *t, uint64_t begin, uint64_t end)
{
    const hc_torch_window *windows[] = {&t->tail, &t->given};
    for (int i = 0; i < 2; i++)
        if (windows[i]->bytes && windows[i]->begin <= begin && end <= windows[i]->end)
            return windows[i]->bytes + (begin - windows[i]->begin);
    t->want = (hc_range){begin, end};
    return NULL;
}

void hc_torch_forget(hc_torch *t)
{
    hc_pickle_free(&t->pickle);
    hc_zip_free(&t->zip);
    free(t->storages);
    free(t->tail_copy);
    free(t->directory_copy);
    t->storages = NULL;
    t->tail_copy = t->directory_copy = NULL;
    t->tail = (hc_torch_window){0};
}

hc_torch *hc_torch_new(uint64_t file_size)
{
    hc_torch *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->file_size = file_size;
    t->step = hc_torch_find_end;
    if (file_size) t->step(t);
    else hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the file is empty, expected a PyTorch file");
    return t;
}

int hc_torch_want(const hc_torch *torch, hc_range *range)
{
    if (torch->problem.status || !torch->step) return 0;
    *range = torch->want;
    return 1;
}

hc_status hc_torch_give(hc_torch *torch, uint64_t offset, const void *bytes, size_t n)
{
    if (torch->problem.status || !torch->step) return torch->problem.status;
    if (offset > torch->want.begin || n < torch->want.end - offset) {
        hc_fail(&torch->problem, HC_WEIGHTS_TRUNCATED,
                "the PyTorch file ends at byte %u, but bytes %u to %u are needed for its directory", offset + n,
                torch->want.begin, torch->want.end);
    } else {
        torch->given = (hc_torch_window){bytes, offset, offset + n};
        while (torch->step && torch->step(torch)) {
        }
        torch->given = (hc_torch_window){0};
    }
    if (torch->problem.status) hc_torch_forget(torch);
    return torch->problem.status;
}

hc_status hc_torch_status(const hc_torch *torch) { return torch->problem.status; }
const char *hc_torch_message(const hc_torch *torch) { return torch->problem.message; }

const char *hc_torch_header(const hc_torch *torch, size_t *length)
{
    *length = torch->problem.status ? 0 : torch->header_length;
    return torch->problem.status ? NULL : torch->header;
}

void hc_torch_free(hc_torch *torch)
{
    if (!torch) return;
    hc_torch_forget(torch);
    free(torch->header);
    free(torch);
}
