/* test_torch.c: PyTorch files as PyTorch writes them, as others rewrite them, cut and damaged ones, and memory that
 * runs out. What each holds is what torch.load said (weights-tools/golden_torch.py). Linked with --wrap for malloc,
 * calloc, realloc and free. */
#include "check.h"
#include "failing.h"
#include "checkpoint/json.h"
#include "loading.h"
#include "sparse.h"
#include "checkpoint/torch.h"

#include <string.h>

#define FOLDER "tests/golden/torch/"

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

typedef struct reading {
    hc_torch *torch;
    int wants;
    uint64_t wanted; /* bytes in all */
} reading;

/* Serves every want, with up to `around` bytes more on both sides. */
static reading read_sparse(const sparse_file *file, uint64_t around)
{
    hc_range range;
    counting = 1;
    reading r = {hc_torch_new(file->size), 0, 0};
    while (r.torch && hc_torch_want(r.torch, &range)) {
        counting = 0;
        CHECK(range.begin < range.end && range.end <= file->size, "wants %llu to %llu", (unsigned long long)range.begin,
              (unsigned long long)range.end);
        if (++r.wants > 1000) break;
        r.wanted += range.end - range.begin;
        uint64_t begin = range.begin < around ? 0 : range.begin - around,
                 end = file->size - range.end < around ? file->size : range.end + around;
        uint8_t *bytes = sparse_read(file, begin, (size_t)(end - begin));
        counting = 1;
        hc_torch_give(r.torch, begin, bytes, (size_t)(end - begin));
        counting = 0;
        free(bytes);
        counting = 1;
    }
    counting = 0;
    CHECK(r.wants <= 1000, "asks without end");
    return r;
}

static uint64_t fnv1a(const uint8_t *bytes, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* The text of a value, for comparing and printing. */
static const char *text_of(hc_json value, char out[256])
{
    if (value.type == HC_JSON_STRING) hc_json_string(&value, out, 256);
    else snprintf(out, 256, "%.*s", (int)value.length, value.text);
    return out;
}

static int offsets_of(const hc_json *tensor, uint64_t *begin, uint64_t *end)
{
    hc_json offsets = hc_json_get(tensor, "data_offsets"), a = {0}, b = {0};
    const char *cursor = NULL;
    return hc_json_next(&offsets, &cursor, NULL, &a) && hc_json_next(&offsets, &cursor, NULL, &b) &&
           hc_json_unsigned(&a, begin) && hc_json_unsigned(&b, end);
}

static int same_shape(hc_json a, hc_json b, uint64_t *count)
{
    const char *x = NULL, *y = NULL;
    hc_json i, j;
    *count = 1;
    for (;;) {
        int more = hc_json_next(&a, &x, NULL, &i);
        if (more != hc_json_next(&b, &y, NULL, &j)) return 0;
        if (!more) return 1;
        uint64_t n, m;
        if (!hc_json_unsigned(&i, &n) || !hc_json_unsigned(&j, &m) || n != m) return 0;
        *count *= n;
    }
}

/* The values of a tensor with strides in the order of its shape, `count` of them; *n is their bytes. */
static uint8_t *in_order(const uint8_t *span, uint64_t span_bytes, hc_json shape, hc_json strides, uint64_t count,
                         uint64_t *n)
{
    uint64_t dims[8], steps[8], elements = 1;
    int rank = 0;
    hc_json dim, step;
    for (const char *x = NULL, *y = NULL;
         hc_json_next(&shape, &x, NULL, &dim) && hc_json_next(&strides, &y, NULL, &step); rank++) {
        hc_json_unsigned(&dim, &dims[rank]);
        hc_json_unsigned(&step, &steps[rank]);
        elements += (dims[rank] - 1) * steps[rank];
    }
    size_t size = (size_t)(span_bytes / elements);
    uint8_t *ordered = malloc((size_t)count * size);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t rest = i, at = 0;
        for (int d = rank; d--; rest /= dims[d]) at += rest % dims[d] * steps[d];
        memcpy(ordered + i * size, span + at * size, size);
    }
    *n = count * size;
    return ordered;
}

