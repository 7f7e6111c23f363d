/* test_safetensors.c: headers that are right, headers that lie, and files that are something else. */
#include "check.h"
#include "checkpoint/safetensors.h"

#include <stdlib.h>
#include <string.h>

static hc_status parse(hc_safetensors *file, const char *header, char message[512])
{
    message[0] = '\0';
    hc_problem problem = {.status = HC_OK};
    hc_safetensors_parse(file, header, strlen(header), &problem);
    memcpy(message, problem.message, sizeof problem.message);
    return problem.status;
}

static void test_good(void)
{
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\",\"a\":\"{\\\"b\\\":1}\"}, \"b\": "
        "{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[2,26]},"
        "\"a.b\":{\"shape\":[],\"data_offsets\":[0,2],\"dtype\":\"BF16\"},\"none\":{\"dtype\":\"F16\",\"shape\":[4,0],"
        "\"data_offsets\":[26,26]},"
        "\"\\u00e9\":{\"dtype\":\"I64\",\"shape\":[1,1,1,1,1,2],\"data_offsets\":[26,42],\"extra\":null}}  ";
    hc_safetensors file;
    char message[512];
    uint32_t shape[HC_MOST_RANK];
    CHECK(parse(&file, header, message) == HC_OK, "%s", message);
    uint64_t data = 8 + strlen(header);
    CHECK(file.count == 4 && file.file_size == data + 42, "%zu tensors, %llu bytes", file.count,
          (unsigned long long)file.file_size);
    const hc_file_tensor *b = hc_safetensors_find(&file, "b"), *scalar = hc_safetensors_find(&file, "a.b"),
                         *none = hc_safetensors_find(&file, "none");
    const hc_file_tensor *wide = hc_safetensors_find(&file, "\xC3\xA9");
    CHECK(b && b->element == HC_F32 && b->begin == data + 2 && b->end == data + 26 &&
              hc_safetensors_shape(b, shape) == 2 && shape[0] == 2 && shape[1] == 3,
          "b");
    CHECK(scalar && scalar->element == HC_BF16 && hc_safetensors_shape(scalar, shape) == 0, "a scalar");
    CHECK(none && none->begin == none->end, "an empty tensor");
    CHECK(wide && wide->element == HC_OTHER && hc_safetensors_shape(wide, shape) == -1,
          "an escaped name, six dimensions");
    CHECK(!hc_safetensors_find(&file, "a") && !hc_safetensors_find(&file, "zz") &&
              !hc_safetensors_find(&file, "__metadata__"),
          "names that are not there");
    hc_json value = hc_json_get(&file.metadata, "a");
    CHECK(hc_json_is(&value, "{\"b\":1}"), "metadata");
    hc_safetensors_free(&file);
    CHECK(parse(&file, "{}", message) == HC_OK && file.count == 0 && file.file_size == 10 &&
              !hc_safetensors_find(&file, "a"),
          "no tensors");
    hc_safetensors_free(&file);
}

static void test_types(void)
{
    static const struct {
        const char *name;
        int bits;
    } types[] = {
        {"F64", 64},    {"F32", 32},    {"F16", 16}, {"BF16", 16},   {"I64", 64},    {"I32", 32}, {"I16", 16},
        {"I8", 8},      {"U64", 64},    {"U32", 32}, {"U16", 16},    {"U8", 8},      {"BOOL", 8}, {"F8_E4M3", 8},
        {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"C64", 64},
    };
    hc_safetensors file;
    char header[128], message[512];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int off = 0; off < 2; off++) {
            snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}",
                     types[i].name, types[i].bits / 2 + off);
            hc_status status = parse(&file, header, message);
            CHECK(status == (off ? HC_WEIGHTS_FORMAT : HC_OK), "%s: %s", header, message);
            hc_safetensors_free(&file);
        }
}

