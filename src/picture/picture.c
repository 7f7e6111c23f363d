/* picture.c: what a picture's file says of itself before anything is decoded: format, size, orientation; and the
 * reading of those formats that are decoded here. */
#include "picture/inflate.h"
#include "picture/reader.h"

#include <stdlib.h>

typedef struct bytes {
    const uint8_t *p;
    size_t n;
} bytes;

static bytes slice(bytes b, size_t from, size_t n)
{
    if (from > b.n) from = b.n;
    return (bytes){b.p + from, n < b.n - from ? n : b.n - from};
}

static int begins(bytes b, const char *text, size_t n) { return b.n >= n && !memcmp(b.p, text, n); }
#define BEGINS(b, text) begins(b, text, sizeof text - 1)

/* Where `text` is found first, or b.n. */
static size_t find(bytes b, const char *text, size_t n)
{
    for (size_t i = 0; i + n <= b.n; i++) {
        const uint8_t *hit = memchr(b.p + i, text[0], b.n - i - n + 1);
        if (!hit) break;
        i = (size_t)(hit - b.p);
        if (!memcmp(hit, text, n)) return i;
    }
    return b.n;
}

/* ---- orientation --------------------------------------------------------------------------------------------------
 */

/* The orientation that a file speaks of, and where. */
typedef struct orientation {
    int value;         /* 0: there is none */
    const uint8_t *at; /* the byte that holds it; NULL: it is not to be found as a byte */
} orientation;

typedef struct tiff_tags {
    uint32_t width, height, colours;
    orientation orientation;
} tiff_tags;

/* The first directory of a TIFF file, which is also what EXIF is. The last one of several entries with the same tag
 * counts, as in Pillow. */
static tiff_tags read_tiff(bytes b)
{
    tiff_tags tags = {0};
    const int big = BEGINS(b, "MM\0*");
    if (!big && !BEGINS(b, "II*\0")) return tags;
    if (b.n < 8) return tags;
    bytes directory = slice(b, big ? hc_be32(b.p + 4) : hc_le32(b.p + 4), SIZE_MAX);
    if (directory.n < 2) return tags;
    uint32_t left = big ? hc_be16(directory.p) : hc_le16(directory.p);
    for (const uint8_t *p = directory.p + 2; left && directory.p + directory.n - p >= 12; left--, p += 12) {
        const uint32_t tag = big ? hc_be16(p) : hc_le16(p), type = big ? hc_be16(p + 2) : hc_le16(p + 2);
        const uint32_t count = big ? hc_be32(p + 4) : hc_le32(p + 4);
        if (count != 1 || (type != 1 && type != 3 && type != 4)) continue;
        const uint32_t value = type == 1   ? p[8]
                               : type == 3 ? (big ? hc_be16(p + 8) : hc_le16(p + 8))
                               : big       ? hc_be32(p + 8)
                                           : hc_le32(p + 8);
        if (tag == 256) tags.width = value;
        else if (tag == 257) tags.height = value;
        else if (tag == 262) tags.colours = value;
        else if (tag == 274) {
            /* One that does not exist is there all the same, and stands for "as it is". */
            tags.orientation.value = value >= 1 && value <= 8 ? (int)value : 1;
            tags.orientation.at = p + 8 + (type == 1 || !big ? 0 : type == 3 ? 1 : 3);
        }
    }
    return tags;
}

/* EXIF, with or without the words before it. */
static orientation read_exif(bytes b)
{
    for (int i = 0; i < 2 && BEGINS(b, "Exif\0\0"); i++) b = slice(b, 6, SIZE_MAX);
    return read_tiff(b).orientation;
}

