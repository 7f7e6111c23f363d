/* torch_other.c: files that are no PyTorch file of today, by name. */
#include "checkpoint/torch_steps.h"

#include "checkpoint/safetensors.h"

#include <string.h>

enum { START = 512 };

/* The pickled number that begins PyTorch's format before 1.6. */
static int is_legacy(const uint8_t *start, size_t n)
{
    static const char MAGIC[] = "\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
    for (size_t i = 0; i < 16 && i + sizeof MAGIC - 1 <= n; i++)
        if (!memcmp(start + i, MAGIC, sizeof MAGIC - 1)) return 1;
    return 0;
}

/* There is no directory at the end: the start says what the file is. */
int hc_torch_explain(hc_torch *t)
{
    size_t n = t->file_size < START ? (size_t)t->file_size : START;
    const uint8_t *start = hc_torch_bytes(t, 0, n);
    if (!start) return 0;
    if (n >= 4 && !memcmp(start, "PK\3\4", 4))
        return hc_fail(&t->problem, HC_WEIGHTS_TRUNCATED,
                       "the PyTorch file ends after %u bytes without its directory: it is cut short", t->file_size);
    if (is_legacy(start, n))
        return hc_fail(
            &t->problem, HC_WEIGHTS_FORMAT,
            "the file is in PyTorch's format of before version 1.6: convert it with weights-tools/convert.py");
    if (n >= 262 && !memcmp(start + 257, "ustar", 5))
        return hc_fail(
            &t->problem, HC_WEIGHTS_FORMAT,
            "the file is a tar archive, as PyTorch's oldest format is: convert it with weights-tools/convert.py");
    const char *guess = hc_safetensors_guess(start, n);
    return hc_fail(&t->problem, HC_WEIGHTS_FORMAT, "the file is %s, expected a PyTorch file",
                   guess ? guess : "of an unknown format");
}