#define TENSOR(name, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void test_lies(void)
{
    static const struct {
        const char *header, *word;
    } cases[] = {
        {"", "JSON"},
        {"{", "JSON"},
        {"[]", "object"},
        {"{\"a\":1}", "dtype"},
        {"{\"a\":[2]}", "dtype"},
        {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}", "dtype"},
        {"{\"a\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,4]}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,4]}}", "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", "data_offsets"},
        {"{" TENSOR("a", "[-1]", "0", "4") "}", "shape"},
        {"{" TENSOR("a", "[1.0]", "0", "4") "}", "shape"},
        {"{" TENSOR("a", "[1]", "0", "4.0") "}", "data_offsets"},
        {"{" TENSOR("a", "[1]", "0,4", "4") "}", "data_offsets"},
        {"{" TENSOR("a", "[1]", "-4", "0") "}", "data_offsets"},
        {"{" TENSOR("a", "[1]", "0", "99999999999999999999") "}", "data_offsets"},
        {"{" TENSOR("a", "[2]", "0", "4") "}", "size"},
        {"{" TENSOR("a", "[1]", "4", "0") "}", "ends before"},
        {"{" TENSOR("a", "[4294967296,4294967296]", "0", "0") "}", "overflow"},
        {"{" TENSOR("a", "[4611686018427387904]", "0", "0") "}", "overflow"},
        {"{" TENSOR("a", "[0,4294967296,4294967296]", "0", "4") "}", "overflow"},
        {"{" TENSOR("a", "[1]", "4", "8") "}", "begins at byte 4"},
        {"{" TENSOR("a", "[1]", "0", "4") "," TENSOR("b", "[1]", "8", "12") "}", "tensor b begins at byte 8"},
        {"{" TENSOR("a", "[2]", "0", "8") "," TENSOR("b", "[1]", "4", "8") "}", "tensor b begins at byte 4"},
        {"{" TENSOR("a", "[1]", "0", "4") "," TENSOR("b", "[1]", "0", "4") "}", "begins at byte 0"},
        {"{" TENSOR("a", "[1]", "0", "4") "," TENSOR("a", "[1]", "4", "8") "}", "twice"},
        {"{" TENSOR("a", "[1]", "0", "4") "," TENSOR("\\u0061", "[1]", "4", "8") "}", "twice"},
        {"{\"__metadata__\":1}", "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", "strings"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "__metadata__"},
    };
    hc_safetensors file;
    char message[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hc_status status = parse(&file, cases[i].header, message);
        CHECK(status == HC_WEIGHTS_FORMAT && strstr(message, cases[i].word), "%s: %s \"%s\"", cases[i].header,
              hc_status_code(status), message);
        CHECK(!file.tensors, "nothing is kept after %s", cases[i].header);
    }
}

/* Eight tensors that are each almost 2^61 bytes. */
static void test_end_beyond_64_bits(void)
{
    const uint64_t each = ((uint64_t)1 << 61) - 1;
    char header[1024] = "{", message[512];
    for (uint64_t i = 0; i < 8; i++)
        snprintf(header + strlen(header), sizeof header - strlen(header),
                 "%s\"t%d\":{\"dtype\":\"I8\",\"shape\":[%llu],\"data_offsets\":[%llu,%llu]}", i ? "," : "", (int)i,
                 (unsigned long long)each, (unsigned long long)(i * each), (unsigned long long)((i + 1) * each));
    strcat(header, "}");
    hc_safetensors file;
    CHECK(parse(&file, header, message) == HC_WEIGHTS_FORMAT && strstr(message, "64 bits"), "%s", message);
}