/* XMP counts where EXIF says nothing: tiff:Orientation="6" or <tiff:Orientation>6. */
static orientation read_xmp(bytes b)
{
    static const char name[] = "tiff:Orientation";
    while (b.n) {
        const size_t at = find(b, name, sizeof name - 1);
        b = slice(b, at + sizeof name - 1, SIZE_MAX);
        const size_t value = BEGINS(b, "=\"") ? 2 : BEGINS(b, ">") ? 1 : 0;
        if (value && value < b.n && b.p[value] >= '0' && b.p[value] <= '9') {
            const int n = b.p[value] - '0';
            return (orientation){n >= 1 && n <= 8 ? n : 1, NULL};
        }
    }
    return (orientation){0};
}

static orientation either(orientation first, orientation second) { return first.value ? first : second; }

/* ---- formats ------------------------------------------------------------------------------------------------------
 */

static int once(void *user, const uint8_t **begin, const uint8_t **end)
{
    bytes *b = user;
    *begin = b->p;
    *end = b->p + b->n;
    b->p += b->n;
    b->n = 0;
    return *begin != *end;
}

enum { MOST_TEXT = 1 << 20 };

/* The text of a chunk that is compressed, up to a megabyte; the caller frees it. */
static bytes inflate_text(bytes compressed)
{
    uint8_t *text = hc_allocate(MOST_TEXT, 1);
    hc_inflate *z = hc_inflate_new(once, &compressed);
    bytes b = {text, text && z ? hc_inflate_read(z, text, MOST_TEXT) : 0};
    hc_inflate_free(z);
    return b;
}

/* EXIF as ImageMagick writes it: a line of its name, one of its length, then hexadecimal digits. */
static orientation read_raw_profile(bytes text)
{
    for (int lines = 0; lines < 3 && text.n; text = slice(text, 1, SIZE_MAX)) lines += *text.p == '\n';
    uint8_t *exif = hc_allocate(text.n / 2 + 1, 1);
    size_t nibbles = 0;
    for (size_t i = 0; exif && i < text.n; i++) {
        const uint8_t c = text.p[i], letter = c | 32;
        const int digit = c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
        if (digit >= 0 && nibbles / 2 < text.n / 2) {
            uint8_t *byte = exif + nibbles++ / 2;
            *byte = (uint8_t)(nibbles & 1 ? digit << 4 : *byte | digit);
        }
    }
    orientation o = exif ? read_exif((bytes){exif, nibbles / 2}) : (orientation){0};
    o.at = NULL;
    free(exif);
    return o;
}

static orientation inspect_png(bytes b)
{
    orientation exif = {0}, profile = {0}, xmp = {0};
    size_t at = 8;
    while (b.n - at >= 12) {
        const uint32_t length = hc_be32(b.p + at);
        const bytes chunk = slice(b, at + 4, SIZE_MAX), body = slice(b, at + 8, length);
        if (length > b.n - at - 12 || BEGINS(chunk, "IEND")) break;
        const size_t key = find(body, "", 1);
        if (BEGINS(chunk, "eXIf")) exif = read_exif(body);
        else if (BEGINS(chunk, "iTXt") && BEGINS(body, "XML:com.adobe.xmp\0") && body.n > key + 3) {
            const bytes language = slice(body, key + 3, SIZE_MAX),
                        keyword = slice(language, find(language, "", 1) + 1, SIZE_MAX);
            const bytes text = slice(keyword, find(keyword, "", 1) + 1, SIZE_MAX),
                        plain = body.p[key + 1] ? inflate_text(text) : text;
            xmp = read_xmp(plain);
            if (body.p[key + 1]) free((void *)plain.p);
        } else if (BEGINS(body, "Raw profile type exif\0")) {
            const int compressed = BEGINS(chunk, "zTXt");
            if (compressed || BEGINS(chunk, "tEXt")) {
                const bytes text = slice(body, key + (compressed ? 2 : 1), SIZE_MAX),
                            plain = compressed ? inflate_text(text) : text;
                profile = read_raw_profile(plain);
                if (compressed) free((void *)plain.p);
            }
        }
        at += 12 + (size_t)length;
    }
    return either(either(exif, profile), xmp);
}

