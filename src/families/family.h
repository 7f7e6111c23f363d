/* family.h: a family of towers: one class of OpenCLIP's, or of the libraries that it takes towers from. */
#ifndef HC_FAMILY_H
#define HC_FAMILY_H

#include "checkpoint/names.h"
#include "checkpoint/options.h"
#include "tower/network.h"

enum { HC_FAMILY_NAMES = 10 };

typedef struct hc_family {
    const char *name; /* as messages call it: "an image tower of the kind of …" */
    hc_tower tower;
    /* Whether the config's section asks for it. */
    int (*answers)(const hc_options *o);
    /* Reads the section and builds the tower. */
    void (*build)(hc_network *net, hc_options *o);
    /* How checkpoints name its tensors; one without anchors ends the list. */
    hc_names names[HC_FAMILY_NAMES];
} hc_family;

/* What a file knows of videos that is not in a config; the problem says what is wrong. Returns whether a network is to
 * be built anew for it. */
int hc_family_find_video(const hc_safetensors *file, hc_tower tower, hc_temporal asked, hc_video *found,
                         hc_problem *problem);

/* clip4clip.c: which of the heads that was, and the operations that it is, behind those of an image tower. */
void hc_clip4clip_find(const hc_safetensors *file, hc_temporal asked, hc_video *found, hc_problem *problem);
void hc_clip4clip_build(hc_network *net);
hc_names_match hc_clip4clip_match_of(const hc_network *net, const hc_tensor *tensor);

/* Builds the tower that a config (see hc_loader_new) asks for, in a network that hc_network_init has made, whose
 * problem says what is wrong. NULL then. */
const hc_family *hc_family_build(hc_network *net, const char *config, size_t length);

/* Says as JSON what the windows of a network's grids are with pictures of another size. 0: it has none. */
int hc_family_put_windows(const hc_network *net, int height, int width, char text[HC_WINDOWS_TEXT]);

/* How the file names the tensors of a network of this family; without `names` if it holds none. */
hc_names_match hc_family_match(const hc_family *family, const hc_network *net, const hc_safetensors *file);

/* The same for one of its tensors, given that of the image tower: those of a video tower beside it have other names,
 * the last one among them. */
hc_names_match hc_family_match_of(const hc_names_match *match, const hc_network *net, const hc_tensor *tensor);

/* How the file names the towers of each family; without `names` where it holds none. */
enum { HC_MOST_FAMILIES = 24 };
void hc_family_match_all(const hc_safetensors *file, hc_names_match matches[HC_MOST_FAMILIES]);

/* The tower that a tensor of that file belongs to, by its name; -1: neither. */
int hc_family_tower_of(const hc_names_match matches[HC_MOST_FAMILIES], const hc_json *name);

/* What a file without a tower of `family` seems to hold, and what was asked for, as noun phrases. */
void hc_family_describe(const hc_safetensors *file, const hc_family *family, char *held, size_t held_size, char *asked,
                        size_t asked_size);

/* What in a file says that its towers were trained with QuickGELU, as a noun phrase; NULL if nothing does. The shapes
 * cannot: GELU has the same. `is_video`: its video tower is asked for, so that it is CLIP4Clip's if it is named so. */
const char *hc_family_quick_gelu(const hc_safetensors *file, int is_video);

/* The families, each in the file of its name. */
extern const hc_family hc_bert_text, hc_eva, hc_m2m_text, hc_t5_text, hc_convnext, hc_fastvit, hc_modified_resnet,
    hc_swin, hc_text_transformer, hc_timm_vit, hc_vision_transformer, hc_vit_hybrid, hc_vit_relpos, hc_vitamin;

#endif