static void test_many(void)
{
    enum { COUNT = 3000 };
    char *header = calloc(COUNT, 96), message[512], name[32];
    size_t length = 1;
    header[0] = '{';
    for (int i = 0; i < COUNT; i++) {
        int place = (int)((unsigned)i * 1231 % COUNT);
        length +=
            (size_t)sprintf(header + length, "%s\"t%d\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                            i ? "," : "", place, place, place + 1);
    }
    header[length] = '}';
    hc_safetensors file;
    CHECK(parse(&file, header, message) == HC_OK && file.count == COUNT, "%s", message);
    for (int i = 0; i < COUNT; i++) {
        sprintf(name, "t%d", i);
        const hc_file_tensor *t = hc_safetensors_find(&file, name);
        CHECK(t && t->begin == 8 + strlen(header) + (size_t)i, "%s", name);
    }
    hc_safetensors_free(&file);
    free(header);
}

/* A text that grows. */
typedef struct text {
    char *at;
    size_t length, room;
} text;

static void put(text *t, const char *piece, size_t n)
{
    if (t->length + n + 1 > t->room) {
        t->room = 2 * t->room + n + 1024;
        t->at = realloc(t->at, t->room);
        if (!t->at) exit(1);
    }
    memcpy(t->at + t->length, piece, n);
    t->length += n;
    t->at[t->length] = '\0';
}

/* A header of so many tensors, whose names end in `length` times x, and so many entries of metadata. */
static char *make_header(int tensors, size_t length, int metadata)
{
    text t = {NULL, 0, 0};
    char *tail = malloc(length + 1), piece[128];
    if (!tail) exit(1);
    memset(tail, 'x', length);
    put(&t, "{\"__metadata__\":{", 17);
    for (int i = 0; i < metadata; i++) put(&t, piece, (size_t)sprintf(piece, "%s\"%d\":\"\"", i ? "," : "", i));
    put(&t, "}", 1);
    for (int i = 0; i < tensors; i++) {
        put(&t, piece, (size_t)sprintf(piece, ",\"%d", i));
        put(&t, tail, length);
        put(&t, piece,
            (size_t)sprintf(piece, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i, i + 1));
    }
    put(&t, "}", 1);
    free(tail);
    return t.at;
}

/* As many parts as there may be, and one more of each. */
static void test_limits(void)
{
    static const struct {
        int tensors;
        size_t length;
        int metadata;
        const char *wrong;
    } cases[] = {
        {HC_SAFETENSORS_MOST_TENSORS, 0, HC_SAFETENSORS_MOST_METADATA, NULL},
        {HC_SAFETENSORS_MOST_TENSORS + 1, 0, 0, "more than 20000 tensors"},
        {1, 0, HC_SAFETENSORS_MOST_METADATA + 1, "more than 10000 entries"},
        {40, 16000, 0, NULL},
        {1, 4000000, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hc_safetensors file;
        char message[512] = "", *header = make_header(cases[i].tensors, cases[i].length, cases[i].metadata);
        hc_status status = parse(&file, header, message);
        CHECK(status == (cases[i].wrong ? HC_WEIGHTS_FORMAT : HC_OK), "case %zu: %s", i, message);
        if (cases[i].wrong) CHECK(strstr(message, cases[i].wrong) != NULL, "%s", message);
        else
            CHECK(file.count == (size_t)cases[i].tensors && !hc_safetensors_find(&file, "0") == (cases[i].length > 0),
                  "%zu tensors", file.count);
        if (status == HC_OK) hc_safetensors_free(&file);
        free(header);
    }
    hc_safetensors file;
    char message[512] = "", header[512] = "{\"t\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":[1";
    for (int i = 0; i < HC_SAFETENSORS_MOST_DIMENSIONS; i++) strcat(header, ",1");
    strcat(header, "]}}");
    CHECK(parse(&file, header, message) == HC_WEIGHTS_FORMAT && strstr(message, "more than 64 dimensions"), "%s",
          message);
}

static void test_guess(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *word;
    } cases[] = {
        {"<!DOCTYP", 8, "HTML"},
        {"\n <html>", 8, "HTML"},
        {"\xEF\xBB\xBF<html", 8, "HTML"},
        {"<?xml ve", 8, "XML"},
        {"PK\3\4\0\0\0\0", 8, "PyTorch"},
        {"\x80\2\x8A\nl\xFC\x9C\x46", 8, "pickle"},
        {"\0\0\0\0\0\0\0\0", 8, "zeros"},
        {"version ", 8, "Git LFS"},
        {"\x1F\x8B\x08\0\0\0\0\0", 8, "gzip"},
        {"GGUF\3\0\0\0", 8, "GGUF"},
        {"\x08\x07\x12\x07pytor", 8, "ONNX"},
        {"{\"error\"", 8, "JSON"},
        {"\x89HDF\r\n\x1A\n", 8, "HDF5"},
        {"\x93NUMPY\1\0", 8, "NumPy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *guess = hc_safetensors_guess(cases[i].bytes, cases[i].n);
        CHECK(guess && strstr(guess, cases[i].word), "%s: %s", cases[i].word, guess ? guess : "nothing");
    }
    CHECK(!hc_safetensors_guess("\x40\0\0\0\0\0\0\0{", 8) && !hc_safetensors_guess("", 0), "no guess");
}

int main(void)
{
    test_good();
    test_types();
    test_lies();
    test_end_beyond_64_bits();
    test_many();
    test_limits();
    test_guess();
    return check_result("safetensors");
}