static void check_tensor(const char *name, const sparse_file *file, const hc_json *found, const hc_json *expected)
{
    char a[256], b[256];
    uint64_t begin = 0, end = 0, count;
    CHECK(!strcmp(text_of(hc_json_get(found, "dtype"), a), text_of(hc_json_get(expected, "dtype"), b)),
          "%s: %s, expected %s", name, a, b);
    CHECK(same_shape(hc_json_get(found, "shape"), hc_json_get(expected, "shape"), &count), "%s: another shape", name);
    CHECK(offsets_of(found, &begin, &end) && begin <= end && end <= file->size, "%s: bytes %llu to %llu", name,
          (unsigned long long)begin, (unsigned long long)end);
    hc_json hash = hc_json_get(expected, "fnv1a"), strides = hc_json_get(found, "strides"),
            expected_strides = hc_json_get(expected, "strides");
    uint64_t ignored;
    CHECK(strides.type == expected_strides.type &&
              (strides.type == HC_JSON_ABSENT || same_shape(strides, expected_strides, &ignored)),
          "%s: other strides", name);
    if (hash.type == HC_JSON_ABSENT) {
        CHECK(!strcmp(b, "NEGATED") || !strcmp(b, "CONJUGATED") || end - begin == count, "%s: %llu bytes", name,
              (unsigned long long)(end - begin));
        return;
    }
    uint8_t *bytes = sparse_read(file, begin, (size_t)(end - begin));
    uint64_t n = end - begin;
    if (strides.type == HC_JSON_ARRAY) {
        uint8_t *ordered = in_order(bytes, n, hc_json_get(found, "shape"), strides, count, &n);
        free(bytes);
        bytes = ordered;
    }
    snprintf(a, sizeof a, "%016llx", (unsigned long long)fnv1a(bytes, (size_t)n));
    CHECK(!strcmp(a, text_of(hash, b)), "%s: other bytes, from %llu on", name, (unsigned long long)begin);
    free(bytes);
}

/* The header against the expected listing, both sorted by name. */
static void check_tensors(const char *name, const sparse_file *file, const reading *r, const hc_json *expected)
{
    size_t length;
    const char *header = hc_torch_header(r->torch, &length), *x = NULL, *y = NULL;
    hc_json root, key, value, expected_key, expected_value;
    hc_json_error error = {0};
    CHECK(header && hc_torch_status(r->torch) == HC_OK, "%s: %s", name, hc_torch_message(r->torch));
    if (!header) return;
    int parsed = hc_json_parse(header, length, &root, &error);
    CHECK(parsed && root.type == HC_JSON_OBJECT, "%s: %s at %zu", name, error.reason, error.position);
    if (!parsed) return;
    for (;;) {
        int more = hc_json_next(&root, &x, &key, &value);
        CHECK(more == hc_json_next(expected, &y, &expected_key, &expected_value), "%s: another number of tensors",
              name);
        if (!more) return;
        char a[256], b[256], label[512];
        int same = hc_json_same(&key, &expected_key);
        CHECK(same, "%s: tensor %s, expected %s", name, text_of(key, a), text_of(expected_key, b));
        if (!same) return;
        snprintf(label, sizeof label, "%s, %s", name, text_of(key, a));
        check_tensor(label, file, &value, &expected_value);
    }
}

static void check_failed(const char *name, const reading *r, const char *status, const char *word)
{
    size_t length = 1;
    const char *message = hc_torch_message(r->torch);
    CHECK(!strcmp(hc_status_code(hc_torch_status(r->torch)), status) && strstr(message, word),
          "%s: %s: %s; expected %s: …%s…", name, hc_status_code(hc_torch_status(r->torch)), message, status, word);
    CHECK(!hc_torch_header(r->torch, &length) && length == 0, "%s: a header of a file that failed", name);
}