/* Size, components and orientation of a JPEG file; `ends` if it goes on to its end marker. */
static orientation inspect_jpeg(bytes b, hc_picture_info *info)
{
    orientation exif = {0}, xmp = {0};
    int scanning = 0;
    for (size_t at = 2; at + 1 < b.n;) {
        const uint8_t *hit = memchr(b.p + at, 0xff, b.n - at - 1);
        if (!hit) break;
        at = (size_t)(hit - b.p) + 1;
        const uint8_t marker = b.p[at];
        if (marker == 0xff) continue;
        at++;
        if (marker == 0xd9 && scanning) {
            info->ends = 1;
            break;
        }
        if (marker <= 1 || (marker >= 0xd0 && marker <= 0xd9)) /* no segment; stray bytes are skipped */
            continue;
        if (b.n - at < 2) break;
        const uint32_t length = hc_be16(b.p + at);
        const bytes body = slice(b, at + 2, length < 2 ? 0 : length - 2);
        if (marker == 0xe1 && BEGINS(body, "Exif\0\0")) exif = either(exif, read_exif(body));
        else if (marker == 0xe1 && BEGINS(body, "http://ns.adobe.com/xap/1.0/\0")) xmp = read_xmp(body);
        else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc &&
                 body.n >= 6 && !scanning) {
            info->height = hc_be16(body.p + 1);
            info->width = hc_be16(body.p + 3);
            info->channels = body.p[5];
        }
        scanning |= marker == 0xda;
        at += length < 2 ? 2 : length;
    }
    return either(exif, xmp);
}

static orientation inspect_webp(bytes b, hc_picture_info *info)
{
    orientation exif = {0}, xmp = {0};
    for (size_t at = 12; b.n >= 8 && at <= b.n - 8;) {
        const bytes chunk = slice(b, at, SIZE_MAX), body = slice(b, at + 8, hc_le32(b.p + at + 4));
        const uint8_t *p = body.p;
        const int known = info->width != 0;
        if (BEGINS(chunk, "VP8X") && body.n >= 10) {
            info->width = (hc_le16(p + 4) | (uint32_t)p[6] << 16) + 1;
            info->height = (hc_le16(p + 7) | (uint32_t)p[9] << 16) + 1;
            info->channels = p[0] & 16 ? 4 : 3;
        } else if (BEGINS(chunk, "VP8 ") && body.n >= 10 && !known) {
            info->width = hc_le16(p + 6) & 0x3fff;
            info->height = hc_le16(p + 8) & 0x3fff;
            info->channels = 3;
        } else if (BEGINS(chunk, "VP8L") && body.n >= 5 && !known) {
            info->width = (hc_le32(p + 1) & 0x3fff) + 1;
            info->height = (hc_le32(p + 1) >> 14 & 0x3fff) + 1;
            info->channels = 4;
        } else if (BEGINS(chunk, "EXIF")) {
            exif = read_exif(body);
        } else if (BEGINS(chunk, "XMP ")) {
            xmp = read_xmp(body);
        }
        at += 8 + body.n + (body.n & 1);
    }
    return either(exif, xmp);
}

/* The largest of the sizes that the pictures inside AVIF and HEIF files have: a grid of tiles is larger than they are.
 */
static void inspect_heif(bytes b, hc_picture_info *info)
{
    bytes rest = slice(b, 0, 1 << 20);
    for (;;) {
        rest = slice(rest, find(rest, "ispe", 4), SIZE_MAX);
        if (rest.n < 16) return;
        const uint32_t width = hc_be32(rest.p + 8), height = hc_be32(rest.p + 12);
        if ((uint64_t)width * height > (uint64_t)info->width * info->height) {
            info->width = width;
            info->height = height;
        }
        rest = slice(rest, 16, SIZE_MAX);
    }
}

