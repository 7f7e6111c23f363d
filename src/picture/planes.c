/* planes.c: from luma and colours of a smaller size to pixels, as libjpeg does it. */
#include "picture/planes.h"
#include "kernels/simd.h"

/* Three of a colour's row to one of the next nearest, of both colours in turn: sums[2 * (column + 1) + colour]. The
 * first column stands twice, and so does the last. */
static void sum_rows(const uint8_t *const near[2], const uint8_t *const far[2], int columns, int16_t *sums)
{
    for (int i = 0; i < columns; i += 8) {
        u8x16 both[2], none;
        i16x8 one[2], other[2];
        u8_interleave(u8_load_half(near[0] + i), u8_load_half(near[1] + i), &both[0], &none);
        u8_interleave(u8_load_half(far[0] + i), u8_load_half(far[1] + i), &both[1], &none);
        i16_widen(both[0], &one[0], &one[1]);
        i16_widen(both[1], &other[0], &other[1]);
        for (int k = 0; k < 2; k++) i16_store(sums + 2 * (i + 1) + 8 * k, 3 * one[k] + other[k]);
    }
    memcpy(sums, sums + 2, 2 * sizeof *sums);
    memcpy(sums + 2 * (columns + 1), sums + 2 * columns, 2 * sizeof *sums);
}

/* Four pixels' red, green and blue; what their factors have beyond 16 bits is added. */
static inline void to_rgb(i16x8 colours, i32x4 luma, i32x4 rgb[3])
{
    const i16x8 red = {0, 26345, 0, 26345, 0, 26345, 0, 26345},
                green = {-22554, 18734, -22554, 18734, -22554, 18734, -22554, 18734},
                blue = {-14942, 0, -14942, 0, -14942, 0, -14942, 0};
    const i32x4 half = i32_splat(1 << 15), cr = (i32x4)colours >> 16, cb = (i32x4)((u32x4)colours << 16) >> 16;
    rgb[0] = luma + cr + ((i32_dot_i16(colours, red) + half) >> 16);
    rgb[1] = luma - cr + ((i32_dot_i16(colours, green) + half) >> 16);
    rgb[2] = luma + cb + cb + ((i32_dot_i16(colours, blue) + half) >> 16);
}

static void make_row(const uint8_t *luma, const int16_t *sums, int width, hc_halves halves, uint8_t *out)
{
    const i16x8 half = i16_splat(halves == HC_HALVES_BOTH ? 8 : 7), other_half = 15 - half;
    for (int x = 0; x < width; x += 8, sums += halves ? 8 : 16, out += 32) {
        const i16x8 here = i16_load(sums + 2);
        i16x8 lumas, none, colours[2];
        if (halves) {
            colours[0] = (3 * here + i16_load(sums) + half) >> 4;
            colours[1] = (3 * here + i16_load(sums + 4) + other_half) >> 4;
        } else {
            const i32x4 a = (i32x4)here, b = (i32x4)i16_load(sums + 10);
            colours[0] = (i16x8)__builtin_shufflevector(a, b, 0, 2, 4, 6) >> 2;
            colours[1] = (i16x8)__builtin_shufflevector(a, b, 1, 3, 5, 7) >> 2;
        }
        i16_widen(u8_load_half(luma + x), &lumas, &none);
        i32x4 even[3], odd[3];
        to_rgb(colours[0] - 128, (i32x4)lumas & 0xffff, even);
        to_rgb(colours[1] - 128, (i32x4)lumas >> 16, odd);
        const u8x16 rg = u8_narrow(i16_narrow(even[0], odd[0]), i16_narrow(even[1], odd[1])),
                    ba = u8_narrow(i16_narrow(even[2], odd[2]), i16_splat(255));
        u8_store(out, __builtin_shufflevector(rg, ba, 0, 8, 16, 24, 4, 12, 20, 28, 1, 9, 17, 25, 5, 13, 21, 29));
        u8_store(out + 16, __builtin_shufflevector(rg, ba, 2, 10, 18, 26, 6, 14, 22, 30, 3, 11, 19, 27, 7, 15, 23, 31));
    }
}

void hc_planes_rows(const uint8_t *planes, int width, int height, hc_halves halves, int first, int count, int16_t *sums,
                    uint8_t *out)
{
    const int across = halves != HC_HALVES_NONE, down = halves == HC_HALVES_BOTH;
    const int columns = (width + across) >> across, rows = (height + down) >> down;
    const uint8_t *colours[2] = {planes + (size_t)width * (size_t)height, NULL};
    colours[1] = colours[0] + (size_t)columns * (size_t)rows;
    for (int y = first; y < first + count; y++) {
        const int near = y >> down, beside = near + (y & 1 ? 1 : -1),
                  far = !down || beside < 0 || beside >= rows ? near : beside;
        const uint8_t *at[2], *next[2];
        for (int c = 0; c < 2; c++) {
            at[c] = colours[c] + (size_t)near * (size_t)columns;
            next[c] = colours[c] + (size_t)far * (size_t)columns;
        }
        sum_rows(at, next, columns, sums);
        make_row(planes + (size_t)y * (size_t)width, sums, width, halves, out);
        out += 4 * (size_t)width;
    }
}
