/* gif.c: the first frame of GIF files, as Pillow composes it: on a screen that holds the frame, grown if need be,
 * filled with the transparent colour's index or 0; transparency is left alone. A palette that is nothing but the greys
 * 0, 1, 2 … makes a grey picture, which is resized smoothly. */
#include "picture/reader.h"

#include <stdlib.h>

enum { MOST_CODES = 4096, NONE = -1 };

typedef struct gif {
    hc_picture_reader base;
    const uint8_t *file;
    size_t size, at;
    int left, top, width, height; /* the frame's place on the screen */
    int interlaced, grey, fill;

    /* LZW. A string is its last byte and the code of what comes before. */
    int bits, clear, next_code, code_bits, last; /* last: the code before, or NONE */
    uint8_t first;                               /* the first byte of the last string */
    uint32_t buffer, buffered;
    size_t block; /* bytes left of the block in hand */
    uint16_t prefix[MOST_CODES];
    uint8_t suffix[MOST_CODES], stack[MOST_CODES + 1];
    int stacked;

    int y;               /* the row of the screen that comes next */
    uint8_t *row, *rgb;  /* of the screen: indices, and their greys as RGB */
    uint8_t *whole;      /* the rows of an interlaced frame, in their right order */
    int pass, frame_row; /* of an interlaced frame */
} gif;

static const uint8_t passes[4][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}}; /* first row, step */

/* The next `n` bytes of the headers, or NULL. */
static const uint8_t *take(gif *g, size_t n)
{
    if (g->size - g->at < n) return NULL;
    g->at += n;
    return g->file + g->at - n;
}

/* Sets the palette, and `grey` if it says nothing. */
static int read_palette(gif *g, int flags)
{
    const size_t n = (size_t)3 << ((flags & 7) + 1);
    const uint8_t *colours = take(g, n);
    if (!colours) return 0;
    g->grey = 1;
    for (size_t i = 0; i < n; i++) g->grey &= colours[i] == i / 3;
    memset(g->base.palette, 0, sizeof g->base.palette);
    memcpy(g->base.palette, colours, n);
    return 1;
}

static const char *read_headers(gif *g)
{
    static const char ends[] = "the GIF file ends before its picture data";
    const uint8_t *screen = take(g, 13), *p;
    if (!screen) return ends;
    hc_picture *picture = &g->base.picture;
    picture->width = (int)hc_le16(screen + 6);
    picture->height = (int)hc_le16(screen + 8);
    g->grey = 1;
    if (screen[10] & 128 && !read_palette(g, screen[10])) return ends;

    for (;;) {
        if (!(p = take(g, 1))) return ends;
        if (*p == ';') return "the GIF file has no picture data";
        if (*p == ',') break;
        if (*p != '!') continue;
        if (!(p = take(g, 1))) return ends;
        const int control = *p == 249;
        for (int first = 1;; first = 0) {
            const uint8_t *length = take(g, 1), *block = length ? take(g, *length) : NULL;
            if (!block) return ends;
            if (!*length) break;
            if (control && first && *length >= 4 && block[0] & 1) g->fill = block[3];
        }
    }
    if (!(p = take(g, 9))) return ends;
    g->left = (int)hc_le16(p);
    g->top = (int)hc_le16(p + 2);
    g->width = (int)hc_le16(p + 4);
    g->height = (int)hc_le16(p + 6);
    g->interlaced = p[8] >> 6 & 1;
    if (picture->width < g->left + g->width) picture->width = g->left + g->width;
    if (picture->height < g->top + g->height) picture->height = g->top + g->height;
    if (p[8] & 128 && !read_palette(g, p[8])) return ends;
    if (!(p = take(g, 1))) return ends;
    if (!g->width || !g->height) return "the GIF file's frame has no size";
    if (*p < 1 || *p > 11) return "the GIF file's picture data is damaged";
    g->bits = *p;
    g->clear = 1 << *p;
    picture->mode = g->grey ? HC_RGB : HC_PALETTE;
    return NULL;
}

/* The next code; NONE where the data ends. */
static int read_code(gif *g)
{
    while (g->buffered < (uint32_t)g->code_bits) {
        while (!g->block) {
            if (g->at == g->size) return NONE;
            g->block = g->file[g->at++];
        }
        if (g->at == g->size) return NONE;
        g->buffer |= (uint32_t)g->file[g->at++] << g->buffered;
        g->buffered += 8;
        g->block--;
    }
    const int code = (int)(g->buffer & ((1u << g->code_bits) - 1));
    g->buffer >>= g->code_bits;
    g->buffered -= (uint32_t)g->code_bits;
    return code;
}

