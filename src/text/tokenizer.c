/* tokenizer.c: CLIP's byte-pair encoding, as OpenCLIP 3.3.0's SimpleTokenizer does it.
 *
 * A text is cleaned (clean.c), cut into words by the rules of SimpleTokenizer's pattern, and the UTF-8 bytes of
 * each word are merged in order of rank (Sennrich et al., "Neural machine translation of rare words with subword
 * units", 2016). */
#include <stdlib.h>
#include <string.h>

#include "text/clean.h"
#include "halfclip.h"
#include "base/size.h"
#include "text/unicode.h"

enum { BYTES = 256, FIRST_MERGE = 2 * BYTES, NO_MERGE = 0xFFFF };

/* One token of a word while it is merged: a doubly linked list in an array. */
typedef struct symbol {
    uint32_t previous, next;
    uint16_t token;
    uint16_t rank; /* of the merge with the next symbol; NO_MERGE if there is none, or if this symbol is gone */
} symbol;

struct hc_tokenizer {
    hc_cleaner *cleaner;
    uint16_t (*merges)[2];
    uint16_t *ranks; /* hash of a pair to 1 + its rank; 0 is free */
    uint32_t mask;   /* of the hash: its size, a power of two, less 1 */
    uint32_t merge_count;
    symbol *symbols; /* of one word */
    uint64_t *heap;  /* merges that can be made in it: rank << 32 | position; the least first */
    size_t capacity; /* of symbols, and half that of heap */
};

/* OpenCLIP's bytes_to_unicode lists the printable bytes first. */
static uint16_t byte_token(uint8_t byte)
{
    if (byte >= 0x21 && byte <= 0x7E) return (uint16_t)(byte - 0x21);
    if (byte >= 0xA1 && byte <= 0xAC) return (uint16_t)(byte - 0xA1 + 94);
    if (byte >= 0xAE) return (uint16_t)(byte - 0xAE + 106);
    return (uint16_t)(byte <= 0x20 ? 188 + byte : byte <= 0xA0 ? 221 + byte - 0x7F : 255);
}

static uint32_t pair_hash(uint32_t first, uint32_t second)
{
    const uint32_t hash = (first << 16 | second) * 0x9E3779B1u;
    return hash ^ hash >> 15;
}

/* The slot of `ranks` where a pair is, or the free one where it would be. */
static uint32_t pair_slot(const hc_tokenizer *tokenizer, uint16_t first, uint16_t second)
{
    uint32_t slot = pair_hash(first, second) & tokenizer->mask;
    while (tokenizer->ranks[slot]) {
        const uint16_t *merge = tokenizer->merges[tokenizer->ranks[slot] - 1];
        if (merge[0] == first && merge[1] == second) break;
        slot = (slot + 1) & tokenizer->mask;
    }
    return slot;
}

hc_tokenizer *hc_tokenizer_new(const void *merges, size_t length, hc_clean clean)
{
    const uint8_t *bytes = merges;
    const size_t count = length / 4;
    if (!merges || !count || length % 4 || count > 0x10000 - FIRST_MERGE - 2 || clean < HC_CLEAN_LOWER ||
        clean > HC_CLEAN_CANONICALIZE)
        return NULL;
    uint32_t slots = 16;
    while (slots < 2 * count) slots *= 2;

    hc_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return NULL;
    tokenizer->mask = slots - 1;
    tokenizer->merge_count = (uint32_t)count;
    tokenizer->cleaner = hc_cleaner_new(clean);
    tokenizer->merges = malloc(length);
    tokenizer->ranks = calloc(slots, sizeof *tokenizer->ranks);
    if (!tokenizer->cleaner || !tokenizer->merges || !tokenizer->ranks) goto fail;
    for (size_t i = 0; i < count; i++, bytes += 4) {
        const uint16_t first = (uint16_t)(bytes[0] | bytes[1] << 8), second = (uint16_t)(bytes[2] | bytes[3] << 8);
        /* A merge is of tokens that exist by then. encode_word relies on it: no merge makes room for one of lower
         * rank. */
        if (first >= FIRST_MERGE + i || second >= FIRST_MERGE + i) goto fail;
        const uint32_t slot = pair_slot(tokenizer, first, second);
        if (tokenizer->ranks[slot]) goto fail;
        tokenizer->merges[i][0] = first;
        tokenizer->merges[i][1] = second;
        tokenizer->ranks[slot] = (uint16_t)(i + 1);
    }
    return tokenizer;

fail:
    hc_tokenizer_free(tokenizer);
    return NULL;
}

