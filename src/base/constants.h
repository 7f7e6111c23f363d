/* constants.h: how towers and dtypes are called, in messages and in shards. */
#ifndef HC_CONSTANTS_H
#define HC_CONSTANTS_H

#include "halfclip.h"

const char *hc_tower_name(hc_tower tower);
const char *hc_dtype_name(hc_dtype dtype); /* "" for HC_AUTO */

#endif
