/* fuzz_torch.c: any bytes as a PyTorch file: its zip directory, its local headers, its pickle. The input is a file in
 * pieces (tests/unit/sparse.h), so that small inputs are files of any size, of which the reader must ask for one range
 * after another. */
#include "checkpoint/json.h"
#include "checkpoint/torch.h"
#include "../unit/sparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { LARGEST_WANT = 1 << 22, MOST_WANTS = 10000 };

static void require(int condition)
{
    if (!condition) abort();
}

/* Serves the reader's wants, exactly or with `around` bytes more on both sides; those that are too large for a quick
 * run come cut short. */
static hc_torch *read_whole(const sparse_file *file, uint64_t around)
{
    hc_torch *torch = hc_torch_new(file->size);
    hc_range range;
    int wants = 0;
    while (hc_torch_want(torch, &range)) {
        require(range.begin < range.end && range.end <= file->size && ++wants < MOST_WANTS);
        uint64_t begin = range.begin < around ? 0 : range.begin - around,
                 end = file->size - range.end < around ? file->size : range.end + around;
        if (range.end - range.begin > LARGEST_WANT) end = begin + 100;
        uint8_t *bytes = sparse_read(file, begin, (size_t)(end - begin));
        hc_torch_give(torch, begin, bytes, (size_t)(end - begin));
        free(bytes);
    }
    return torch;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    sparse_file file = sparse_parse(input, size);
    hc_torch *torch = read_whole(&file, 0);
    size_t length, length_again;
    const char *header = hc_torch_header(torch, &length), *cursor = NULL;
    require(!header == (hc_torch_status(torch) != HC_OK) && (header || *hc_torch_message(torch)));
    if (header) {
        hc_torch *again = read_whole(&file, 1000);
        const char *header_again = hc_torch_header(again, &length_again);
        require(header_again && length == length_again && !memcmp(header, header_again, length));
        hc_torch_free(again);
        hc_json root, key, value, before = {0};
        hc_json_error error;
        require(hc_json_parse(header, length, &root, &error) && root.type == HC_JSON_OBJECT);
        for (; hc_json_next(&root, &cursor, &key, &value); before = key) {
            hc_json offsets = hc_json_get(&value, "data_offsets"), a = {0}, b = {0};
            const char *each = NULL;
            uint64_t begin = 0, end = 0;
            require(hc_json_next(&offsets, &each, NULL, &a) && hc_json_next(&offsets, &each, NULL, &b) &&
                    hc_json_unsigned(&a, &begin) && hc_json_unsigned(&b, &end));
            require(begin <= end && end <= file.size);
            require(before.type == HC_JSON_ABSENT || !hc_json_same(&before, &key));
        }
    }
    hc_torch_free(torch);
    return 0;
}