void hc_tokenizer_free(hc_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    hc_cleaner_free(tokenizer->cleaner);
    free(tokenizer->merges);
    free(tokenizer->ranks);
    free(tokenizer->symbols);
    free(tokenizer->heap);
    free(tokenizer);
}

int hc_tokenizer_vocab_size(const hc_tokenizer *tokenizer) { return (int)(FIRST_MERGE + tokenizer->merge_count + 2); }

/* ---- words --------------------------------------------------------------------------------------------------------
 */

static const char *const special_tokens[2] = {"<start_of_text>", "<end_of_text>"};

/* The length of `literal`, in lower case, if text[n] begins with it whatever the case; else 0. `regex` with
 * IGNORECASE takes the long s for an s. */
static size_t match_literal(const uint32_t *text, size_t n, const char *literal)
{
    size_t i = 0;
    for (; literal[i]; i++) {
        if (i == n) return 0;
        const uint32_t code = text[i] == 0x17F ? 's' : text[i] - 'A' < 26 ? text[i] + 0x20 : text[i];
        if (code != (uint8_t)literal[i]) return 0;
    }
    return i;
}

/* The length of the word at the start of text[n], or 0 if no word begins there. The pattern:
 * <start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ */
static size_t word_length(const hc_unicode *unicode, const uint32_t *text, size_t n)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    size_t length = 0;
    if (text[0] == '<')
        for (int i = 0; i < 2 && !length; i++) length = match_literal(text, n, special_tokens[i]);
    if (text[0] == '\'')
        for (size_t i = 0; i < sizeof contractions / sizeof *contractions && !length; i++)
            length = match_literal(text, n, contractions[i]);
    if (length) return length;
    const unsigned kind = hc_properties(unicode, text[0]) & (HC_LETTER | HC_NUMBER | HC_OTHER);
    if (!kind || kind == HC_NUMBER) return kind != 0;
    do {
        length++;
    } while (length < n && hc_properties(unicode, text[length]) & kind);
    return length;
}

/* ---- merging ------------------------------------------------------------------------------------------------------
 */