/* Reads with the n-th allocation failing (0: none). Returns how many were requested. */
static long read_failing(const char *name, const sparse_file *file, long n, hc_status expected)
{
    long before = alive;
    requested = 0;
    fail_in = n;
    reading r = read_sparse(file, 0);
    fail_in = 0;
    if (r.torch)
        CHECK(hc_torch_status(r.torch) == (n ? HC_OUT_OF_MEMORY : expected) && (!n || *hc_torch_message(r.torch)),
              "%s, allocation %ld: %s", name, n, hc_torch_message(r.torch));
    else CHECK(n == 1, "%s: no reader after allocation %ld failed", name, n);
    hc_torch_free(r.torch);
    CHECK(alive == before, "%s: %ld blocks stay after allocation %ld failed", name, alive - before, n);
    return requested;
}

/* A file of the folder, which its name says to be whole or sparse. */
static sparse_file open_golden(const char *name, char **bytes)
{
    char path[256];
    size_t length;
    snprintf(path, sizeof path, FOLDER "%s", name);
    *bytes = read_file(path, &length);
    return strstr(name, ".sparse") ? sparse_parse((uint8_t *)*bytes, length) : sparse_whole(*bytes, length);
}

static void test_golden(void)
{
    size_t length;
    char *text = read_file(FOLDER "expected.json", &length);
    hc_json root, key, value;
    hc_json_error error;
    const char *cursor = NULL;
    int good = 0, bad = 0, parsed = hc_json_parse(text, length, &root, &error);
    CHECK(parsed, "expected.json");
    while (parsed && hc_json_next(&root, &cursor, &key, &value)) {
        char name[256], status[256], word[256], *bytes;
        text_of(key, name);
        sparse_file file = open_golden(name, &bytes);
        hc_json tensors = hc_json_get(&value, "tensors");
        for (uint64_t around = 0; around <= 100000; around = around * 10 + 100) {
            reading r = read_sparse(&file, around);
            if (tensors.type == HC_JSON_OBJECT) check_tensors(name, &file, &r, &tensors);
            else
                check_failed(name, &r, text_of(hc_json_get(&value, "status"), status),
                             text_of(hc_json_get(&value, "word"), word));
            hc_torch_free(r.torch);
        }
        hc_status expected = tensors.type == HC_JSON_OBJECT ? HC_OK : HC_WEIGHTS_FORMAT;
        long count = read_failing(name, &file, 0, expected);
        CHECK(count >= 1, "%s: %ld allocations", name, count);
        for (long n = 1; n <= count; n++) read_failing(name, &file, n, expected);
        good += expected == HC_OK;
        bad += expected != HC_OK;
        free(bytes);
    }
    CHECK(good > 25 && bad > 35, "%d good and %d bad files", good, bad);
    free(text);
}

/* How often a file is asked for anything: requests cost time. */
static void test_wants(void)
{
    static const struct {
        const char *name;
        int wants;
    } cases[] = {
        {"whole.pt", 1},
        {"script-whole.pt", 1}, /* smaller than the end that is taken at once           */
        {"large.sparse", 2},
        {"zip64.sparse", 2},          /* the end; the pickle with the byte order              */
        {"large-streamed.sparse", 4}, /* and local headers: one alone, two that are neighbours */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *bytes;
        sparse_file file = open_golden(cases[i].name, &bytes);
        reading r = read_sparse(&file, 0);
        CHECK(r.wants == cases[i].wants && r.wanted < (131072 + 8192), "%s: %d wants, %llu bytes", cases[i].name,
              r.wants, (unsigned long long)r.wanted);
        hc_torch_free(r.torch);
        free(bytes);
    }
}

/* ---- towers --------------------------------------------------------------------------------------------------------
 */

