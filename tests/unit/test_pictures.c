/* test_pictures.c: picture files of every kind (tests/golden/pictures, made by weights-tools/golden_pictures.py): what
 * they say of themselves, and the pixels of those that are read here; files that are cut off anywhere, and memory that
 * runs out. */
#include "halfclip.h"
#include "check.h"
#include "failing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/golden/pictures/"
enum { SIDE = 24, AREA = SIDE * SIDE };

static const hc_preprocess_cfg cfg = {.height = SIDE, .width = SIDE, .std = {1, 1, 1}};

static uint8_t *read_file(const char *name, size_t *size)
{
    char path[256];
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *file = fopen(path, "rb");
    CHECK(file, "cannot open %s: run from the root of the repository", path);
    if (!file) exit(1);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    CHECK(fread(bytes, 1, *size, file) == *size, "cannot read %s", path);
    fclose(file);
    return bytes;
}

/* The pixels of a file that is read here; `problem` as the reader has it. */
static hc_status read_pixels(const uint8_t *file, size_t size, int orientation, float *out, const char **problem)
{
    hc_picture_reader *r = hc_picture_reader_new(file, size);
    *problem = NULL;
    if (!r) return HC_OUT_OF_MEMORY;
    hc_status status = HC_INPUT_DECODE;
    if (!hc_picture_reader_problem(r)) {
        hc_picture picture = *hc_picture_reader_picture(r);
        picture.orientation = orientation;
        hc_preprocessor *p = hc_preprocessor_new(&cfg, &picture, &status);
        int left = 1;
        while (status == HC_OK && left) status = hc_picture_reader_read(r, p, 300, &left);
        if (status == HC_OK) status = hc_preprocessor_finish(p, out);
        hc_preprocessor_free(p);
    }
    *problem = hc_picture_reader_problem(r);
    hc_picture_reader_free(r);
    return status;
}

static void check_pixels(const char *name, const uint8_t *file, size_t size, int orientation, const uint8_t *expected)
{
    float out[3 * AREA];
    const char *problem;
    hc_status status = read_pixels(file, size, orientation, out, &problem);
    CHECK(status == HC_OK && !problem, "%s: status %d, %s", name, status, problem ? problem : "no problem");
    if (status != HC_OK) return;
    int different = 0;
    for (int i = 0; i < 3 * AREA; i++) different += lrintf(out[i % 3 * AREA + i / 3] * 255) != expected[i];
    CHECK(different == 0, "%s: %d of %d bytes differ", name, different, 3 * AREA);
}

static int is_read_here(hc_picture_format format) { return format == HC_PNG || format == HC_GIF || format == HC_BMP; }

static void test_files(void)
{
    char line[256], name[128], near[16];
    size_t size, expected_size, at = 0;
    uint8_t *expected = read_file("pixels.bin", &expected_size);
    FILE *list = fopen(FOLDER "pictures.txt", "r");
    int files = 0, exact = 0;
    while (list && fgets(line, sizeof line, list)) {
        int orientation, width, height;
        if (sscanf(line, "%127s %15s %d %d %d", name, near, &orientation, &width, &height) != 5) continue;
        uint8_t *file = read_file(name, &size);
        hc_picture_info info;
        hc_picture_inspect(file, size, &info);
        files++;
        if (!strcmp(near, "refused")) {
            float out[3 * AREA];
            const char *problem;
            if (is_read_here(info.format))
                CHECK(read_pixels(file, size, 1, out, &problem) == HC_INPUT_DECODE && problem, "%s is read", name);
            free(file);
            continue;
        }
        CHECK(info.orientation == orientation, "%s: orientation %d, expected %d", name, info.orientation, orientation);
        if (info.orientation_at)
            CHECK(file[info.orientation_at] == orientation || orientation == 1, "%s: not where it is", name);
        CHECK(info.format == HC_JPEG ? info.ends : !info.ends, "%s: its end", name);
        if (is_read_here(info.format)) {
            check_pixels(name, file, size, orientation, expected + at);
            if (orientation != 1) check_pixels(name, file, size, 1, expected + at + 3 * AREA);
            exact++;
        } else if (info.format != HC_TIFF || orientation == 1) { /* Pillow turns TIFF at once, and tells that size */
            CHECK(info.width == (uint32_t)width && info.height == (uint32_t)height, "%s: %u x %u, expected %d x %d",
                  name, info.width, info.height, width, height);
        }
        at += (orientation == 1 ? 1u : 2u) * 3 * AREA;
        free(file);
    }
    CHECK(files > 120 && exact > 80 && at == expected_size, "%d files, %d read here, %zu of %zu bytes", files, exact,
          at, expected_size);
    if (list) fclose(list);
    free(expected);
}

