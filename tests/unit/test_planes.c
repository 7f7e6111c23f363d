/* test_planes.c: pixels of a JPEG's planes are those of libjpeg's own formulas, one at a time, at every width and
 * height that vectors end in, and nothing is read or written beyond what planes.h says. */
#include "check.h"
#include "picture/planes.h"

#include <stdlib.h>
#include <string.h>

/* A colour of 4:2:2 at column x: h2v1_fancy_upsample of jdsample.c. */
static int across(const uint8_t *row, int columns, int x)
{
    const int near = x >> 1, far = near + (x & 1 ? 1 : -1);
    if (far < 0 || far >= columns) return row[near];
    return (3 * row[near] + row[far] + (x & 1 ? 2 : 1)) >> 2;
}

/* Of 4:2:0: h2v2_fancy_upsample. */
static int across_sums(const uint8_t *near_row, const uint8_t *far_row, int columns, int x)
{
    const int near = x >> 1, far = near + (x & 1 ? 1 : -1), sum = 3 * near_row[near] + far_row[near];
    if (far < 0) return (4 * sum + 8) >> 4;
    if (far >= columns) return (4 * sum + 7) >> 4;
    return (3 * sum + 3 * near_row[far] + far_row[far] + (x & 1 ? 7 : 8)) >> 4;
}

static int colour_at(const uint8_t *plane, int columns, int rows, hc_halves halves, int x, int y)
{
    if (halves == HC_HALVES_NONE) return plane[y * columns + x];
    if (halves == HC_HALVES_WIDTH) return across(plane + y * columns, columns, x);
    int near = y >> 1, far = near + (y & 1 ? 1 : -1);
    if (far < 0 || far >= rows) far = near;
    return across_sums(plane + near * columns, plane + far * columns, columns, x);
}

static uint8_t clamp(int x) { return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x); }

/* The factors of build_ycc_rgb_table of jdcolor.c, in sixteenths of a bit. */
#define FIX(x) ((int)((x) * 65536 + 0.5))

static void to_pixel(int luma, int cb, int cr, uint8_t out[4])
{
    cb -= 128, cr -= 128;
    out[0] = clamp(luma + ((FIX(1.40200) * cr + 32768) >> 16));
    out[1] = clamp(luma + ((-FIX(0.34414) * cb + 32768 - FIX(0.71414) * cr) >> 16));
    out[2] = clamp(luma + ((FIX(1.77200) * cb + 32768) >> 16));
    out[3] = 255;
}

static uint32_t next_random(uint32_t *state) { return (*state = *state * 1664525 + 1013904223) >> 8; }

/* Extremes are frequent, for what must be clamped. */
static uint8_t random_byte(uint32_t *state)
{
    const uint32_t r = next_random(state);
    return r % 4 ? (uint8_t)(r >> 8) : r & 64 ? 255 : 0;
}

static void check_size(int width, int height, hc_halves halves, uint32_t *state)
{
    const int columns = halves ? (width + 1) / 2 : width, rows = halves == HC_HALVES_BOTH ? (height + 1) / 2 : height;
    const size_t luma = (size_t)width * (size_t)height, colour = (size_t)columns * (size_t)rows,
                 row = 4 * (size_t)width;
    /* Of just the sizes that planes.h asks for, so that AddressSanitizer sees what goes beyond. */
    uint8_t *planes = malloc(luma + 2 * colour + HC_PLANES_SLACK),
            *pixels = malloc(row * (size_t)height + HC_PIXELS_SLACK);
    int16_t *sums = malloc(2 * (size_t)(columns + HC_PLANES_COLUMNS) * sizeof *sums);
    for (size_t i = 0; i < luma + 2 * colour; i++) planes[i] = random_byte(state);
    memset(planes + luma + 2 * colour, 0xA5, HC_PLANES_SLACK);
    /* In two parts, whose border may fall between rows that share colours. */
    const int first = height / 2;
    hc_planes_rows(planes, width, height, halves, 0, first, sums, pixels);
    hc_planes_rows(planes, width, height, halves, first, height - first, sums, pixels + row * (size_t)first);
    int wrong = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t expected[4];
            to_pixel(planes[y * width + x], colour_at(planes + luma, columns, rows, halves, x, y),
                     colour_at(planes + luma + colour, columns, rows, halves, x, y), expected);
            wrong += memcmp(expected, pixels + row * (size_t)y + 4 * (size_t)x, 4) != 0;
        }
    CHECK(!wrong, "%d x %d, %d sides halved: %d pixels differ", width, height, halves, wrong);
    free(planes), free(pixels), free(sums);
}

/* Every luma with every pair of colours. */
static void check_all_colours(void)
{
    enum { SIDE = 256 };
    static uint8_t planes[3 * SIDE * SIDE + HC_PLANES_SLACK], pixels[4 * SIDE * SIDE + HC_PIXELS_SLACK];
    static int16_t sums[2 * (SIDE + HC_PLANES_COLUMNS)];
    for (int luma = 0; luma < 256; luma++) {
        memset(planes, luma, SIDE * SIDE);
        for (int i = 0; i < SIDE * SIDE; i++) {
            planes[SIDE * SIDE + i] = (uint8_t)(i % SIDE);
            planes[2 * SIDE * SIDE + i] = (uint8_t)(i / SIDE);
        }
        hc_planes_rows(planes, SIDE, SIDE, HC_HALVES_NONE, 0, SIDE, sums, pixels);
        int wrong = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
            uint8_t expected[4];
            to_pixel(luma, i % SIDE, i / SIDE, expected);
            wrong += memcmp(expected, pixels + 4 * i, 4) != 0;
        }
        CHECK(!wrong, "luma %d: %d colours differ", luma, wrong);
    }
}

int main(void)
{
    static const int heights[] = {1, 2, 3, 4, 7, 16, 17};
    uint32_t state = 1;
    for (hc_halves halves = HC_HALVES_NONE; halves <= HC_HALVES_BOTH; halves++)
        for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
            for (int width = halves ? 5 : 1; width <= 40; width++) check_size(width, heights[i], halves, &state);
            check_size(641, heights[i], halves, &state);
        }
    check_all_colours();
    return check_result("planes");
}
