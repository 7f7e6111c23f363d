/* names.h: how checkpoints name tensors. A family of towers lists the namings that it is found under; each is a few
 * rules from OpenCLIP's names to the file's. */
#ifndef HC_NAMES_H
#define HC_NAMES_H

#include "checkpoint/safetensors.h"

/* '#' is the number of a layer, '*' the rest of the name, and '@' in the file's name stands for q, k and v in turn. */
typedef struct hc_name_rule {
    const char *canonical, *file;
    /* A projection that OpenCLIP has as [k, n] is stored [n, k], as nn.Linear has it; or the other way round. */
    int linear;
    /* `of` not 0: it is `count` of the `of` parts of equal size that the file has stacked by rows, from part `first`
     * on. */
    int first, count, of;
} hc_name_rule;

#define HC_RULE(canonical, file)                        {canonical, file, 0, 0, 0, 0}
#define HC_LINEAR_RULE(canonical, file)                 {canonical, file, 1, 0, 0, 0}
#define HC_ZEROS_RULE(canonical)                        {canonical, "", 0, 0, 0, 0} /* it is not stored: all zeros */
#define HC_PART_RULE(canonical, file, first, count, of) {canonical, file, 0, first, count, of}

typedef struct hc_names {
    const char *anchors[2]; /* OpenCLIP's names, one of which a file of this naming surely has               */
    const char *owned[8];   /* beginnings of the file's names that belong to the tower; "": all              */
    const char *unused[6];  /* endings of names that belong to the tower and that it does without            */
    const hc_name_rule
        *rules; /* the first that fits counts, up to one without names; what has no rule the naming does not have */
    const char *prefix; /* before every name that a rule gives, or NULL                                  */
    const char *const (
        *pieces)[2]; /* what is called otherwise wherever it stands in such a name, up to NULL; or NULL */
} hc_names;

enum { HC_NAME_LENGTH = 192, HC_NAME_PARTS = 3 };

/* A naming as found in a file: with what is before every name ("module." and the like). */
typedef struct hc_names_match {
    const hc_names *names;     /* NULL: the file holds no such tower */
    const char *outer, *inner; /* prefixes, one after the other      */
} hc_names_match;

/* The naming, of `name_count`, under which the file has most of the first of `count` tensors: their names lie `stride`
 * bytes apart from `first` on. */
hc_names_match hc_names_find(const hc_safetensors *file, const hc_names *names, size_t name_count, const char *first,
                             size_t stride, size_t count);

/* Under which names the file has a tensor: 1, or 3 if it has q, k and v apart, stacked by rows, or 0: it is all zeros;
 * and the rule that says so, one without names where there is none. */
int hc_names_of(const hc_names_match *match, const char *canonical, char names[HC_NAME_PARTS][HC_NAME_LENGTH],
                const hc_name_rule **rule);

/* Whether a tensor that the config does not ask for belongs to the tower all the same. */
int hc_names_own(const hc_names_match *match, const hc_json *name);

/* What wrappers put before every name: DistributedDataParallel, CLIP4Clip and Lightning, torch.compile; at most two of
 * them. */
enum { HC_PREFIX_COUNT = 5 };
extern const char *const HC_PREFIXES[HC_PREFIX_COUNT];

/* The file's tensor of this name behind two prefixes, or NULL. */
const hc_file_tensor *hc_names_get(const hc_safetensors *file, const char *outer, const char *inner, const char *name);

/* Whether a name as it stands in a file, in quotes, ends so. */
int hc_names_ends(const hc_json *name, const char *ending);

/* Whether one of the file's names begins so. */
int hc_names_begin(const hc_safetensors *file, const char *beginning);

#endif
