/* png.c: PNG files (W3C, third edition), every colour type, depth and interlacing, as Pillow takes them: transparency
 * by tRNS is left alone, samples of 16 bits keep their high byte, the default picture of an animation is the picture.
 * Chunks before the picture data must be whole; what is wrong with checksums from there on, or behind the last row,
 * nobody minds. */
#include "picture/inflate.h"
#include "picture/reader.h"

#include <stdlib.h>

typedef struct png {
    hc_picture_reader base;
    const uint8_t *file;
    size_t size;
    size_t at; /* of the next chunk */
    int depth, colour, interlaced;
    size_t pixel_bits, pixel_bytes; /* in the file; at least one byte */
    size_t out_bytes;               /* of one pixel that is handed out */
    hc_inflate *inflate;
    uint8_t *rows[2]; /* the scanline in hand and the one above, each behind its filter's byte */
    uint8_t *out;     /* a row as it is handed out */
    uint8_t *whole;   /* all rows of an interlaced picture */
    int pass, y;      /* of an interlaced picture; the scanline that comes next */
} png;

/* Adam7: the passes as first column, first row, column step, row step. */
static const uint8_t adam7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t table[256], crc = 0xffffffffu;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

static const char *read_header(png *p, const uint8_t *body, uint32_t length)
{
    /* Depths as bits of a mask, by colour type. */
    static const uint32_t depths[7] = {1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16,
                                       0,
                                       1 << 8 | 1 << 16,
                                       1 << 1 | 1 << 2 | 1 << 4 | 1 << 8,
                                       1 << 8 | 1 << 16,
                                       0,
                                       1 << 8 | 1 << 16};
    static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4};
    if (length < 13) return "the PNG file has no header";
    hc_picture *picture = &p->base.picture;
    const uint32_t width = hc_be32(body), height = hc_be32(body + 4);
    if (!width || !height || width > INT32_MAX || height > INT32_MAX) return "the PNG file's header has no size";
    if (body[9] > 6 || body[8] > 16 || !(depths[body[9]] >> body[8] & 1))
        return "the PNG file's header has a colour type or a depth that does not exist";
    if (body[11]) return "the PNG file uses an unknown filter method";
    picture->width = (int)width;
    picture->height = (int)height;
    p->depth = body[8];
    p->colour = body[9];
    p->interlaced = body[12] != 0;
    p->pixel_bits = (size_t)(samples[p->colour] * p->depth);
    p->pixel_bytes = p->pixel_bits < 8 ? 1 : p->pixel_bits / 8;
    const int indexed = p->colour == 3 || (p->colour == 0 && p->depth == 1);
    picture->mode = indexed ? HC_PALETTE : p->colour >= 4 ? HC_RGBA : HC_RGB;
    p->out_bytes = indexed ? 1 : p->colour >= 4 ? 4 : 3;
    if (p->colour == 0) memset(p->base.palette + 3, 255, 3); /* one bit: black and white */
    return NULL;
}

/* Reads the chunks up to the picture data. */
static const char *read_chunks(png *p)
{
    int palette = 0;
    for (p->at = 8;;) {
        if (p->size - p->at < 12) return "the PNG file ends before its picture data";
        const uint8_t *chunk = p->file + p->at, *body = chunk + 8;
        const uint32_t length = hc_be32(chunk);
        for (int i = 4; i < 8; i++) {
            const uint8_t c = chunk[i], letter = c | 32;
            if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') && c != '_')
                return "the PNG file is damaged: a chunk has no name";
        }
        if (!memcmp(chunk + 4, "IDAT", 4)) break;
        if (!memcmp(chunk + 4, "IEND", 4)) return "the PNG file has no picture data";
        if (length > p->size - p->at - 12) return "the PNG file ends inside a chunk";
        if (crc32_of(chunk + 4, length + 4u) != hc_be32(body + length))
            return "the PNG file is damaged: a checksum before the picture data is wrong";
        if (!memcmp(chunk + 4, "IHDR", 4)) {
            const char *problem = read_header(p, body, length);
            if (problem) return problem;
        } else if (!memcmp(chunk + 4, "PLTE", 4) && p->colour == 3) {
            if (length > 768) return "the PNG file's palette has more than 256 colours";
            memcpy(p->base.palette, body, length - length % 3);
            palette = length >= 3;
        }
        p->at += 12 + (size_t)length;
    }
    if (!p->depth) return "the PNG file has no header";
    return p->colour == 3 && !palette ? "the PNG file has no palette" : NULL;
}