/* Loads a tower from a file with this directory. */
static hc_encoder *load_tower(hc_tower tower, const char *config, const char *header, size_t length, const char *file,
                              outcome *end)
{
    hc_loader *loader = hc_loader_new(tower, config, strlen(config), HC_INT8);
    hc_loader_directory(loader, header, length);
    const hc_range *ranges = hc_loader_ranges(loader, &end->ranges);
    for (size_t i = 0; i < end->ranges; i++)
        hc_loader_push(loader, ranges[i].begin, file + ranges[i].begin, (size_t)(ranges[i].end - ranges[i].begin));
    hc_encoder *encoder = hc_loader_finish(loader);
    end->status = hc_loader_status(loader);
    snprintf(end->message, sizeof end->message, "%s", hc_loader_message(loader));
    hc_loader_free(loader);
    return encoder;
}

/* A tower of a PyTorch file is that of the safetensors file with the same weights. */
static void test_tower(const char *name, hc_tower tower)
{
    char *file_bytes;
    size_t length;
    outcome end;
    bytes safetensors = golden_tower("no-ln-pre", ".safetensors"), config = golden_tower("no-ln-pre", ".json");
    hc_encoder *expected = load_bytes(tower, safetensors, (char *)config.data, HC_INT8, 1000, 1, &end);
    sparse_file file = open_golden(name, &file_bytes);
    reading r = read_sparse(&file, 0);
    const char *header = hc_torch_header(r.torch, &length);
    hc_encoder *encoder = load_tower(tower, (char *)config.data, header, length, file_bytes, &end);
    CHECK(encoder, "%s: %s", name, end.message);
    bytes a = shard_of(encoder), b = shard_of(expected);
    CHECK(same_bytes(a, b), "%s: another tower", name);
    hc_encoder_free(encoder);

    /* The patch embedding negated: the text tower does not mind, the image tower says which tensor it is. */
    static const char plain[] = "\"visual.conv1.weight\":{\"dtype\":\"F16\"",
                      changed[] = "\"visual.conv1.weight\":{\"dtype\":\"NEGATED\"";
    bytes other = {NULL, 0};
    const char *at = header;
    while (memcmp(at, plain, sizeof plain - 1)) at++;
    append_bytes(&other, header, (size_t)(at - header));
    append_bytes(&other, changed, sizeof changed - 1);
    at += sizeof plain - 1;
    append_bytes(&other, at, (size_t)(header + length - at));
    encoder = load_tower(tower, (char *)config.data, (char *)other.data, other.size, file_bytes, &end);
    CHECK(tower == HC_TEXT ? encoder != NULL
                           : !encoder && strstr(end.message, "visual.conv1.weight") && strstr(end.message, "NEGATED"),
          "%s: %s", name, end.message);
    hc_encoder_free(encoder);

    hc_encoder_free(expected);
    hc_torch_free(r.torch);
    free(other.data);
    free(a.data);
    free(b.data);
    free(file_bytes);
    free(safetensors.data);
    free(config.data);
}

/* ---- damage --------------------------------------------------------------------------------------------------------
 */

static void test_cut(void)
{
    char *bytes;
    sparse_file whole = open_golden("fp32.pt", &bytes);
    CHECK(whole.size > 1000, "fp32.pt");
    for (uint64_t size = 0; size < whole.size; size++) {
        char *cut = malloc(size + !size); /* of just that size, for AddressSanitizer */
        memcpy(cut, bytes, size);
        sparse_file file = sparse_whole(cut, size);
        reading r = read_sparse(&file, 0);
        check_failed("a cut file", &r, size < 4 ? "weights/format" : "weights/truncated", size ? "" : "empty");
        hc_torch_free(r.torch);
        free(cut);
    }
    /* Its size is known, its end does not come. */
    hc_range range;
    hc_torch *torch = hc_torch_new(whole.size);
    CHECK(hc_torch_want(torch, &range) && range.begin == 0 && range.end == whole.size, "wants something else");
    CHECK(hc_torch_give(torch, 0, bytes, whole.size - 1) == HC_WEIGHTS_TRUNCATED && !hc_torch_want(torch, &range), "%s",
          hc_torch_message(torch));
    CHECK(hc_torch_give(torch, 0, bytes, whole.size) == HC_WEIGHTS_TRUNCATED, "goes on after a failure");
    hc_torch_free(torch);
    torch = hc_torch_new(whole.size);
    CHECK(hc_torch_give(torch, 1, bytes + 1, whole.size - 1) == HC_WEIGHTS_TRUNCATED, "takes bytes from elsewhere");
    hc_torch_free(torch);
    hc_torch_free(NULL);
    free(bytes);
}

