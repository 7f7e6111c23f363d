/* test_preprocess.c: hc_preprocess against OpenCLIP's transform, byte for byte (tests/golden/pixels, made by
 * weights-tools/golden_pixels.py), its vector code against plain loops, its errors, and memory that runs out. */
#include "halfclip.h"
#include "base/size.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

/* A second copy of the sources, with plain loops for the passes and with allocations that fail when told to. */
static int mallocs_left = -1;

static int fails(void)
{
    if (mallocs_left > 0) mallocs_left--;
    return mallocs_left == 0;
}

#define hc_axis_make                   scalar_axis_make
#define hc_window_make                 scalar_window_make
#define hc_nearest_make                scalar_nearest_make
#define hc_pixels_opaque               scalar_pixels_opaque
#define hc_pixels_premultiply          scalar_pixels_premultiply
#define hc_pixels_to_rgb               scalar_pixels_to_rgb
#define hc_pass_horizontal             scalar_pass_horizontal
#define hc_pass_horizontal_rows        scalar_pass_horizontal_rows
#define hc_pass_vertical               scalar_pass_vertical
#define hc_resizer                     scalar_resizer
#define hc_resizer_new                 scalar_resizer_new
#define hc_resizer_push                scalar_resizer_push
#define hc_resizer_free                scalar_resizer_free
#define hc_preprocessor                scalar_preprocessor
#define hc_preprocessor_new            scalar_preprocessor_new
#define hc_preprocessor_push           scalar_preprocessor_push
#define hc_preprocessor_finish         scalar_preprocessor_finish
#define hc_preprocessor_free           scalar_preprocessor_free
#define hc_preprocess                  scalar_preprocess
#define hc_allocate(count, size)       (fails() ? NULL : hc_allocate(count, size))
#define hc_allocate_zeros(count, size) (fails() ? NULL : hc_allocate_zeros(count, size))
typedef struct scalar_preprocessor scalar_preprocessor;
scalar_preprocessor *scalar_preprocessor_new(const hc_preprocess_cfg *cfg, const hc_picture *picture,
                                             hc_status *status);
void scalar_preprocessor_push(scalar_preprocessor *p, const uint8_t *rows, int count);
hc_status scalar_preprocessor_finish(const scalar_preprocessor *p, float *out);
void scalar_preprocessor_free(scalar_preprocessor *p);
hc_status scalar_preprocess(const hc_preprocess_cfg *cfg, const uint8_t *data, int width, int height, int channels,
                            float *out);
#include "picture/preprocess.c"
#include "picture/pixels.c"
#include "picture/resize.c"
#include "picture/windows.c"
#include "scalar_passes.h"
#undef hc_allocate
#undef hc_allocate_zeros
#undef hc_preprocessor
#undef hc_preprocessor_new
#undef hc_preprocessor_push
#undef hc_preprocessor_finish
#undef hc_preprocessor_free
#undef hc_preprocess
#undef hc_resizer
#undef hc_resizer_new
#undef hc_resizer_push
#undef hc_resizer_free

typedef hc_status preprocess(const hc_preprocess_cfg *, const uint8_t *, int, int, int, float *);

static preprocess *const variants[] = {hc_preprocess, scalar_preprocess};

/* The pictures of golden_pixels.py. */
static uint8_t *picture(const char *kind, uint32_t seed, uint32_t width, uint32_t height, uint32_t channels)
{
    uint8_t *data = malloc((size_t)width * height * channels), *p = data;
    if (!data) abort();
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++) {
                uint32_t v;
                if (!strcmp(kind, "smooth")) {
                    v = (x * (c + 1) * 255 / width + y * (4 - c) * 255 / height + seed) & 511;
                    v = v > 255 ? 511 - v : v;
                } else if (!strcmp(kind, "edges")) {
                    v = ((((x / (c + 2)) ^ (y / (c + 3))) + seed) & 1) * 255;
                } else {
                    v = x * 374761393u + y * 668265263u + c * 2246822519u + seed * 3266489917u;
                    v = (v ^ v >> 13) * 1274126177u;
                    v ^= v >> 16;
                    if (c == 3 && !strcmp(kind, "opaque")) v = 255;
                }
                *p++ = (uint8_t)v;
            }
    return data;
}

