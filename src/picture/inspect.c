/* inspect.c: what a picture's file says of itself before anything is decoded: format, size, orientation. */
#include "picture/inflate.h"
#include "picture/metadata.h"
#include "picture/reader.h"

#include <stdlib.h>

/* XMP counts where EXIF says nothing. */
static hc_orientation either(hc_orientation first, hc_orientation second) { return first.value ? first : second; }

/* ---- PNG ----------------------------------------------------------------------------------------------------------
 */

static int once(void *user, const uint8_t **begin, const uint8_t **end)
{
    hc_bytes *b = user;
    *begin = b->p;
    *end = b->p + b->n;
    b->p += b->n;
    b->n = 0;
    return *begin != *end;
}

enum { MOST_TEXT = 1 << 20 };

/* What `read` finds in a text that is compressed, up to a megabyte of it. */
static hc_orientation read_compressed(hc_bytes compressed, hc_orientation (*read)(hc_bytes))
{
    uint8_t *text = hc_allocate(MOST_TEXT, 1);
    hc_inflate *z = hc_inflate_new(once, &compressed);
    const hc_orientation o = read((hc_bytes){text, text && z ? hc_inflate_read(z, text, MOST_TEXT) : 0});
    hc_inflate_free(z);
    free(text);
    return o;
}

/* What comes after a string that a zero ends. */
static hc_bytes after_string(hc_bytes b) { return hc_skip(b, hc_find(b, "", 1) + 1); }

static hc_orientation inspect_png(hc_bytes b)
{
    hc_orientation exif = {0}, profile = {0}, xmp = {0};
    size_t at = 8;
    while (b.n - at >= 12) {
        const uint32_t length = hc_be32(b.p + at);
        const hc_bytes chunk = hc_skip(b, at + 4), body = hc_slice(b, at + 8, length), value = after_string(body);
        if (length > b.n - at - 12 || HC_BEGINS(chunk, "IEND")) break;
        if (HC_BEGINS(chunk, "eXIf")) {
            exif = hc_read_exif(body);
        } else if (HC_BEGINS(chunk, "iTXt") && HC_BEGINS(body, "XML:com.adobe.xmp\0") && value.n > 2) {
            /* Whether it is compressed and how, a language, the key in that language, the text. */
            const hc_bytes text = after_string(after_string(hc_skip(value, 2)));
            xmp = value.p[0] ? read_compressed(text, hc_read_xmp) : hc_read_xmp(text);
        } else if (HC_BEGINS(body, "Raw profile type exif\0")) {
            if (HC_BEGINS(chunk, "tEXt")) profile = hc_read_raw_profile(value);
            if (HC_BEGINS(chunk, "zTXt")) profile = read_compressed(hc_skip(value, 1), hc_read_raw_profile);
        }
        at += 12 + (size_t)length;
    }
    return either(either(exif, profile), xmp);
}

/* ---- JPEG ---------------------------------------------------------------------------------------------------------
 */

/* Finds the next marker from `at` on and returns where what belongs to it begins; 0 if there is none. Stray bytes are
 * skipped. */
static size_t next_marker(hc_bytes b, size_t at, uint8_t *marker)
{
    while (at + 1 < b.n) {
        const uint8_t *hit = memchr(b.p + at, 0xff, b.n - at - 1);
        if (!hit) return 0;
        at = (size_t)(hit - b.p) + 1;
        *marker = b.p[at];
        if (*marker != 0xff) return at + 1;
    }
    return 0;
}

