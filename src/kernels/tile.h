/* tile.h: the fp32 tile, which GEMMs and attention share, and how tiles become functions.
 *
 * A tile is a few rows of `a` against one or more panels of 8 channels; its sums stay in registers over a stretch of k,
 * and are added to `sums` in memory, so that k can be cut into stretches that fit the first-level cache. The number of
 * rows and panels are constants wherever a tile is called, so each is unrolled; and each is a function of its own,
 * because V8 shares registers out by function: in one with many loops it keeps counters and addresses on the stack.
 */
#ifndef HC_TILE_H
#define HC_TILE_H

#include "kernels/kernels.h"
#include "kernels/simd.h"

enum { TILE_MOST_ROWS = 6, TILE_MOST_PANELS = 4 };

#define NOT_INLINED static __attribute__((noinline))

/* The tiles of four rows or fewer, as tile_panels has them, made by TILE(rows, panels, what follows) … */
#define FEW_TILES(TILE, ...) \
    TILE(1, 1, __VA_ARGS__)  \
    TILE(1, 4, __VA_ARGS__)  \
    TILE(2, 1, __VA_ARGS__)  \
    TILE(2, 2, __VA_ARGS__)  \
    TILE(3, 1, __VA_ARGS__)  \
    TILE(4, 1, __VA_ARGS__)

/* … and called name_ROWSxPANELS. */
#define CALL_FEW(name, rows, panels, ...)                                     \
    if (rows == 4) name##_4x1(__VA_ARGS__);                                   \
    else if (rows == 3) name##_3x1(__VA_ARGS__);                              \
    else if (rows == 2) (panels == 2 ? name##_2x2 : name##_2x1)(__VA_ARGS__); \
    else (panels == 4 ? name##_1x4 : name##_1x1)(__VA_ARGS__)

/* LLVM unrolls loops over k and loads ahead, more than the registers hold. */
#ifdef __clang__
#define NOT_UNROLLED _Pragma("clang loop unroll(disable)")
#else
#define NOT_UNROLLED
#endif

/* How many panels to take at once for tiles of few rows: sums that don't depend on each other keep the machine busy. */
SIMD_INLINE int tile_panels(int rows) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }

/* Memory that will be needed later, asked for line by line while a tile is at work: reading it from far away all at
 * once would take as long as the work. */
typedef struct ahead {
    const char *at;
    int pace; /* steps of a tile for each LINES lines of 64 bytes */
} ahead;

/* Lines: few enough to be asked for at once without waiting. Steps: a loop over fewer would cost more than it gains; so
 * few rows wait for memory anyway. */
enum { LINES = 4, LEAST_PACE = 8 };

/* How `bytes` bytes from `next` on are shared out among `tiles` tiles with so many steps. */
typedef struct ahead_of_all {
    const char *next;
    size_t lines_a_tile; /* times 2^16: a division less a tile */
    int pace;
} ahead_of_all;

SIMD_INLINE ahead_of_all look_ahead(const void *next, size_t bytes, int tiles, int steps)
{
    size_t lines = (bytes + 63) / 64;
    int pace = (int)((size_t)(steps * tiles * LINES) / lines);
    return (ahead_of_all){next, (lines << 16) / (size_t)tiles, pace > LEAST_PACE ? pace : LEAST_PACE};
}

SIMD_INLINE ahead ahead_of_tile(const ahead_of_all *all, int index)
{
    return (ahead){all->next + (all->lines_a_tile * (size_t)index >> 16) * 64, all->pace};
}

SIMD_INLINE const char *look(const char *line)
{
    for (int i = 0; i < LINES; i++) prefetch(line + i * 64);
    return line + LINES * 64;
}

/* sums [rows][8 panels] = a · b, added to what they hold unless `fresh`, where value (r, i) of a is a[i * a_step + r],
 * and the values of b for one i are 8 floats a panel, b_panel floats from one panel to the next. `next` may be NULL. */
SIMD_INLINE void tile_f32(int rows, int panels, const float *a, size_t a_step, int k, const float *b, size_t b_panel,
                          int fresh, float *sums, const ahead *next)
{
    f32x4 acc[TILE_MOST_ROWS][2 * TILE_MOST_PANELS];
    const char *line = next ? next->at : NULL;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++)
            acc[r][c] = fresh ? f32_splat(0) : f32_load(sums + (r * panels * 2 + c) * 4);
    NOT_UNROLLED
    for (int left = k, now; left; left -= now) {
        now = next && next->pace < left ? next->pace : left;
        if (next) line = look(line);
        NOT_UNROLLED
        for (int i = 0; i < now; i++, a += a_step, b += HC_PANEL) {
            f32x4 row[2 * TILE_MOST_PANELS];
            for (int c = 0; c < 2 * panels; c++) row[c] = f32_load(b + (size_t)(c / 2) * b_panel + c % 2 * 4);
            for (int r = 0; r < rows; r++) {
                f32x4 x = f32_splat(a[r]);
                for (int c = 0; c < 2 * panels; c++) acc[r][c] = f32_fma(x, row[c], acc[r][c]);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2 * panels; c++) f32_store(sums + (r * panels * 2 + c) * 4, acc[r][c]);
}

#endif