static hc_preprocess_cfg config(int height, int width, hc_resize_mode mode, hc_filter filter, int fill)
{
    hc_preprocess_cfg cfg = {.height = height,
                             .width = width,
                             .std = {1, 1, 1},
                             .interpolation = filter,
                             .resize_mode = mode,
                             .fill_color = fill};
    return cfg;
}

/* The bytes [height, width, 3] that the floats came from; counts a failure if one came from no byte. */
static uint8_t *bytes_of(const float *pixels, size_t area)
{
    uint8_t *bytes = malloc(area * 3);
    size_t strange = 0;
    for (size_t i = 0; i < area * 3; i++) {
        float v = pixels[i % 3 * area + i / 3];
        long byte = lrintf(v * 255);
        strange += byte < 0 || byte > 255 || v != (float)byte / 255.0f;
        bytes[i] = (uint8_t)byte;
    }
    CHECK(strange == 0, "%zu values are not n/255", strange);
    return bytes;
}

static uint64_t fnv1a(const uint8_t *bytes, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

static int index_of(const char *name, const char *const names[3])
{
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) return i;
    CHECK(0, "no such name: %s", name);
    return 0;
}

static int hex_byte(const char *hex)
{
    int byte = -1;
    sscanf(hex, "%2x", (unsigned *)&byte);
    return byte;
}

/* Calls `test` with each line of a golden file and returns how many there were. */
static int each_line(const char *path, void (*test)(const char *line))
{
    static char line[65536];
    int count = 0;
    FILE *file = fopen(path, "r");
    CHECK(file, "cannot open %s: run from the root of the repository", path);
    while (file && fgets(line, sizeof line, file))
        if (line[0] != '#') {
            test(line);
            count++;
        }
    if (file) fclose(file);
    return count;
}

/* A line of cases.txt (16 hex digits at its end: a hash) or pixels.txt (the bytes). */
static void test_case(const char *line)
{
    static const char *const modes[3] = {"shortest", "longest", "squash"}, *const filters[3] = {"bicubic", "bilinear",
                                                                                                "lanczos"};
    char kind[16], mode[16], filter[16];
    unsigned seed;
    int width, height, channels, target_height, target_width, fill, used = 0;
    int read = sscanf(line, "%15s %u %d %d %d %d %d %15s %15s %d %n", kind, &seed, &width, &height, &channels,
                      &target_height, &target_width, mode, filter, &fill, &used);
    CHECK(read == 10 && used, "cannot read: %s", line);
    if (read != 10 || !used) return;
    const char *expected = line + used;
    const size_t digits = strcspn(expected, "\n"), area = (size_t)target_height * (size_t)target_width;
    hc_preprocess_cfg cfg = config(target_height, target_width, (hc_resize_mode)index_of(mode, modes),
                                   (hc_filter)index_of(filter, filters), fill);
    uint8_t *data = picture(kind, seed, (uint32_t)width, (uint32_t)height, (uint32_t)channels);
    for (size_t variant = 0; variant < 2; variant++) {
        float *out = malloc(area * 3 * sizeof *out);
        for (size_t i = 0; i < area * 3; i++) out[i] = NAN;
        hc_status status = variants[variant](&cfg, data, width, height, channels, out);
        CHECK(status == HC_OK, "status %d: %s", status, line);
        uint8_t *bytes = bytes_of(out, area);
        if (digits == 16) {
            CHECK(fnv1a(bytes, area * 3) == strtoull(expected, NULL, 16), "variant %zu differs: %s", variant, line);
        } else {
            CHECK(digits == area * 6, "%zu digits: %s", digits, line);
            for (size_t i = 0; i < area * 3 && digits == area * 6; i++)
                CHECK(bytes[i] == hex_byte(expected + i * 2), "variant %zu, byte %zu is %d: %.60s", variant, i,
                      bytes[i], line);
        }
        free(bytes);
        free(out);
    }
    free(data);
}