/* Files that end anywhere or have one byte changed: read or refused, within their memory. */
static void test_damage(void)
{
    static const char *const names[] = {"png-3-4-interlaced.png",
                                        "png-6-8.png",
                                        "png-xmp-compressed.png",
                                        "png-exif-raw.png",
                                        "gif-on-screen-interlaced.gif",
                                        "gif-local-palette.gif",
                                        "bmp-rle8.bmp",
                                        "bmp-rle4.bmp",
                                        "bmp-4.bmp",
                                        "bmp-32-none.bmp",
                                        "jpeg-exif-6.jpg",
                                        "jpeg-xmp.jpg",
                                        "webp-exif-3.webp",
                                        "webp-alpha.webp",
                                        "tiff-exif-6.tiff",
                                        "avif.avif",
                                        "svg.svg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        uint8_t *file = read_file(names[i], &size);
        for (int change = 0; change < 2; change++)
            for (size_t at = 0; at < size; at += 1 + size / 1500) {
                const size_t length = change ? size : at;
                uint8_t *copy = malloc(length ? length : 1);
                memcpy(copy, file, length);
                if (change) copy[at] ^= (uint8_t)(1 + at % 255);
                hc_picture_info info;
                float out[3 * AREA];
                const char *problem;
                hc_picture_inspect(copy, length, &info);
                CHECK(info.orientation >= 1 && info.orientation <= 8 && info.orientation_at < (length ? length : 1),
                      "%s at %zu", names[i], at);
                if (is_read_here(info.format)) {
                    hc_status status = read_pixels(copy, length, info.orientation, out, &problem);
                    CHECK(status == HC_OK ? !problem
                                          : status == HC_INPUT_SIZE || status == HC_OUT_OF_MEMORY ||
                                                (status == HC_INPUT_DECODE && problem),
                          "%s at %zu: status %d", names[i], at, status);
                }
                free(copy);
            }
        free(file);
    }
}

/* Each allocation fails once; the leak checker sees to the rest. */
static void test_out_of_memory(void)
{
    static const char *const names[] = {"png-3-4-interlaced.png", "gif-on-screen-interlaced.gif", "bmp-rle8.bmp",
                                        "png-xmp-compressed.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        uint8_t *file = read_file(names[i], &size);
        float out[3 * AREA];
        const char *problem;
        hc_picture_info info;
        hc_status status = HC_OUT_OF_MEMORY;
        int failures = 0;
        while (status == HC_OUT_OF_MEMORY && failures < 100) {
            const long before = alive;
            fail_in = ++failures;
            counting = 1;
            hc_picture_inspect(file, size, &info);
            status = read_pixels(file, size, 1, out, &problem);
            counting = 0;
            if (fail_in == 0 && status == HC_OK) /* what failed was only the text of a chunk */
                status = HC_OUT_OF_MEMORY;
            CHECK(alive == before, "%s: %ld blocks stay after failure %d", names[i], alive - before, failures);
        }
        CHECK(status == HC_OK && failures > 5, "%s: status %d after %d failures", names[i], status, failures);
        free(file);
    }
}

int main(void)
{
    test_files();
    test_damage();
    test_out_of_memory();
    return check_result("test_pictures");
}