/* The data of the next IDAT chunk, as far as it goes. */
static int next_piece(void *user, const uint8_t **begin, const uint8_t **end)
{
    png *p = user;
    if (p->size - p->at < 8 || memcmp(p->file + p->at + 4, "IDAT", 4)) return 0;
    const size_t left = p->size - p->at - 8, length = hc_be32(p->file + p->at);
    *begin = p->file + p->at + 8;
    *end = *begin + (length < left ? length : left);
    p->at += left < 4 || length > left - 4 ? 8 + left : 12 + length;
    return 1;
}

static size_t row_bytes(const png *p, size_t columns) { return (columns * p->pixel_bits + 7) / 8; }

static hc_status prepare(png *p)
{
    const size_t width = (size_t)p->base.picture.width;
    p->inflate = hc_inflate_new(next_piece, p);
    for (int i = 0; i < 2; i++) p->rows[i] = hc_allocate_zeros((uint64_t)row_bytes(p, width) + 1, 1);
    p->out = hc_allocate(width, p->out_bytes);
    if (p->interlaced) p->whole = hc_allocate(hc_size_product(width, (uint64_t)p->base.picture.height), p->out_bytes);
    return p->inflate && p->rows[0] && p->rows[1] && p->out && (p->whole || !p->interlaced) ? HC_OK : HC_OUT_OF_MEMORY;
}

static inline int absolute(int x) { return x < 0 ? -x : x; }

/* Undoes a scanline's filter: adds to every byte what its neighbours predict. Before the first pixel, and above the
 * first row, there are zeros. */
static void unfilter(int filter, uint8_t *row, const uint8_t *above, size_t n, size_t pixel)
{
    if (filter == 2 || filter == 4) /* of the first pixel, the fourth is the second */
        for (size_t i = 0; i < (filter == 2 ? n : pixel) && i < n; i++) row[i] = (uint8_t)(row[i] + above[i]);
    else if (filter == 3)
        for (size_t i = 0; i < pixel && i < n; i++) row[i] = (uint8_t)(row[i] + above[i] / 2);
    if (filter == 1)
        for (size_t i = pixel; i < n; i++) row[i] = (uint8_t)(row[i] + row[i - pixel]);
    else if (filter == 3)
        for (size_t i = pixel; i < n; i++) row[i] = (uint8_t)(row[i] + (row[i - pixel] + above[i]) / 2);
    else if (filter == 4)
        for (size_t i = pixel; i < n; i++) {
            const int left = row[i - pixel], up = above[i], corner = above[i - pixel];
            const int to_left = absolute(up - corner), to_up = absolute(left - corner),
                      to_corner = absolute(left + up - 2 * corner);
            const int nearer = to_up < to_left ? up : left, distance = to_up < to_left ? to_up : to_left;
            row[i] = (uint8_t)(row[i] + (to_corner < distance ? corner : nearer));
        }
}

/* `n` pixels as the file has them to what is handed out. */
static void expand(const png *p, const uint8_t *row, size_t n, uint8_t *out)
{
    if (p->depth < 8) {
        const unsigned depth = (unsigned)p->depth, mask = (1u << depth) - 1, scale = 255 / mask;
        for (size_t i = 0; i < n; i++) {
            const size_t bit = i * depth;
            const uint8_t sample = row[bit / 8] >> (8 - depth - bit % 8) & mask;
            if (p->out_bytes == 1) out[i] = sample;
            else memset(out + 3 * i, sample * (int)scale, 3);
        }
        return;
    }
    const size_t step = (size_t)p->depth / 8;
    const int grey = p->colour == 0 || p->colour == 4;
    for (size_t i = 0; i < n; i++, row += p->pixel_bytes, out += p->out_bytes) {
        if (p->out_bytes == 1) {
            out[0] = row[0];
            continue;
        }
        out[0] = row[0];
        out[1] = row[grey ? 0 : step];
        out[2] = row[grey ? 0 : 2 * step];
        if (p->out_bytes == 4) out[3] = row[grey ? step : 3 * step];
    }
}

