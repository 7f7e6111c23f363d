/* test_tokenizer.c: the tokenizer against OpenCLIP's ids in tests/golden/tokens (weights-tools/golden_tokens.py
 * writes and describes the files), and its edges. */
#include <stdlib.h>
#include <string.h>

#include "halfclip.h"
#include "check.h"

enum { CONTEXT = 77, START = 49406, END = 49407, CAT = 2368, AMPERSAND = 261 }; /* ids of CLIP's vocabulary */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

#ifdef SANITIZED
/* Lets the tests of exhausted memory run: an allocation above this size fails, in place of ending the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:max_allocation_size_mb=32"; }
#endif

typedef struct bytes {
    uint8_t *at;
    size_t n;
} bytes;

static bytes read_file(const char *path)
{
    bytes out = {NULL, 0};
    FILE *file = fopen(path, "rb");
    CHECK(file, "cannot open %s", path);
    if (!file) exit(1);
    fseek(file, 0, SEEK_END);
    out.n = (size_t)ftell(file);
    rewind(file);
    out.at = malloc(out.n);
    CHECK(out.at && fread(out.at, 1, out.n, file) == out.n, "cannot read %s", path);
    fclose(file);
    return out;
}

static unsigned u16(const uint8_t *at) { return at[0] | (unsigned)at[1] << 8; }

static unsigned u32(const uint8_t *at) { return u16(at) | u16(at + 2) << 16; }

/* Compares one text with the ids that OpenCLIP has for it at 77, at that length and at others. */
static void check_text(hc_tokenizer *tokenizer, int mode, const char *text, size_t length, const uint8_t *expected,
                       int n)
{
    static const int contexts[] = {CONTEXT, 1, 2, 3, 9, 76};
    int32_t ids[CONTEXT + 3];
    const int end = hc_tokenizer_vocab_size(tokenizer) - 1;
    for (size_t c = 0; c < sizeof contexts / sizeof *contexts; c++) {
        const int context = contexts[c], kept = n < context ? n : context;
        int used = -1, same = 1;
        memset(ids, 0x55, sizeof ids);
        const hc_status status = hc_tokenize(tokenizer, text, length, ids, context, &used);
        for (int i = 0; i < context; i++)
            same &= ids[i] == (i == kept - 1 ? end : i < kept ? (int)u16(expected + 2 * i) : 0);
        CHECK(status == HC_OK && used == kept && same && ids[context] == 0x55555555,
              "mode %d, context %d, text \"%.*s\": other ids than OpenCLIP's", mode, context, (int)length, text);
    }
}

static void check_golden(const char *path, bytes merges, unsigned expected_merges)
{
    const bytes golden = read_file(path);
    const uint8_t *at = golden.at, *end = at + golden.n;
    CHECK(golden.n > 20 && !memcmp(at, "HCTOKENS", 8), "%s is no golden file", path);
    const unsigned merge_count = u32(at + 8), count = u32(at + 16);
    CHECK(merge_count == expected_merges && u32(at + 12) == CONTEXT && count > 200, "%u merges, %u strings",
          merge_count, count);
    at += 20;

    hc_tokenizer *tokenizers[3];
    for (int mode = 0; mode < 3; mode++) {
        tokenizers[mode] = hc_tokenizer_new(merges.at, 4 * (size_t)merge_count, (hc_clean)mode);
        CHECK(tokenizers[mode] && hc_tokenizer_vocab_size(tokenizers[mode]) == (int)merge_count + 514, "mode %d", mode);
    }
    unsigned raised = 0;
    for (unsigned i = 0; i < count && at + 2 <= end; i++) {
        const size_t length = u16(at);
        const uint8_t *text = at + 2, *ids = NULL;
        int n = 0;
        at += 2 + length;
        /* A copy of just its size, so that reading past the end of a text shows. */
        char *copy = malloc(length ? length : 1);
        memcpy(copy, text, length);
        for (int mode = 0; mode < 3; mode++) {
            const int head = *at++;
            if (head == 254) {
                int32_t out[CONTEXT];
                CHECK(hc_tokenize(tokenizers[mode], copy, length, out, CONTEXT, NULL) == HC_INPUT_TYPE,
                      "OpenCLIP raises an exception");
                raised++;
                continue;
            }
            if (head != 255) {
                n = head;
                ids = at;
                at += 2 * n;
            }
            check_text(tokenizers[mode], mode, copy, length, ids, n);
        }
        free(copy);
    }
    CHECK(at == end && raised > 0, "%s was not read to its end", path);
    for (int mode = 0; mode < 3; mode++) hc_tokenizer_free(tokenizers[mode]);
    free(golden.at);
}