static void heap_push(uint64_t *heap, size_t *n, uint64_t value)
{
    size_t i = (*n)++;
    for (; i > 0 && heap[(i - 1) / 2] > value; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    const uint64_t least = heap[0], value = heap[--*n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
        if (child >= *n || heap[child] >= value) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
    return least;
}

static int reserve_symbols(hc_tokenizer *tokenizer, size_t n)
{
    if (n <= tokenizer->capacity) return 1;
    const size_t capacity = n + 64;
    if (n > UINT32_MAX / 16) return 0;
    symbol *symbols = hc_reallocate(tokenizer->symbols, capacity, sizeof *symbols);
    if (symbols) tokenizer->symbols = symbols;
    uint64_t *heap = hc_reallocate(tokenizer->heap, capacity, 2 * sizeof *heap);
    if (heap) tokenizer->heap = heap;
    if (!symbols || !heap) return 0;
    tokenizer->capacity = capacity;
    return 1;
}

/* Enters the merge of the symbol at `position` with its next one, if they have one. */
static void offer(hc_tokenizer *tokenizer, uint32_t position, size_t *heap_size)
{
    symbol *symbols = tokenizer->symbols, *first = &symbols[position];
    first->rank = NO_MERGE;
    if (first->next == UINT32_MAX) return;
    const uint16_t found = tokenizer->ranks[pair_slot(tokenizer, first->token, symbols[first->next].token)];
    if (found) {
        first->rank = (uint16_t)(found - 1);
        heap_push(tokenizer->heap, heap_size, (uint64_t)first->rank << 32 | position);
    }
}

/* The tokens of word[n], at most `room` of them, and their count in *made. SimpleTokenizer merges all pairs of the
 * lowest rank from left to right, and again. A heap in order of rank, then place, does the same in n log n: a
 * merge only makes pairs that contain its token, and their ranks are higher. */
static hc_status encode_word(hc_tokenizer *tokenizer, const uint32_t *word, size_t n, int32_t *ids, int room, int *made)
{
    uint8_t bytes[4];
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += (size_t)hc_utf8(word[i], bytes);
    if (!reserve_symbols(tokenizer, total)) return HC_OUT_OF_MEMORY;
    symbol *symbols = tokenizer->symbols;
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const int length = hc_utf8(word[i], bytes);
        for (int k = 0; k < length; k++, count++)
            symbols[count] = (symbol){count - 1, count + 1, byte_token(bytes[k]), NO_MERGE};
    }
    symbols[count - 1].token = (uint16_t)(symbols[count - 1].token + BYTES); /* its form with </w> */
    symbols[count - 1].next = UINT32_MAX;

    size_t heap_size = 0; /* at most count - 1, and one more a merge: it takes one out and offers two */
    for (uint32_t i = 0; i + 1 < count; i++) offer(tokenizer, i, &heap_size);
    while (heap_size) {
        const uint64_t best = heap_pop(tokenizer->heap, &heap_size);
        const uint32_t position = (uint32_t)best, rank = (uint32_t)(best >> 32);
        symbol *first = &symbols[position];
        if (first->rank != rank) continue; /* one of the two has merged with another since */
        symbol *second = &symbols[first->next];
        first->token = (uint16_t)(FIRST_MERGE + rank);
        first->next = second->next;
        second->rank = NO_MERGE;
        if (first->next != UINT32_MAX) symbols[first->next].previous = position;
        offer(tokenizer, position, &heap_size);
        if (position) offer(tokenizer, first->previous, &heap_size);
    }
    *made = 0;
    for (uint32_t i = 0; i != UINT32_MAX && *made < room; i = symbols[i].next) ids[(*made)++] = symbols[i].token;
    return HC_OK;
}

hc_status hc_tokenize(hc_tokenizer *tokenizer, const char *text, size_t length, int32_t *ids, int context_length,
                      int *used)
{
    const int32_t start_token = (int32_t)(FIRST_MERGE + tokenizer->merge_count), end_token = start_token + 1;
    const hc_codes *codes;
    int n = 0;
    if (context_length < 1) return HC_INPUT_TYPE;
    const hc_status cleaned = hc_clean_text(tokenizer->cleaner, text, length, &codes);
    if (cleaned) return cleaned;
    const hc_unicode *unicode = hc_cleaner_unicode(tokenizer->cleaner);

    ids[n++] = start_token;
    /* Words do not depend on each other: once the ids are full the rest of the text is of no account. */
    for (size_t i = 0; i < codes->n && n < context_length;) {
        const uint32_t *word = codes->at + i;
        const size_t word_n = word_length(unicode, word, codes->n - i);
        i += word_n ? word_n : 1;
        if (!word_n) continue;
        /* Only these two words, in just these letters, are special; <START_OF_TEXT> is a word like others, and a
         * long one. */
        int special = -1;
        for (int k = 0; k < 2 && special < 0; k++)
            if (word[0] == '<' && word_n == strlen(special_tokens[k])) {
                size_t same = 0;
                while (same < word_n && word[same] == (uint8_t)special_tokens[k][same]) same++;
                special = same == word_n ? k : -1;
            }
        if (special >= 0) {
            ids[n++] = start_token + special;
            continue;
        }
        int made;
        const hc_status encoded = encode_word(tokenizer, word, word_n, ids + n, context_length - n, &made);
        if (encoded) return encoded;
        n += made;
    }
    if (n == context_length) n--;
    ids[n++] = end_token;
    for (int i = n; i < context_length; i++) ids[i] = 0;
    if (used) *used = n;
    return HC_OK;
}
