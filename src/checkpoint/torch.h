/* torch.h: which tensors a PyTorch file holds, and where: .pt, .pth and .bin as torch.save has written them since
 * PyTorch 1.6, and TorchScript's archives (OpenAI's).
 *
 * Both are zip archives whose directory lies at the end: data.pkl describes the tensors, data/<key> are their storages.
 * The reader asks for the pieces of the file that it needs, usually two (the end, the pickle), and makes of them the
 * directory that a safetensors file would begin with:
 *
 *     hc_torch *torch = hc_torch_new(file_size);
 *     for (hc_range range; hc_torch_want(torch, &range);)
 *         hc_torch_give(torch, range.begin, bytes, range.end - range.begin);
 *     const char *header = hc_torch_header(torch, &length);     // NULL: see hc_torch_status, hc_torch_message
 *     …
 *     hc_torch_free(torch);
 *
 * Other files are refused by name, among them PyTorch's own older formats. Nothing of a pickle is ever run: see
 * pickle.h. */
#ifndef HC_TORCH_H
#define HC_TORCH_H

#include "halfclip.h"

typedef struct hc_torch hc_torch;

/* For a file of `file_size` bytes. NULL only when memory is exhausted. */
hc_torch *hc_torch_new(uint64_t file_size);

/* The next bytes of the file that are needed, within it and never empty; 0 when the directory is complete or the
 * reading failed. */
int hc_torch_want(const hc_torch *torch, hc_range *range);

/* Bytes of the file at `offset`, at least the range that is wanted; HC_WEIGHTS_TRUNCATED if they are fewer. They are
 * not kept beyond the call but for the file's end. Returns the status. */
hc_status hc_torch_give(hc_torch *torch, uint64_t offset, const void *bytes, size_t n);

/* HC_OK, or the first failure, after which every other call does nothing: HC_WEIGHTS_FORMAT for what is no such file,
 * is damaged or was refused, HC_WEIGHTS_TRUNCATED for a file that is cut short, HC_OUT_OF_MEMORY. The message is one
 * English sentence; it lives as long as the reader. */
hc_status hc_torch_status(const hc_torch *torch);
const char *hc_torch_message(const hc_torch *torch);

/* The directory as JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}, sorted by name,
 * no name twice, valid UTF-8, not NUL-terminated, owned by the reader. NULL unless complete. As in a safetensors
 * header, but for these:
 *   - Offsets count from the file's start. Tensors may overlap (views of one storage) and leave gaps, and need not be
 * in the order of their names.
 *   - A dtype may be one that safetensors does not know: C128, C32, F8_E4M3FNUZ, F8_E5M2FNUZ, and NEGATED or CONJUGATED
 * for what PyTorch would turn into another number when it is read.
 *   - A tensor that is stored transposed, with gaps or expanded has "strides": [6, 1] too, in elements, one a
 * dimension; its offsets are then those from its first element to its last. */
const char *hc_torch_header(const hc_torch *torch, size_t *length);

void hc_torch_free(hc_torch *torch);

#endif