static hc_picture_format format_of(bytes b)
{
    if (BEGINS(b, "\x89PNG\r\n\x1a\n")) return HC_PNG;
    if (BEGINS(b, "\xff\xd8\xff")) return HC_JPEG;
    if (BEGINS(b, "GIF87a") || BEGINS(b, "GIF89a")) return HC_GIF;
    if (BEGINS(b, "BM")) return HC_BMP;
    if (BEGINS(b, "RIFF") && BEGINS(slice(b, 8, 4), "WEBP")) return HC_WEBP;
    if (BEGINS(b, "II*\0") || BEGINS(b, "MM\0*")) return HC_TIFF;
    if (BEGINS(slice(b, 4, 4), "ftyp")) {
        const bytes brand = slice(b, 8, 4);
        if (BEGINS(brand, "avif") || BEGINS(brand, "avis")) return HC_AVIF;
        if (BEGINS(brand, "mif1") || BEGINS(brand, "msf1"))
            return find(slice(b, 12, 64), "avif", 4) < slice(b, 12, 64).n ? HC_AVIF : HC_HEIF;
        return BEGINS(brand, "hei") || BEGINS(brand, "hev") ? HC_HEIF : HC_UNKNOWN;
    }
    /* SVG: XML whose first element, after declarations and comments, is <svg>. */
    bytes text = slice(b, BEGINS(b, "\xef\xbb\xbf") ? 3 : 0, 4096);
    while (text.n && (*text.p == ' ' || *text.p == '\t' || *text.p == '\r' || *text.p == '\n'))
        text = slice(text, 1, SIZE_MAX);
    if (BEGINS(text, "<svg") || BEGINS(text, "<!DOCTYPE svg")) return HC_SVG;
    return (BEGINS(text, "<?xml") || BEGINS(text, "<!--")) && find(text, "<svg", 4) < text.n ? HC_SVG : HC_UNKNOWN;
}

void hc_picture_inspect(const uint8_t *file, size_t size, hc_picture_info *info)
{
    const bytes b = {file, size};
    orientation o = {0};
    *info = (hc_picture_info){.format = format_of(b)};
    switch (info->format) {
    case HC_PNG: o = inspect_png(b); break;
    case HC_JPEG: o = inspect_jpeg(b, info); break;
    case HC_WEBP: o = inspect_webp(b, info); break;
    case HC_TIFF: {
        const tiff_tags tags = read_tiff(b);
        info->width = tags.width;
        info->height = tags.height;
        info->channels = tags.colours == 3 ? 1 : 3;
        o = tags.orientation;
        break;
    }
    case HC_AVIF:
    case HC_HEIF: inspect_heif(b, info); break;
    default: break;
    }
    info->orientation = o.value ? o.value : 1;
    info->orientation_at = o.at ? (size_t)(o.at - file) : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

hc_picture_reader *hc_picture_reader_new(const uint8_t *file, size_t size)
{
    const hc_picture_format format = format_of((bytes){file, size});
    hc_picture_reader *r = format == HC_GIF   ? hc_gif_open(file, size)
                           : format == HC_BMP ? hc_bmp_open(file, size)
                                              : hc_png_open(file, size);
    if (r) {
        r->picture.palette = r->palette;
        r->picture.orientation = 1;
        r->rows_left = r->picture.height;
    }
    return r;
}

const hc_picture *hc_picture_reader_picture(const hc_picture_reader *r) { return &r->picture; }
const char *hc_picture_reader_problem(const hc_picture_reader *r) { return r->problem; }

hc_status hc_picture_reader_read(hc_picture_reader *r, hc_preprocessor *p, size_t pixels, int *rows_left)
{
    const size_t width = (size_t)r->picture.width;
    hc_status status = r->problem ? HC_INPUT_DECODE : HC_OK;
    for (size_t done = 0; status == HC_OK && r->rows_left && done < pixels; done += width) {
        const uint8_t *row;
        status = r->next(r, &row);
        if (status == HC_OK && row) {
            hc_preprocessor_push(p, row, 1);
            r->rows_left--;
        }
    }
    *rows_left = r->rows_left;
    return status;
}

void hc_picture_reader_free(hc_picture_reader *r)
{
    if (r) r->free(r);
}
