/* tower.c: the tower that is loaded: of the config as it was given, unless the file adds to that, or another size of
 * pictures was asked for. */
#include "load/loader.h"

#include <string.h>

static void build(hc_loader *loader, hc_network *net, const char *config)
{
    hc_network_free(net);
    hc_network_init(net, loader->tower, &loader->problem);
    net->video = loader->video;
    loader->family = hc_family_build(net, config, strlen(config));
}

void hc_loader_make_tower(hc_loader *loader, const hc_safetensors *file)
{
    hc_encoder *e = loader->encoder;
    int settled = 0;
    e->config_json = hc_loader_config(loader, file, &settled);
    int found = hc_family_find_video(file, loader->tower, loader->temporal, &loader->video, &loader->problem);
    if (loader->problem.status != HC_OK) return;
    if (!loader->family || settled || found) build(loader, &loader->net, e->config_json);
    if (loader->tower != HC_TEXT && loader->image_height) {
        hc_loader_config_size(loader, &e->config_json, loader->image_height, loader->image_width, 1);
        if (loader->problem.status == HC_OK) hc_loader_config_windows(loader, &e->config_json);
        if (loader->problem.status == HC_OK) build(loader, &e->net, e->config_json);
    } else {
        e->net = loader->net;
        loader->net = (hc_network){.problem = &loader->problem};
    }
    /* The size that a name of timm's stands for, where the config leaves it out: pictures are prepared at 224 else. */
    int height = e->net.image_height, width = e->net.image_width;
    if (loader->problem.status == HC_OK && loader->tower != HC_TEXT && (height != 224 || width != 224))
        hc_loader_config_size(loader, &e->config_json, height, width, 0);
    e->parameters = hc_network_parameters(&e->net);
}