/* The next scanline of `columns` pixels; 0 if there is none. */
static const uint8_t *scanline(png *p, size_t columns, int first)
{
    const size_t n = row_bytes(p, columns);
    uint8_t *row = p->rows[0], *above = p->rows[1];
    if (first) memset(above, 0, n + 1);
    if (hc_inflate_read(p->inflate, row, n + 1) < n + 1) {
        p->base.problem = hc_inflate_problem(p->inflate)[0] == 'i' ? "the PNG file's picture data is damaged"
                                                                   : "the PNG file's picture data ends too early";
        return NULL;
    }
    if (row[0] > 4) {
        p->base.problem = "the PNG file's picture data is damaged: a row has an unknown filter";
        return NULL;
    }
    unfilter(row[0], row + 1, above + 1, n, p->pixel_bytes);
    p->rows[0] = above;
    p->rows[1] = row;
    return row + 1;
}

static hc_status next_interlaced(png *p, const uint8_t **out)
{
    const size_t width = (size_t)p->base.picture.width, height = (size_t)p->base.picture.height;
    *out = NULL;
    for (; p->pass < 7; p->pass++, p->y = 0) {
        const uint8_t *pass = adam7[p->pass];
        if (width <= pass[0] || height <= pass[1]) continue;
        const size_t columns = (width - pass[0] + pass[2] - 1) / pass[2],
                     rows = (height - pass[1] + pass[3] - 1) / pass[3];
        if ((size_t)p->y == rows) continue;
        const uint8_t *row = scanline(p, columns, p->y == 0);
        if (!row) return HC_INPUT_DECODE;
        expand(p, row, columns, p->out);
        uint8_t *to = p->whole + ((pass[1] + (size_t)p->y * pass[3]) * width + pass[0]) * p->out_bytes;
        for (size_t i = 0; i < columns; i++, to += pass[2] * p->out_bytes)
            memcpy(to, p->out + i * p->out_bytes, p->out_bytes);
        p->y++;
        return HC_OK;
    }
    *out = p->whole + (height - (size_t)p->base.rows_left) * width * p->out_bytes;
    return HC_OK;
}

static hc_status next_row(hc_picture_reader *reader, const uint8_t **out)
{
    png *p = (png *)reader;
    if (!p->inflate) {
        hc_status status = prepare(p);
        if (status != HC_OK) return status;
    }
    if (p->interlaced) return next_interlaced(p, out);
    const size_t width = (size_t)p->base.picture.width;
    const uint8_t *row = scanline(p, width, p->y == 0);
    if (!row) return HC_INPUT_DECODE;
    p->y = 1;
    *out = row;
    if (p->depth != 8 || p->out_bytes != p->pixel_bytes) {
        expand(p, row, width, p->out);
        *out = p->out;
    }
    return HC_OK;
}

static void free_png(hc_picture_reader *reader)
{
    png *p = (png *)reader;
    hc_inflate_free(p->inflate);
    free(p->rows[0]);
    free(p->rows[1]);
    free(p->out);
    free(p->whole);
    free(p);
}

hc_picture_reader *hc_png_open(const uint8_t *file, size_t size)
{
    png *p = hc_allocate_zeros(1, sizeof *p);
    if (!p) return NULL;
    p->file = file;
    p->size = size;
    p->base.next = next_row;
    p->base.free = free_png;
    p->base.problem = size < 8 ? "the PNG file ends before its picture data" : read_chunks(p);
    return &p->base;
}