static void clear_codes(gif *g)
{
    g->next_code = g->clear + 2;
    g->code_bits = g->bits + 1;
    g->last = NONE;
}

/* Decodes one string onto the stack. 0: the data ends or is damaged. */
static int read_string(gif *g)
{
    const int code = read_code(g);
    if (code == NONE) g->base.problem = "the GIF file's picture data ends too early";
    if (code == NONE) return 0;
    if (code == g->clear) {
        clear_codes(g);
        return 1;
    }
    if (code == g->clear + 1) return 1; /* the end: what is missing shows when the data ends as well */
    if (g->last == NONE ? code >= g->clear
                        : code > g->next_code || (code == g->next_code && g->next_code == MOST_CODES)) {
        g->base.problem = "the GIF file's picture data is damaged";
        return 0;
    }
    int rest = code;
    if (code == g->next_code) {
        g->stack[g->stacked++] = g->first;
        rest = g->last;
    }
    for (; rest >= g->clear; rest = g->prefix[rest]) g->stack[g->stacked++] = g->suffix[rest];
    g->first = (uint8_t)rest;
    g->stack[g->stacked++] = g->first;
    if (g->last != NONE && g->next_code < MOST_CODES) {
        g->prefix[g->next_code] = (uint16_t)g->last;
        g->suffix[g->next_code] = g->first;
        g->next_code++;
        if (g->next_code == 1 << g->code_bits && g->code_bits < 12) g->code_bits++;
    }
    g->last = code;
    return 1;
}

/* The frame's next row. */
static int read_row(gif *g, uint8_t *row)
{
    for (int x = 0; x < g->width;) {
        if (!g->stacked && !read_string(g)) return 0;
        while (g->stacked && x < g->width) row[x++] = g->stack[--g->stacked];
    }
    return 1;
}

static hc_status prepare(gif *g)
{
    const size_t width = (size_t)g->base.picture.width;
    clear_codes(g);
    g->row = hc_allocate(width, 1);
    g->rgb = hc_allocate(width, 3);
    if (g->interlaced) g->whole = hc_allocate((uint64_t)g->width, (uint64_t)g->height);
    return g->row && g->rgb && (g->whole || !g->interlaced) ? HC_OK : HC_OUT_OF_MEMORY;
}

static hc_status next_row(hc_picture_reader *reader, const uint8_t **out)
{
    gif *g = (gif *)reader;
    const size_t frame_width = (size_t)g->width;
    *out = NULL;
    if (!g->row) {
        hc_status status = prepare(g);
        if (status != HC_OK) return status;
    }
    while (g->interlaced && g->pass < 4) {
        const int y = passes[g->pass][0] + g->frame_row * passes[g->pass][1];
        if (y >= g->height) {
            g->pass++;
            g->frame_row = 0;
            continue;
        }
        g->frame_row++;
        return read_row(g, g->whole + (size_t)y * frame_width) ? HC_OK : HC_INPUT_DECODE;
    }

    const size_t width = (size_t)g->base.picture.width;
    const int y = g->y++ - g->top;
    memset(g->row, g->fill, width);
    if (y >= 0 && y < g->height) {
        if (g->interlaced) memcpy(g->row + g->left, g->whole + (size_t)y * frame_width, frame_width);
        else if (!read_row(g, g->row + g->left)) return HC_INPUT_DECODE;
    }
    *out = g->row;
    if (g->grey) {
        for (size_t i = 0; i < width; i++) memset(g->rgb + 3 * i, g->row[i], 3);
        *out = g->rgb;
    }
    return HC_OK;
}

static void free_gif(hc_picture_reader *reader)
{
    gif *g = (gif *)reader;
    free(g->row);
    free(g->rgb);
    free(g->whole);
    free(g);
}

hc_picture_reader *hc_gif_open(const uint8_t *file, size_t size)
{
    gif *g = hc_allocate_zeros(1, sizeof *g);
    if (!g) return NULL;
    g->file = file;
    g->size = size;
    g->base.next = next_row;
    g->base.free = free_gif;
    g->base.problem = read_headers(g);
    return &g->base;
}
