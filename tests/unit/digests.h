/* digests.h: vectors against tests/golden/digests.json, which holds their bits as they were in builds before, and as
 * they are in WebAssembly. */
#ifndef DIGESTS_H
#define DIGESTS_H

#include "check.h"
#include "checkpoint/json.h"
#include "files.h"
#include "halfclip.h"
#include "kernels/simd.h"
#include "sha256.h"

#include <string.h>

typedef struct digests {
    char *text;
    hc_json object;
} digests;

static inline digests digests_open(void)
{
    size_t length;
    hc_json_error error;
    digests d = {.text = read_file("tests/golden/digests.json", &length)};
    if (!hc_json_parse(d.text, length, &d.object, &error)) exit(1);
    return d;
}

static inline void digests_close(digests *d) { free(d->text); }

/* All vectors of a golden tower: `tower` is image, text or video. */
static inline void check_digest(const digests *d, const char *name, const char *tower, hc_dtype dtype, const float *all,
                                size_t numbers)
{
    static const char *const dtypes[] = {
        [HC_FP32] = "fp32", [HC_FP16] = "fp16", [HC_INT8] = "int8", [HC_INT4] = "int4"};
    char key[80], found[65], expected[65];
#ifdef HC_HAS_FMA
    if (dtype == HC_FP32 || dtype == HC_FP16) return;
#endif
    snprintf(key, sizeof key, "%s %s", name, tower);
    hc_json of_tower = hc_json_get(&d->object, key), digest = hc_json_get(&of_tower, dtypes[dtype]);
    hc_json_string(&digest, expected, sizeof expected);
    sha256_bytes(all, numbers * sizeof *all, found);
    CHECK(!strcmp(found, expected),
          "%s, %s: digest %s, in tests/golden/digests.json %s; for a new golden tower run `make dist && node "
          "tests/digests.mjs --write`; where a change of bits is meant, --replace in place of --write",
          key, dtypes[dtype], found, *expected ? expected : "none");
}

#endif
