/* metadata.h: how a picture is to be turned, as EXIF or XMP in its file says (internal to the library). */
#ifndef HC_METADATA_H
#define HC_METADATA_H

#include "picture/bytes.h"

/* The orientation that a file speaks of, and where. */
typedef struct hc_orientation {
    int value;         /* 0: there is none */
    const uint8_t *at; /* the byte that holds it; NULL: it is not to be found as a byte */
} hc_orientation;

typedef struct hc_tiff_tags {
    uint32_t width, height, colours;
    hc_orientation orientation;
} hc_tiff_tags;

/* The first directory of a TIFF file. */
hc_tiff_tags hc_read_tiff(hc_bytes b);

/* EXIF, which is a TIFF file, with or without the words before it. */
hc_orientation hc_read_exif(hc_bytes b);

/* EXIF as ImageMagick writes it: a line of its name, one of its length, then hexadecimal digits. */
hc_orientation hc_read_raw_profile(hc_bytes text);

/* XMP: tiff:Orientation="6" or <tiff:Orientation>6. */
hc_orientation hc_read_xmp(hc_bytes b);

#endif