/* A line of modes.txt; the rows are handed in by ones, threes, fives and sevens. */
static void test_mode(const char *line)
{
    static const char *const modes[3] = {"shortest", "longest", "squash"}, *const filters[3] = {"bicubic", "bilinear",
                                                                                                "lanczos"};
    char pil_mode[8], kind[16], mode[16], filter[16];
    unsigned seed;
    int orientation, width, height, target_height, target_width, fill, used = 0;
    int read = sscanf(line, "%7s %d %15s %u %d %d %*d %d %d %15s %15s %d %n", pil_mode, &orientation, kind, &seed,
                      &width, &height, &target_height, &target_width, mode, filter, &fill, &used);
    CHECK(read == 11 && used, "cannot read: %s", line);
    if (read != 11 || !used) return;
    const int bits = !strcmp(pil_mode, "1"), indexed = bits || !strcmp(pil_mode, "P");
    hc_picture source = {.width = width,
                         .height = height,
                         .orientation = orientation,
                         .mode = indexed                     ? HC_PALETTE
                                 : !strcmp(pil_mode, "CMYK") ? HC_CMYK
                                 : !strcmp(pil_mode, "RGBA") ? HC_RGBA
                                                             : HC_RGB};
    const int channels = indexed ? 1 : source.mode == HC_RGB ? 3 : 4;
    const size_t area = (size_t)target_height * (size_t)target_width, row = (size_t)(width * channels);
    uint8_t *data = picture(kind, seed, (uint32_t)width, (uint32_t)height, (uint32_t)channels);
    uint8_t *palette = bits ? malloc(768) : picture("noise", 99, 16, 16, 3);
    if (bits) {
        memset(palette, 255, 768);
        memset(palette, 0, 3);
        for (size_t i = 0; i < row * (size_t)height; i++) data[i] &= 1;
    }
    source.palette = palette;
    hc_preprocess_cfg cfg = config(target_height, target_width, (hc_resize_mode)index_of(mode, modes),
                                   (hc_filter)index_of(filter, filters), fill);
    float *out = malloc(area * 3 * sizeof *out);
    for (int step = 1; step <= 7; step += 2) {
        hc_status status;
        hc_preprocessor *p = hc_preprocessor_new(&cfg, &source, &status);
        CHECK(p && status == HC_OK, "status %d: %s", status, line);
        CHECK(hc_preprocessor_finish(p, out) == HC_INPUT_SIZE, "rows are missing: %s", line);
        for (int y = 0; y < height; y += step)
            hc_preprocessor_push(p, data + (size_t)y * row, y + step > height ? height - y : step);
        hc_preprocessor_push(p, data, 1);
        CHECK(hc_preprocessor_finish(p, out) == HC_OK, "%s", line);
        hc_preprocessor_free(p);
        uint8_t *bytes = bytes_of(out, area);
        CHECK(fnv1a(bytes, area * 3) == strtoull(line + used, NULL, 16), "by %d differs: %s", step, line);
        free(bytes);
    }
    free(out);
    free(palette);
    free(data);
}

/* A line of normalize.txt: every value of a byte under one mean and standard deviation. */
static void test_normalize(const char *line)
{
    hc_preprocess_cfg cfg = config(16, 16, HC_SHORTEST, HC_BICUBIC, 0);
    uint8_t data[256 * 3];
    float out[3 * 256];
    char *p = (char *)line;
    for (int c = 0; c < 3; c++) cfg.mean[c] = (float)strtod(p, &p);
    for (int c = 0; c < 3; c++) cfg.std[c] = (float)strtod(p, &p);
    for (int i = 0; i < 256 * 3; i++) data[i] = (uint8_t)(i / 3);
    CHECK(hc_preprocess(&cfg, data, 16, 16, 3, out) == HC_OK, "%.60s", line);
    for (int i = 0; i < 3 * 256; i++) {
        uint32_t bits, expected = (uint32_t)strtoul(p, &p, 16);
        memcpy(&bits, &out[i], 4);
        CHECK(bits == expected, "value %d is %08x, expected %08x", i, bits, expected);
    }
}

