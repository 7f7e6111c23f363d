/* metadata.c: the tags of TIFF, EXIF and XMP that say how a picture is to be turned, read as Pillow reads them. */
#include "picture/metadata.h"
#include "base/size.h"

#include <stdlib.h>

/* The types that a tag's number may have. */
enum { TIFF_BYTE = 1, TIFF_SHORT = 3, TIFF_LONG = 4 };

/* One that does not exist is there all the same, and stands for "as it is". */
static int known_orientation(uint32_t value) { return value >= 1 && value <= 8 ? (int)value : 1; }

/* The last one of several entries with the same tag counts, as in Pillow. */
hc_tiff_tags hc_read_tiff(hc_bytes b)
{
    hc_tiff_tags tags = {0};
    const int big = HC_BEGINS(b, "MM\0*");
    uint32_t (*const read16)(const uint8_t *) = big ? hc_be16 : hc_le16;
    uint32_t (*const read32)(const uint8_t *) = big ? hc_be32 : hc_le32;
    if (!big && !HC_BEGINS(b, "II*\0")) return tags;
    if (b.n < 8) return tags;
    const hc_bytes directory = hc_skip(b, read32(b.p + 4));
    if (directory.n < 2) return tags;
    uint32_t left = read16(directory.p);
    for (const uint8_t *p = directory.p + 2; left && directory.p + directory.n - p >= 12; left--, p += 12) {
        const uint32_t tag = read16(p), type = read16(p + 2), count = read32(p + 4);
        if (count != 1 || (type != TIFF_BYTE && type != TIFF_SHORT && type != TIFF_LONG)) continue;
        const uint32_t value = type == TIFF_BYTE ? p[8] : type == TIFF_SHORT ? read16(p + 8) : read32(p + 8);
        if (tag == 256) tags.width = value;
        else if (tag == 257) tags.height = value;
        else if (tag == 262) tags.colours = value;
        else if (tag == 274) {
            const int last_byte = type == TIFF_BYTE ? 0 : type == TIFF_SHORT ? 1 : 3;
            tags.orientation = (hc_orientation){known_orientation(value), p + 8 + (big ? last_byte : 0)};
        }
    }
    return tags;
}

hc_orientation hc_read_exif(hc_bytes b)
{
    for (int i = 0; i < 2 && HC_BEGINS(b, "Exif\0\0"); i++) b = hc_skip(b, 6);
    return hc_read_tiff(b).orientation;
}

/* -1: none. */
static int hexadecimal_digit(uint8_t c)
{
    const uint8_t letter = c | 32;
    return c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

hc_orientation hc_read_raw_profile(hc_bytes text)
{
    for (int lines = 0; lines < 3 && text.n; text = hc_skip(text, 1)) lines += *text.p == '\n';
    uint8_t *exif = hc_allocate(text.n / 2 + 1, 1);
    size_t nibbles = 0;
    for (size_t i = 0; exif && i < text.n; i++) {
        const int digit = hexadecimal_digit(text.p[i]);
        if (digit >= 0 && nibbles / 2 < text.n / 2) {
            uint8_t *byte = exif + nibbles++ / 2;
            *byte = (uint8_t)(nibbles & 1 ? digit << 4 : *byte | digit);
        }
    }
    hc_orientation o = exif ? hc_read_exif((hc_bytes){exif, nibbles / 2}) : (hc_orientation){0};
    o.at = NULL;
    free(exif);
    return o;
}

hc_orientation hc_read_xmp(hc_bytes b)
{
    static const char name[] = "tiff:Orientation";
    while (b.n) {
        b = hc_skip(b, hc_find(b, name, sizeof name - 1) + sizeof name - 1);
        const size_t value = HC_BEGINS(b, "=\"") ? 2 : HC_BEGINS(b, ">") ? 1 : 0;
        if (value && value < b.n && b.p[value] >= '0' && b.p[value] <= '9')
            return (hc_orientation){known_orientation(b.p[value] - (uint32_t)'0'), NULL};
    }
    return (hc_orientation){0};
}