/* A file with any one byte changed is read or refused; what is read lies within it. */
static void test_flipped(const char *name)
{
    char *bytes;
    sparse_file file = open_golden(name, &bytes);
    int read = 0, refused = 0;
    for (size_t i = 0; i < file.size; i++) {
        char kept = bytes[i];
        bytes[i] = (char)(kept ^ (i % 3 == 0 ? 0xff : i % 3 == 1 ? 0x80 : 1));
        reading r = read_sparse(&file, 0);
        size_t length;
        const char *header = hc_torch_header(r.torch, &length), *cursor = NULL;
        hc_json root, value;
        hc_json_error error;
        if (header) {
            uint64_t begin, end;
            CHECK(hc_json_parse(header, length, &root, &error), "byte %zu of %s", i, name);
            while (hc_json_next(&root, &cursor, NULL, &value))
                CHECK(offsets_of(&value, &begin, &end) && begin <= end && end <= file.size, "byte %zu of %s", i, name);
        } else {
            CHECK(hc_torch_status(r.torch) != HC_OK && *hc_torch_message(r.torch), "byte %zu of %s", i, name);
        }
        read += header != NULL;
        refused += !header;
        hc_torch_free(r.torch);
        bytes[i] = kept;
    }
    CHECK(read > 100 && refused > 100, "%s: %d read, %d refused", name, read, refused);
    free(bytes);
}

static void put(uint8_t *out, uint64_t number, int n)
{
    for (int i = 0; i < n; i++) out[i] = (uint8_t)(number >> 8 * i);
}

/* An end record alone, after a lot of nothing. */
static void test_end(const char *name, uint64_t file_size, uint64_t count, uint64_t size, uint64_t begin,
                     const char *word)
{
    uint8_t end[22] = "PK\5\6";
    put(end + 10, count, 2);
    put(end + 12, size, 4);
    put(end + 16, begin, 4);
    sparse_file file = {.pieces = {{file_size - sizeof end, end, sizeof end}}, .count = 1, .size = file_size};
    reading r = read_sparse(&file, 0);
    check_failed(name, &r, "weights/format", word);
    hc_torch_free(r.torch);
}

static void test_ends(void)
{
    test_end("a directory before its place", 10022, 1, 100, 0, "directory is said");
    test_end("a directory beyond the file", 10022, 1, 100, 99990, "directory is said");
    test_end("a directory longer than the file", 10022, 1, 4000000000u, 0, "directory is said");
    test_end("too many entries", 10022, 65535, 100, 9900, "directory is said");
    test_end("a directory of zeros", 10022, 1, 100, 9900, "damaged");
    test_end("a directory of zeros, not at hand", 1000022, 1, 500000, 500000, "damaged");
    test_end("a directory that is not empty", 10022, 0, 100, 9900, "more than its");
    test_end("a directory larger than any", 400000022, 1, 300000000, 100000000, "at most");
}

int main(void)
{
    test_golden();
    test_wants();
    for (int tower = HC_IMAGE; tower <= HC_TEXT; tower++) {
        test_tower("whole.pt", (hc_tower)tower);
        test_tower("script-whole.pt", (hc_tower)tower);
        test_tower("strided.pt", (hc_tower)tower);
    }
    test_cut();
    test_flipped("fp32.pt");
    test_flipped("zip-streamed-zip64.pt");
    test_flipped("script-half.pt");
    test_flipped("lazy.pt");
    test_ends();
    CHECK(alive == 0, "%ld blocks stay", alive);
    return check_result("torch");
}