/* Sizes that Pillow cannot hold in memory, or that OpenCLIP refuses: a plain colour stays that colour. */
static void test_strips(void)
{
    static const int sizes[][2] = {{20000, 1}, {1, 20000}, {20000, 2}, {2, 20000}};
    for (size_t i = 0; i < 4; i++)
        for (int mode = 0; mode < 3; mode++)
            for (int channels = 3; channels <= 4; channels++) {
                const int width = sizes[i][0], height = sizes[i][1], target = 224;
                const size_t n = (size_t)(width * height * channels), area = (size_t)(target * target);
                hc_preprocess_cfg cfg = config(target, target, (hc_resize_mode)mode, HC_BICUBIC, 51);
                uint8_t *data = malloc(n);
                float *out = malloc(area * 3 * sizeof *out);
                memset(data, 255, n);
                CHECK(hc_preprocess(&cfg, data, width, height, channels, out) == HC_OK, "%d x %d", width, height);
                size_t white = 0, border = 0;
                for (size_t j = 0; j < area; j++) {
                    white += out[j] == 1.0f;
                    border += out[j] == 51 / 255.0f;
                }
                /* One line is left of a strip that is fitted by its longest side. */
                CHECK(white == (mode == HC_LONGEST ? (size_t)target : area) && white + border == area,
                      "%d x %d, mode %d: %zu white, %zu border", width, height, mode, white, border);
                free(out);
                free(data);
            }
}

/* The vectors against the plain loops, on sizes around the width of a vector. */
static void test_variants(void)
{
    uint32_t state = 1;
    for (int round = 0; round < 1500; round++) {
        int v[9];
        for (int i = 0; i < 9; i++) {
            state = state * 1664525u + 1013904223u;
            v[i] = (int)(state >> 16);
        }
        const int width = 1 + v[0] % 40, height = 1 + v[1] % (v[8] % 4 ? 40 : 200), channels = 3 + v[2] % 2;
        hc_preprocess_cfg cfg =
            config(1 + v[3] % 24, 1 + v[4] % 24, (hc_resize_mode)(v[5] % 3), (hc_filter)(v[6] % 3), v[7] % 256);
        const size_t n = (size_t)(cfg.width * cfg.height * 3);
        uint8_t *data = picture("noise", (uint32_t)round, (uint32_t)width, (uint32_t)height, (uint32_t)channels);
        float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
        CHECK(hc_preprocess(&cfg, data, width, height, channels, a) == HC_OK, "round %d", round);
        CHECK(scalar_preprocess(&cfg, data, width, height, channels, b) == HC_OK, "round %d", round);
        CHECK(!memcmp(a, b, n * sizeof *a), "round %d: %d x %d x %d", round, width, height, channels);
        free(b);
        free(a);
        free(data);
    }
}

/* The same on pictures that shrink as photographs do, under each filter and in both orders of the passes. */
static void test_shrinking(void)
{
    static const char *const kinds[] = {"smooth", "edges", "noise"};
    static const int sizes[][2] = {{700, 500}, {230, 1100}};
    for (int i = 0; i < 36; i++) {
        const int width = sizes[i % 2][0], height = sizes[i % 2][1], channels = 3 + i / 2 % 2;
        hc_preprocess_cfg cfg = config(64, 64, HC_SHORTEST, (hc_filter)(i / 4 % 3), 0);
        uint8_t *data = picture(kinds[i / 12], 7, (uint32_t)width, (uint32_t)height, (uint32_t)channels);
        float a[3 * 64 * 64], b[3 * 64 * 64];
        CHECK(hc_preprocess(&cfg, data, width, height, channels, a) == HC_OK, "round %d", i);
        CHECK(scalar_preprocess(&cfg, data, width, height, channels, b) == HC_OK, "round %d", i);
        CHECK(!memcmp(a, b, sizeof a), "%s, %d x %d x %d", kinds[i / 12], width, height, channels);
        free(data);
    }
}

