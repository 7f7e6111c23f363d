/* reader.c: reading the formats that are decoded here, row by row into a preprocessor. */
#include "picture/reader.h"

hc_picture_reader *hc_picture_reader_new(const uint8_t *file, size_t size)
{
    const hc_picture_format format = hc_format_of((hc_bytes){file, size});
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