static int is_frame(uint8_t marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* Size, components and orientation of a JPEG file; `ends` if it goes on to its end marker. */
static hc_orientation inspect_jpeg(hc_bytes b, hc_picture_info *info)
{
    hc_orientation exif = {0}, xmp = {0};
    int scanning = 0;
    uint8_t marker;
    for (size_t at = 2; (at = next_marker(b, at, &marker));) {
        if (marker == 0xd9 && scanning) {
            info->ends = 1;
            break;
        }
        if (marker <= 1 || (marker >= 0xd0 && marker <= 0xd9)) continue; /* no segment */
        if (b.n - at < 2) break;
        const uint32_t length = hc_be16(b.p + at);
        const hc_bytes body = hc_slice(b, at + 2, length < 2 ? 0 : length - 2);
        if (marker == 0xe1 && HC_BEGINS(body, "Exif\0\0")) {
            exif = either(exif, hc_read_exif(body));
        } else if (marker == 0xe1 && HC_BEGINS(body, "http://ns.adobe.com/xap/1.0/\0")) {
            xmp = hc_read_xmp(body);
        } else if (is_frame(marker) && body.n >= 6 && !scanning) {
            info->height = hc_be16(body.p + 1);
            info->width = hc_be16(body.p + 3);
            info->channels = body.p[5];
        }
        scanning |= marker == 0xda;
        at += length < 2 ? 2 : length;
    }
    return either(exif, xmp);
}

/* ---- other formats ------------------------------------------------------------------------------------------------
 */

static void set_size(hc_picture_info *info, uint32_t width, uint32_t height, int channels)
{
    info->width = width;
    info->height = height;
    info->channels = channels;
}

static hc_orientation inspect_webp(hc_bytes b, hc_picture_info *info)
{
    hc_orientation exif = {0}, xmp = {0};
    for (size_t at = 12; b.n >= 8 && at <= b.n - 8;) {
        const hc_bytes chunk = hc_skip(b, at), body = hc_slice(b, at + 8, hc_le32(b.p + at + 4));
        const uint8_t *p = body.p;
        const int known = info->width != 0;
        if (HC_BEGINS(chunk, "VP8X") && body.n >= 10)
            set_size(info, (hc_le16(p + 4) | (uint32_t)p[6] << 16) + 1, (hc_le16(p + 7) | (uint32_t)p[9] << 16) + 1,
                     p[0] & 16 ? 4 : 3);
        else if (HC_BEGINS(chunk, "VP8 ") && body.n >= 10 && !known)
            set_size(info, hc_le16(p + 6) & 0x3fff, hc_le16(p + 8) & 0x3fff, 3);
        else if (HC_BEGINS(chunk, "VP8L") && body.n >= 5 && !known)
            set_size(info, (hc_le32(p + 1) & 0x3fff) + 1, (hc_le32(p + 1) >> 14 & 0x3fff) + 1, 4);
        else if (HC_BEGINS(chunk, "EXIF")) exif = hc_read_exif(body);
        else if (HC_BEGINS(chunk, "XMP ")) xmp = hc_read_xmp(body);
        at += 8 + body.n + (body.n & 1);
    }
    return either(exif, xmp);
}

static hc_orientation inspect_tiff(hc_bytes b, hc_picture_info *info)
{
    const hc_tiff_tags tags = hc_read_tiff(b);
    set_size(info, tags.width, tags.height, tags.colours == 3 ? 1 : 3);
    return tags.orientation;
}

/* The largest of the sizes that the pictures inside AVIF and HEIF files have: a grid of tiles is larger than they are.
 */
static void inspect_heif(hc_bytes b, hc_picture_info *info)
{
    hc_bytes rest = hc_slice(b, 0, 1 << 20);
    for (;;) {
        rest = hc_skip(rest, hc_find(rest, "ispe", 4));
        if (rest.n < 16) return;
        const uint32_t width = hc_be32(rest.p + 8), height = hc_be32(rest.p + 12);
        if ((uint64_t)width * height > (uint64_t)info->width * info->height) {
            info->width = width;
            info->height = height;
        }
        rest = hc_skip(rest, 16);
    }
}

/* ---- formats ------------------------------------------------------------------------------------------------------
 */

/* AVIF and HEIF, by the brand of the file and those that it is compatible with. */
static hc_picture_format format_of_brand(hc_bytes b)
{
    const hc_bytes brand = hc_slice(b, 8, 4), others = hc_slice(b, 12, 64);
    if (HC_BEGINS(brand, "avif") || HC_BEGINS(brand, "avis")) return HC_AVIF;
    if (HC_BEGINS(brand, "mif1") || HC_BEGINS(brand, "msf1"))
        return hc_find(others, "avif", 4) < others.n ? HC_AVIF : HC_HEIF;
    return HC_BEGINS(brand, "hei") || HC_BEGINS(brand, "hev") ? HC_HEIF : HC_UNKNOWN;
}

/* XML whose first element, after declarations and comments, is <svg>. */
static int is_svg(hc_bytes b)
{
    hc_bytes text = hc_slice(b, HC_BEGINS(b, "\xef\xbb\xbf") ? 3 : 0, 4096);
    while (text.n && (*text.p == ' ' || *text.p == '\t' || *text.p == '\r' || *text.p == '\n')) text = hc_skip(text, 1);
    if (HC_BEGINS(text, "<svg") || HC_BEGINS(text, "<!DOCTYPE svg")) return 1;
    return (HC_BEGINS(text, "<?xml") || HC_BEGINS(text, "<!--")) && hc_find(text, "<svg", 4) < text.n;
}

hc_picture_format hc_format_of(hc_bytes b)
{
    if (HC_BEGINS(b, "\x89PNG\r\n\x1a\n")) return HC_PNG;
    if (HC_BEGINS(b, "\xff\xd8\xff")) return HC_JPEG;
    if (HC_BEGINS(b, "GIF87a") || HC_BEGINS(b, "GIF89a")) return HC_GIF;
    if (HC_BEGINS(b, "BM")) return HC_BMP;
    if (HC_BEGINS(b, "RIFF") && HC_BEGINS(hc_slice(b, 8, 4), "WEBP")) return HC_WEBP;
    if (HC_BEGINS(b, "II*\0") || HC_BEGINS(b, "MM\0*")) return HC_TIFF;
    if (HC_BEGINS(hc_slice(b, 4, 4), "ftyp")) return format_of_brand(b);
    return is_svg(b) ? HC_SVG : HC_UNKNOWN;
}

void hc_picture_inspect(const uint8_t *file, size_t size, hc_picture_info *info)
{
    const hc_bytes b = {file, size};
    hc_orientation o = {0};
    *info = (hc_picture_info){.format = hc_format_of(b)};
    switch (info->format) {
    case HC_PNG: o = inspect_png(b); break;
    case HC_JPEG: o = inspect_jpeg(b, info); break;
    case HC_WEBP: o = inspect_webp(b, info); break;
    case HC_TIFF: o = inspect_tiff(b, info); break;
    case HC_AVIF:
    case HC_HEIF: inspect_heif(b, info); break;
    default: break;
    }
    info->orientation = o.value ? o.value : 1;
    info->orientation_at = o.at ? (size_t)(o.at - file) : 0;
}