/* Pillow takes the sine from the C library. Weights are rounded to 2^-22, so an error of 1e-15 would hardly ever show.
 */
static void test_sine(void)
{
    double worst = 0;
    for (int i = -300000; i <= 300000; i++) {
        double x = i * (3 * 3.14159265358979323846 / 300000), error = fabs(sine(x) - sin(x));
        worst = error > worst ? error : worst;
    }
    CHECK(worst < 2.5e-16, "off by %g", worst);
}

static void test_errors(void)
{
    hc_preprocess_cfg cfg = config(8, 8, HC_SHORTEST, HC_BICUBIC, 0);
    uint8_t data[4 * 4 * 4] = {0};
    float out[3 * 8 * 8];
    static const int bad[][2] = {{0, 4}, {4, 0}, {-1, 4}, {4, -1}, {20001, 4}, {4, 20001}};
    for (size_t i = 0; i < 6; i++)
        CHECK(hc_preprocess(&cfg, data, bad[i][0], bad[i][1], 3, out) == HC_INPUT_SIZE, "%d x %d", bad[i][0],
              bad[i][1]);
    CHECK(hc_preprocess(&cfg, data, 4, 4, 2, out) == HC_INPUT_TYPE, "two channels");
    CHECK(hc_preprocess(&cfg, data, 4, 4, 5, out) == HC_INPUT_TYPE, "five channels");
    CHECK(hc_preprocess(&cfg, data, 4, 4, 4, out) == HC_OK, "four channels");
    for (int orientation = 0; orientation <= 9; orientation += 9) {
        hc_picture turned = {.width = 4, .height = 4, .orientation = orientation};
        hc_status status;
        CHECK(!hc_preprocessor_new(&cfg, &turned, &status) && status == HC_INPUT_TYPE, "orientation %d", orientation);
    }
    cfg.std[1] = 0;
    CHECK(hc_preprocess(&cfg, data, 4, 4, 3, out) == HC_MODEL_CONFIG, "a division by zero");
    cfg = config(0, 8, HC_SHORTEST, HC_BICUBIC, 0);
    CHECK(hc_preprocess(&cfg, data, 4, 4, 3, out) == HC_MODEL_CONFIG, "no height");
    cfg = config(8, 20001, HC_SHORTEST, HC_BICUBIC, 0);
    CHECK(hc_preprocess(&cfg, data, 4, 4, 3, out) == HC_MODEL_CONFIG, "too wide a target");
}

/* Each allocation fails once; the leak checker sees to the rest. */
static void test_out_of_memory(void)
{
    float out[3 * 8 * 8];
    uint8_t *data = picture("noise", 0, 40, 20, 4);
    hc_preprocess_cfg cfg = config(8, 8, HC_SHORTEST, HC_BICUBIC, 0);
    int failures = 0;
    hc_status status;
    do {
        mallocs_left = ++failures;
        status = scalar_preprocess(&cfg, data, 40, 20, 4, out);
        CHECK(status == HC_OK || status == HC_OUT_OF_MEMORY, "status %d", status);
    } while (status != HC_OK && failures < 100);
    mallocs_left = -1;
    CHECK(status == HC_OK && failures > 10, "%d allocations", failures - 1);
    free(data);
}

int main(void)
{
    int cases = each_line("tests/golden/pixels/cases.txt", test_case);
    CHECK(cases >= 300, "only %d cases", cases);
    cases = each_line("tests/golden/pixels/pixels.txt", test_case);
    CHECK(cases >= 8, "only %d pictures", cases);
    cases = each_line("tests/golden/pixels/modes.txt", test_mode);
    CHECK(cases >= 400, "only %d modes", cases);
    cases = each_line("tests/golden/pixels/normalize.txt", test_normalize);
    CHECK(cases == 3, "%d kinds of mean", cases);
    test_strips();
    test_variants();
    test_shrinking();
    test_sine();
    test_errors();
    test_out_of_memory();
    return check_result("test_preprocess");
}