/* Whether two texts, the first with NULs, have the same ids. */
static int same_ids(hc_tokenizer *tokenizer, const char *text, size_t length, const char *other)
{
    int32_t ids[CONTEXT], other_ids[CONTEXT];
    return hc_tokenize(tokenizer, text, length, ids, CONTEXT, NULL) == HC_OK &&
           hc_tokenize(tokenizer, other, strlen(other), other_ids, CONTEXT, NULL) == HC_OK &&
           !memcmp(ids, other_ids, sizeof ids);
}

static void check_utf8(hc_tokenizer *tokenizer)
{
#define R "\xEF\xBF\xBD"
    /* Ill-formed sequences and what TextDecoder makes of them. */
    static const char *const pairs[][2] = {
        {"a\xFFz", "a" R "z"},
        {"\x80", R},
        {"\xC0\xAF", R R}, /* overlong */
        {"\xE0\x80\xAF", R R R},
        {"\xED\xA0\x80", R R R},       /* a surrogate */
        {"\xF4\x90\x80\x80", R R R R}, /* above U+10FFFF */
        {"\xF5\x80\x80\x80", R R R R},
        {"\xE2\x82", R}, /* cut short */
        {"\xE2\x82z", R "z"},
        {"\xF0\x9F\x98", R},
        {"\xF0\x9F\x98\xF0\x9F\x98\x80", R "\xF0\x9F\x98\x80"},
        {"\xC2\xC2\xA9", R "\xC2\xA9"},
        {"\xF0\x80\x80\x41", R R R "A"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        CHECK(same_ids(tokenizer, pairs[i][0], strlen(pairs[i][0]), pairs[i][1]), "ill-formed UTF-8, case %zu", i);
    CHECK(!same_ids(tokenizer, R, 3, R R), "U+FFFD counts");
#undef R
    CHECK(same_ids(tokenizer, "a\0b", 3, "ab"), "ftfy removes NUL");
}

static void check_lists(bytes merges)
{
    uint8_t list[12] = {64, 0, 65, 1, 0, 2, 65, 1, 66, 0, 67, 1};
    hc_tokenizer *tokenizer = hc_tokenizer_new(list, sizeof list, HC_CLEAN_LOWER);
    CHECK(tokenizer && hc_tokenizer_vocab_size(tokenizer) == 517, "a list of three merges");
    hc_tokenizer_free(tokenizer);

    CHECK(!hc_tokenizer_new(NULL, 12, HC_CLEAN_LOWER), "no list");
    CHECK(!hc_tokenizer_new(list, 0, HC_CLEAN_LOWER), "an empty list");
    CHECK(!hc_tokenizer_new(list, 11, HC_CLEAN_LOWER), "a merge cut short");
    CHECK(!hc_tokenizer_new(list, 12, (hc_clean)3), "a mode that does not exist");
    list[5] = 3;
    CHECK(!hc_tokenizer_new(list, 12, HC_CLEAN_LOWER), "a merge of a token that comes later");
    memcpy(list + 4, list, 4);
    CHECK(!hc_tokenizer_new(list, 12, HC_CLEAN_LOWER), "a merge given twice");

    uint8_t *large = calloc(65023, 4);
    for (unsigned i = 0; i < 65023; i++) {
        large[4 * i] = (uint8_t)(i & 0xFF);
        large[4 * i + 2] = (uint8_t)(i >> 8);
    }
    CHECK(!hc_tokenizer_new(large, 65023 * 4, HC_CLEAN_LOWER), "more tokens than 16 bits can name");
    tokenizer = hc_tokenizer_new(large, 65022 * 4, HC_CLEAN_LOWER);
    CHECK(tokenizer && hc_tokenizer_vocab_size(tokenizer) == 65536, "as many as they can name");
    hc_tokenizer_free(tokenizer);
    free(large);

    /* The list is copied. */
    uint8_t *copy = malloc(merges.n);
    memcpy(copy, merges.at, merges.n);
    tokenizer = hc_tokenizer_new(copy, merges.n, HC_CLEAN_LOWER);
    memset(copy, 0, merges.n);
    free(copy);
    int32_t ids[4];
    CHECK(tokenizer && hc_tokenize(tokenizer, "cat", 3, ids, 4, NULL) == HC_OK && ids[0] == START && ids[1] == CAT &&
              ids[2] == END && ids[3] == 0,
          "a cat");
    hc_tokenizer_free(tokenizer);
    hc_tokenizer_free(NULL);
}

static void check_calls(hc_tokenizer *tokenizer)
{
    int32_t ids[CONTEXT];
    int used;
    CHECK(hc_tokenize(tokenizer, "", 0, ids, 3, &used) == HC_OK && used == 2 && ids[0] == START && ids[1] == END &&
              ids[2] == 0,
          "an empty text");
    CHECK(hc_tokenize(tokenizer, NULL, 0, ids, 2, NULL) == HC_OK && ids[1] == END, "no text");
    CHECK(hc_tokenize(tokenizer, "cat", 3, ids, 1, &used) == HC_OK && used == 1 && ids[0] == END,
          "room for the end token only");
    CHECK(hc_tokenize(tokenizer, "cat", 3, ids, 0, NULL) == HC_INPUT_TYPE, "no room");
    CHECK(hc_tokenize(tokenizer, "cat", 3, ids, -1, NULL) == HC_INPUT_TYPE, "no room");
}

/* A megabyte that repeats `unit`; each of these would take minutes if any step were quadratic. */
static void check_large(hc_tokenizer *tokenizer, const char *unit, size_t total)
{
    const size_t n = strlen(unit);
    char *text = malloc(total);
    for (size_t i = 0; i < total; i++) text[i] = unit[i % n];
    int32_t ids[CONTEXT];
    int used = 0;
    CHECK(hc_tokenize(tokenizer, text, total, ids, CONTEXT, &used) == HC_OK && used >= 2 && ids[used - 1] == END,
          "a megabyte of %s", unit);
    free(text);
}

int main(void)
{
    const bytes merges = read_file("web/text/clip-merges.bin");
    CHECK(merges.n == 48894 * 4, "CLIP's list of merges");
    check_golden("tests/golden/tokens/full.bin", merges, 48894);
    check_golden("tests/golden/tokens/prefix.bin", merges, 3000);
    check_lists(merges);

    hc_tokenizer *tokenizer = hc_tokenizer_new(merges.at, merges.n, HC_CLEAN_LOWER);
    check_utf8(tokenizer);
    check_calls(tokenizer);
    const char *const units[] = {"a",
                                 "abcdefghij",
                                 "!",
                                 "\xE7\x8C\xAB",
                                 "amp;&",
                                 "&amp;",
                                 "&#38;",
                                 "&am&#x70;",
                                 "\x1B[",
                                 "\x1B[1",
                                 "&#1",
                                 "&semi",
                                 "a\xCC\x81\xCC\xA3",
                                 "\xCC\x81\xCC\xA3",
                                 "\xCE\xA3",
                                 "\xCE\xA3.",
                                 "<end_of_text",
                                 "'"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) check_large(tokenizer, units[i], 1000000);
    char *nested = malloc(1000001); /* one '&' and a quarter of a million times what makes of it one more */
    memset(nested, '&', 1);
    for (size_t i = 0; i < 250000; i++) memcpy(nested + 1 + 4 * i, "amp;", 4);
    int32_t ids[CONTEXT];
    CHECK(hc_tokenize(tokenizer, nested, 1000001, ids, CONTEXT, NULL) == HC_OK && ids[1] == AMPERSAND && ids[2] == END,
          "a million characters for one '&'");
    free(nested);

#ifdef SANITIZED
    char *huge = malloc(20000000);
    memset(huge, 'a', 20000000);
    CHECK(hc_tokenize(tokenizer, huge, 20000000, ids, CONTEXT, NULL) == HC_OUT_OF_MEMORY, "no memory for the text");
    CHECK(hc_tokenize(tokenizer, huge, 4000000, ids, CONTEXT, NULL) == HC_OUT_OF_MEMORY, "no memory for a word");
    CHECK(hc_tokenize(tokenizer, "cat", 3, ids, CONTEXT, NULL) == HC_OK && ids[1] == CAT, "it goes on");
    free(huge);
#endif
    hc_tokenizer_free(tokenizer);
    free(merges.at);
    return check_result("tokenizer");
}
