/* reader.h: a picture's file, read row by row (internal to the library). One file for each format: png.c, gif.c, bmp.c.
 */
#ifndef HC_READER_H
#define HC_READER_H

#include "halfclip.h"
#include "base/size.h"
#include "picture/bytes.h"

/* What each format's own struct begins with. */
struct hc_picture_reader {
    hc_picture picture;  /* `palette` is the one below */
    const char *problem; /* what is wrong with the file, once that is known */
    int rows_left;
    uint8_t palette[768];

    /* Sets *row to the next row, which stays until the next call, or to NULL where that took a row's work but there is
     * none yet. */
    hc_status (*next)(struct hc_picture_reader *reader, const uint8_t **row);
    void (*free)(struct hc_picture_reader *reader);
};

/* Reads the headers; `problem` says what is wrong with them. NULL when memory is exhausted. */
hc_picture_reader *hc_png_open(const uint8_t *file, size_t size);
hc_picture_reader *hc_gif_open(const uint8_t *file, size_t size);
hc_picture_reader *hc_bmp_open(const uint8_t *file, size_t size);

/* The format of a file, by its first bytes. */
hc_picture_format hc_format_of(hc_bytes b);

#endif
