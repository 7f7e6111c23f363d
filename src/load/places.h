/* places.h: positions that a file has for another grid or length than the tower's, and biases by distance for windows
 * of another size. */
#ifndef HC_LOAD_PLACES_H
#define HC_LOAD_PLACES_H

#include "load/loader.h"

/* Whether the file's tensor holds a tower's positions for other places, from which they are made: which those are. */
int hc_places_differ(const hc_loader *loader, const hc_tensor *tensor, const hc_file_tensor *found, hc_places *from);

/* Numbers of a TO_PLACES item, as they come. */
void hc_places_take(hc_loader *loader, hc_item *item, const uint8_t *bytes, size_t count);

/* Makes some of the tower's positions of an item that has come whole. Returns whether all are made. */
int hc_places_resize(hc_loader *loader, hc_item *item);

#endif
