/* bmp.c: BMP files of Windows and OS/2, as Pillow takes them: 1, 4 and 8 bits with a palette (or greys, where it is
 * nothing else), run lengths, 16, 24 and 32 bits a pixel in the layouts of channels that Pillow knows. */
#include "picture/reader.h"

#include <stdlib.h>

typedef struct bmp {
    hc_picture_reader base;
    const uint8_t *file;
    size_t size, at; /* where the pixels begin */
    int bits, from_top;
    int greys;                 /* the palette is the greys 0, 1, 2 … */
    int runs;                  /* run lengths: of 4 or 8 bits, or 0 */
    uint8_t shift[4], most[4]; /* where each channel lies in a pixel, and its largest value */
    uint8_t *row;              /* as it is handed out */
    uint8_t *whole;            /* indices of a picture of run lengths */
} bmp;

/* The layouts: masks of red, green, blue and alpha in a pixel. */
static const struct {
    int bits;
    uint32_t masks[4];
} layouts[] = {
    {16, {0x7c00, 0x3e0, 0x1f, 0}},
    {16, {0xf800, 0x7e0, 0x1f, 0}},
    {24, {0xff0000, 0xff00, 0xff, 0}},
    {32, {0xff0000, 0xff00, 0xff, 0}},
    {32, {0xff000000, 0xff0000, 0xff00, 0}},
    {32, {0xff000000, 0xff00, 0xff, 0}},
    {32, {0xff000000, 0xff0000, 0xff00, 0xff}},
    {32, {0xff, 0xff00, 0xff0000, 0xff000000}},
    {32, {0xff0000, 0xff00, 0xff, 0xff000000}},
    {32, {0xff000000, 0xff00, 0xff, 0xff0000}},
};

/* Takes one of the layouts; 0 if it is none of them. */
static int read_layout(bmp *b, const uint32_t masks[4])
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const uint32_t *known = layouts[i].masks;
        if (layouts[i].bits != b->bits || masks[0] != known[0] || masks[1] != known[1] || masks[2] != known[2] ||
            (b->bits == 32 && masks[3] != known[3]))
            continue;
        for (int c = 0; c < 4; c++)
            if (known[c]) {
                b->shift[c] = (uint8_t)__builtin_ctz(known[c]);
                b->most[c] = (uint8_t)(known[c] >> b->shift[c]);
            }
        b->base.picture.mode = known[3] ? HC_RGBA : HC_RGB;
        return 1;
    }
    return 0;
}

static const char *read_palette(bmp *b, size_t at, uint32_t colours, size_t entry)
{
    if (colours == 0 || colours > 65536) return "the BMP file's palette has an impossible size";
    if (at > b->size || b->size - at < colours * entry) return "the BMP file ends inside its palette";
    const uint8_t *p = b->file + at;
    b->greys = 1;
    for (uint32_t i = 0; i < colours; i++, p += entry) {
        const uint32_t grey = colours == 2 ? i * 255 : i;
        b->greys &= p[0] == grey && p[1] == grey && p[2] == grey;
        for (uint32_t c = 0; c < 3 && i < 256; c++) b->base.palette[3 * i + c] = p[2 - c];
    }
    /* Two greys are black and white, which Pillow holds as bits, and resizes as it resizes palettes. */
    b->greys &= colours > 2;
    b->base.picture.mode = b->greys ? HC_RGB : HC_PALETTE;
    return NULL;
}

static const char *read_headers(bmp *b)
{
    static const char ends[] = "the BMP file ends inside its header";
    if (b->size < 26) return ends;
    const uint8_t *header = b->file + 14;
    const uint32_t length = hc_le32(header);
    hc_picture *picture = &b->base.picture;
    uint32_t compression = 0, colours = 0, width, height;
    size_t entry = 4;
    if (length == 12) {
        width = hc_le16(header + 4);
        height = hc_le16(header + 6);
        b->bits = (int)hc_le16(header + 10);
        entry = 3;
    } else if (length == 40 || length == 52 || length == 56 || length == 64 || length == 108 || length == 124) {
        if (b->size < 14 + length) return ends;
        width = hc_le32(header + 4);
        height = hc_le32(header + 8);
        b->from_top = height >> 24 == 0xff;
        height = b->from_top ? 0u - height : height;
        b->bits = (int)hc_le16(header + 14);
        compression = hc_le32(header + 16);
        colours = hc_le32(header + 32);
    } else {
        return "the BMP file has a header of an unknown kind";
    }
    if (!width || !height || width > INT32_MAX || height > INT32_MAX) return "the BMP file's header has no size";
    picture->width = (int)width;
    picture->height = (int)height;
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 && b->bits != 32)
        return "the BMP file has an unknown number of bits a pixel";
    if (!colours) colours = 1u << (b->bits & 15);

    size_t after = 14 + (size_t)length; /* the header */
    b->at = hc_le32(b->file + 10);
    if (b->at == after && b->bits <= 8) b->at += entry * colours;
    uint32_t masks[4] = {0xff0000, 0xff00, 0xff, 0};
    if (compression == 3) {
        if (length == 40 && b->size < 66) return ends;
        for (int i = 0; i < 4; i++) masks[i] = i < 3 || length >= 56 ? hc_le32(header + 40 + 4 * i) : 0;
        after += length == 40 ? 12 : 0;
        if (b->bits == 32 && !(masks[0] | masks[1] | masks[2] | masks[3])) { /* nothing said: BGRA */
            masks[0] = 0xff0000;
            masks[1] = 0xff00;
            masks[2] = 0xff;
            masks[3] = 0xff000000;
        }
    } else if (compression == 1 || compression == 2) {
        b->runs = compression == 1 ? 8 : 4;
    } else if (compression != 0) {
        return "the BMP file has an unknown compression";
    } else if (b->bits == 16) {
        masks[0] = 0x7c00;
        masks[1] = 0x3e0;
        masks[2] = 0x1f;
    }
    if (b->bits > 8 ? b->runs : compression == 3) return "the BMP file's compression does not go with its bits a pixel";
    const char *problem = NULL;
    if (b->bits <= 8) {
        problem = read_palette(b, after, colours, entry);
        after += entry * colours;
    } else if (!read_layout(b, masks)) {
        problem = "the BMP file has an unknown layout of its channels";
    }
    if (!b->at) b->at = after;
    return problem;
}

