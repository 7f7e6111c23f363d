/* windows.c: how a grid is cut into windows that go around its borders (Liu et al., "Swin Transformer", 2021), as timm
 * has them where they do not divide it: behind the pixels that go around, spare ones fill the last windows. */
#include "operations/operations.h"

static int smaller(int a, int b) { return a < b ? a : b; }

static int up_to_multiple(int of, int number) { return (number + of - 1) / of * of - number; }

/* Which of `count` rows comes at a place when they go around from row `shift` on; spare ones stay behind them. */
static int around(int place, int count, int shift) { return place < count ? (place + shift) % count : place; }

static int put_pixels(const hc_windows *w, int window, int *order)
{
    int across = w->columns / w->across, row = window / across, column = window % across;
    int top = row * w->height, left = column * w->across;
    int rows = w->rows - w->spare_rows, columns = w->columns - w->spare_columns;
    for (int y = top; y < top + w->height; y++)
        for (int x = left; x < left + w->across; x++)
            *order++ = around(y, rows, w->down) * w->columns + around(x, columns, w->right);
    int in_last_column = column == across - 1, in_last_row = row == w->rows / w->height - 1;
    return w->down || w->right ? 2 * in_last_row + in_last_column : 0;
}

hc_windows hc_windows_of(const hc_network *net, hc_value x, int height, int across, int shifted)
{
    const hc_value_info *v = &net->values[x];
    hc_windows w = {.height = smaller(height, v->height), .across = smaller(across, v->across)};
    if (shifted && v->height > w.height) w.down = height / 2;
    if (shifted && v->across > w.across) w.right = across / 2;
    w.spare_rows = up_to_multiple(w.height, v->height);
    w.spare_columns = up_to_multiple(w.across, v->across);
    w.rows = v->height + w.spare_rows;
    w.columns = v->across + w.spare_columns;
    w.count = w.rows / w.height * (w.columns / w.across);
    w.put_pixels = put_pixels;
    return w;
}
