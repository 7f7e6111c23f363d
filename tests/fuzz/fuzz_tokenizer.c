/* fuzz_tokenizer.c: any bytes as a text, at any context length, in each mode; and any bytes as a list of merges.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_tokenizer.c \
 *         src/{tokenizer,clean,html,unicode}.c -o fuzz_tokenizer
 *     ./fuzz_tokenizer                  (from the repository's root) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "halfclip.h"

enum { CONTEXT = 77 };

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* Checks what must hold for every text. */
static void check_text(hc_tokenizer *tokenizer, const char *text, size_t length, int context)
{
    int32_t ids[CONTEXT], again[CONTEXT];
    int used = 0;
    const int vocabulary = hc_tokenizer_vocab_size(tokenizer);
    const hc_status status = hc_tokenize(tokenizer, text, length, ids, context, &used);
    if (status == HC_INPUT_TYPE) { /* only for a decimal reference of more than 4300 digits */
        require(length > 4300, "a text was refused");
        return;
    }
    require(status == HC_OK, "not HC_OK");
    require(used >= 1 && used <= context, "used");
    require(ids[used - 1] == vocabulary - 1, "the last id is not the end token");
    require(used == 1 || ids[0] == vocabulary - 2, "the first id is not the start token");
    for (int i = 0; i < context; i++)
        require(i < used ? ids[i] >= 0 && ids[i] < vocabulary : ids[i] == 0, "an id outside the vocabulary");
    /* A shorter context gives the same ids, cut. */
    const int shorter = 1 + context / 2;
    if (shorter < used) {
        require(hc_tokenize(tokenizer, text, length, again, shorter, NULL) == HC_OK, "not HC_OK again");
        require(!memcmp(ids, again, sizeof *ids * (size_t)(shorter - 1)) && again[shorter - 1] == vocabulary - 1,
                "cut differently");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hc_tokenizer *tokenizers[3];
    if (!tokenizers[0]) {
        FILE *file = fopen("web/text/clip-merges.bin", "rb");
        static uint8_t merges[48894 * 4];
        require(file && fread(merges, 1, sizeof merges, file) == sizeof merges, "cannot read web/text/clip-merges.bin");
        fclose(file);
        for (int mode = 0; mode < 3; mode++)
            require((tokenizers[mode] = hc_tokenizer_new(merges, sizeof merges, (hc_clean)mode)) != NULL,
                    "no tokenizer");
    }
    if (size < 2) return 0;
    const int context = 1 + data[0] % CONTEXT, kind = data[1] % 8;
    data += 2;
    size -= 2;
    if (kind < 7) {
        check_text(tokenizers[kind % 3], (const char *)data, size, context);
        return 0;
    }
    /* A list of merges up to a first NUL pair, then a text. */
    size_t length = 0;
    while (length + 4 <= size && memcmp(data + length, "\0\0\0\0", 4)) length += 4;
    hc_tokenizer *tokenizer = hc_tokenizer_new(data, length, HC_CLEAN_LOWER);
    if (tokenizer) check_text(tokenizer, (const char *)data + length, size - length, context);
    hc_tokenizer_free(tokenizer);
    return 0;
}