/* Decodes run lengths into `whole`, in the file's order of rows. 0 if there are too few. */
static int read_runs(bmp *b)
{
    const size_t width = (size_t)b->base.picture.width, total = width * (size_t)b->base.picture.height;
    size_t done = 0, x = 0, at = b->at;
    while (done < total && at + 2 <= b->size) {
        const uint8_t count = b->file[at], value = b->file[at + 1];
        at += 2;
        if (count) {
            size_t n = x >= width ? 0 : count < width - x ? count : width - x;
            n = n < total - done ? n : total - done;
            for (size_t i = 0; i < n; i++) b->whole[done++] = b->runs == 8 ? value : i % 2 ? value & 15 : value >> 4;
            x += n;
        } else if (value == 0) {
            while (done % width) b->whole[done++] = 0;
            x = 0;
        } else if (value == 1) {
            break;
        } else if (value == 2) {
            if (at + 2 > b->size) break;
            size_t n = b->file[at] + b->file[at + 1] * width;
            n = n < total - done ? n : total - done;
            memset(b->whole + done, 0, n);
            done += n;
            x = done % width;
            at += 2;
        } else {
            const size_t n = value < total - done ? value : total - done, bytes = b->runs == 8 ? n : (n + 1) / 2;
            const size_t there = bytes < b->size - at ? bytes : b->size - at;
            for (size_t i = 0; i < n && (b->runs == 8 ? i : i / 2) < there; i++)
                b->whole[done++] = b->runs == 8 ? b->file[at + i]
                                   : i % 2      ? b->file[at + i / 2] & 15
                                                : b->file[at + i / 2] >> 4;
            if (there < bytes) break;
            x += value;
            at += bytes + ((at + bytes) & 1);
        }
    }
    return done == total;
}

static hc_status prepare(bmp *b)
{
    const uint64_t width = (uint64_t)b->base.picture.width, height = (uint64_t)b->base.picture.height;
    b->row = hc_allocate(width, 4);
    if (!b->row) return HC_OUT_OF_MEMORY;
    if (!b->runs) return HC_OK;
    b->whole = hc_allocate(width, height);
    if (!b->whole) return HC_OUT_OF_MEMORY;
    if (read_runs(b)) return HC_OK;
    b->base.problem = "the BMP file's picture data ends too early";
    return HC_INPUT_DECODE;
}

static hc_status next_row(hc_picture_reader *reader, const uint8_t **out)
{
    bmp *b = (bmp *)reader;
    if (!b->row) {
        hc_status status = prepare(b);
        if (status != HC_OK) return status;
    }
    const size_t width = (size_t)b->base.picture.width, height = (size_t)b->base.picture.height;
    const size_t y = b->from_top ? height - (size_t)b->base.rows_left : (size_t)b->base.rows_left - 1;
    const uint8_t *src;
    if (b->runs) {
        src = b->whole + y * width;
    } else {
        /* Rows are filled up to four bytes; the last one in the file need not be. */
        const uint64_t bytes = ((uint64_t)width * (uint64_t)b->bits + 7) / 8, stride = (bytes + 3) & ~UINT64_C(3);
        if (b->at > b->size || y * stride + bytes > b->size - b->at) {
            b->base.problem = "the BMP file's picture data ends too early";
            return HC_INPUT_DECODE;
        }
        src = b->file + b->at + (size_t)(y * stride);
    }
    *out = b->row;
    uint8_t *dst = b->row;
    if (b->bits <= 8) {
        const unsigned bits = b->runs ? 8 : (unsigned)b->bits;
        for (size_t i = 0; i < width; i++) {
            const size_t bit = i * bits;
            const uint8_t index = src[bit / 8] >> (8 - bits - bit % 8) & ((1u << bits) - 1);
            if (b->greys) memset(dst + 3 * i, index, 3);
            else dst[i] = index;
        }
        return HC_OK;
    }
    const size_t bytes = (size_t)b->bits / 8, channels = b->base.picture.mode == HC_RGBA ? 4 : 3;
    for (size_t i = 0; i < width; i++, src += bytes) {
        const uint32_t pixel = bytes == 2   ? hc_le16(src)
                               : bytes == 3 ? hc_le16(src) | (uint32_t)src[2] << 16
                                            : hc_le32(src);
        for (size_t c = 0; c < channels; c++)
            *dst++ = (uint8_t)((pixel >> b->shift[c] & b->most[c]) * 255 / b->most[c]);
    }
    return HC_OK;
}

static void free_bmp(hc_picture_reader *reader)
{
    bmp *b = (bmp *)reader;
    free(b->row);
    free(b->whole);
    free(b);
}

hc_picture_reader *hc_bmp_open(const uint8_t *file, size_t size)
{
    bmp *b = hc_allocate_zeros(1, sizeof *b);
    if (!b) return NULL;
    b->file = file;
    b->size = size;
    b->base.next = next_row;
    b->base.free = free_bmp;
    b->base.problem = read_headers(b);
    return &b->base;
}
