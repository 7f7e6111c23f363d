/* vit_hybrid.h: the ResNets that timm's hybrid VisionTransformers have before the blocks. */
#ifndef HC_VIT_HYBRID_H
#define HC_VIT_HYBRID_H

#include "operations/operations.h"

enum { HC_RESNET_STAGES = 4 };

typedef struct hc_resnet {
    int stages; /* without any it is the stem alone */
    int blocks[HC_RESNET_STAGES];
    int channels[HC_RESNET_STAGES]; /* after each stage; a quarter of the first are the stem's, of each the bottleneck's
                                     */
} hc_resnet;

/* timm's ResNetV2 (timm/models/resnetv2.py) of "Big Transfer" (Kolesnikov et al., 2020) as ViT has it, without
 * activations before convolutions: standardised weights, GroupNorm, SAME padding. 128 divides the channels. */
hc_value hc_resnet_v2(hc_network *net, const hc_resnet *r, hc_value x);

/* timm's ResNet-D (timm/models/resnet.py; He et al., "Bag of Tricks", 2019): a stem of three convolutions, BatchNorm,
 * shortcuts by average pooling. 8 divides the channels. */
hc_value hc_resnet_d(hc_network *net, const hc_resnet *r, hc_value x);

#endif
