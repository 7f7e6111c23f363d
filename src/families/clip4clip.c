/* clip4clip.c: what CLIP4Clip (Luo et al., 2021, arXiv:2104.08860; ArrowLuo/CLIP4Clip, modules/modeling.py) does with
 * the vectors of a video's frames: meanP, seqTransf and seqLSTM. Its image tower is one of the other families'. Nothing
 * of this is in a config: sizes are those of the file's tensors. */
#include "families/family.h"
#include "families/openclip.h"

#include "base/text_format.h"

#include <string.h>

/* A mean takes any number of frames; an LSTM keeps their vectors. Its state was trained with a dozen. */
enum { MOST_OF_MEAN = 1 << 24, MOST_OF_LSTM = 1024 };

enum { POSITIONS = 77, HEAD_WIDTH = 64 };

static const float NORM_EPS = 1e-12f;

/* ---- what a file holds --------------------------------------------------------------------------------------------
 */

static int holds(const hc_safetensors *file, const char *outer, const char *beginning)
{
    for (size_t i = 0; i < file->count; i++)
        if (hc_json_begins(&file->tensors[i].name, (const char *const[]){outer, "", beginning}, 3)) return 1;
    return 0;
}

/* Layers of the transformer, up to the last that has a tensor. */
static int count_layers(const hc_safetensors *file, const char *outer)
{
    char beginning[64];
    int count = 0;
    for (int i = 0; i < HC_MAX_LAYERS; i++) {
        hc_format(beginning, sizeof beginning, "transformerClip.resblocks.%d.", i);
        if (holds(file, outer, beginning)) count = i + 1;
    }
    return count;
}

static int count_positions(const hc_safetensors *file, const char *outer)
{
    uint32_t shape[HC_MOST_RANK];
    const hc_file_tensor *found = hc_names_get(file, outer, "", "frame_position_embeddings.weight");
    int is_table = found && hc_safetensors_shape(found, shape) == 2 && shape[0] >= 1 && shape[0] <= HC_MAX_POSITIONS;
    return is_table ? (int)shape[0] : POSITIONS;
}

/* logit_scale lies beside both towers, under whatever wraps them. */
static void find_scale(const hc_safetensors *file, hc_video *found)
{
    uint32_t shape[HC_MOST_RANK];
    for (int i = 0; i < HC_PREFIX_COUNT * HC_PREFIX_COUNT && !found->scale_outer; i++) {
        const char *outer = HC_PREFIXES[i % HC_PREFIX_COUNT], *inner = HC_PREFIXES[i / HC_PREFIX_COUNT];
        const hc_file_tensor *tensor = hc_names_get(file, outer, inner, "logit_scale");
        found->scale_rank = tensor ? hc_safetensors_shape(tensor, shape) : -1;
        if (found->scale_rank != 0 && (found->scale_rank != 1 || shape[0] != 1)) continue;
        found->scale_outer = outer;
        found->scale_inner = inner;
    }
}

void hc_clip4clip_find(const hc_safetensors *file, hc_temporal asked, hc_video *found, hc_problem *problem)
{
    int transformer = 0, lstm = 0, tight = 0;
    found->outer = "";
    for (int i = 0; i < HC_PREFIX_COUNT && !transformer && !lstm && !tight; i++) {
        const char *outer = HC_PREFIXES[i];
        lstm = holds(file, outer, "lstm_visual.");
        transformer =
            holds(file, outer, "transformerClip.") || (!lstm && holds(file, outer, "frame_position_embeddings."));
        tight = holds(file, outer, "similarity_dense.");
        if (transformer || lstm || tight) found->outer = outer;
    }
    if (tight && asked == HC_TEMPORAL_AUTO && !transformer && !lstm)
        hc_fail(
            problem, HC_MODEL_UNSUPPORTED,
            "the file was trained with tightTransf (it holds %ssimilarity_dense), which scores pairs of a text and a "
            "video and gives no video a vector: expected one of meanP, seqTransf or seqLSTM; or give temporal meanP, "
            "which takes the mean of its frames' vectors",
            found->outer);
    found->temporal = asked != HC_TEMPORAL_AUTO ? asked
                      : transformer             ? HC_TEMPORAL_SEQTRANSF
                      : lstm                    ? HC_TEMPORAL_SEQLSTM
                                                : HC_TEMPORAL_MEANP;
    found->positions = count_positions(file, found->outer);
    found->layers = count_layers(file, found->outer);
    if (!found->layers) found->layers = 1; /* whose tensors are missing */
    find_scale(file, found);
}

static const hc_name_rule AS_IS[] = {{0}};
static const hc_names ALONE = {.rules = AS_IS}, TRANSFORMER = {.owned = {"transformerClip."}, .rules = AS_IS},
                      LSTM = {.owned = {"lstm_visual."}, .rules = AS_IS};

hc_names_match hc_clip4clip_match_of(const hc_network *net, const hc_tensor *tensor)
{
    const hc_video *v = &net->video;
    if (tensor == &net->tensors[net->logit_scale]) return (hc_names_match){&ALONE, v->scale_outer, v->scale_inner};
    return (hc_names_match){v->temporal == HC_TEMPORAL_SEQTRANSF ? &TRANSFORMER : &LSTM, v->outer, ""};
}

/* ---- the operations -----------------------------------------------------------------------------------------------
 */

/* Residual blocks as CLIP's, that see all frames. */
static hc_value transformer(hc_network *net, hc_value frames)
{
    int width = net->values[frames].width, positions = net->video.positions;
    hc_openclip_config c = {.width = width,
                            .layers = net->video.layers,
                            .heads = width / HEAD_WIDTH,
                            .mlp_width = 4 * width,
                            .activation = HC_QUICK_GELU,
                            .eps = NORM_EPS};
    hc_value placed = hc_add(
        net, frames, hc_parameter(net, "frame_position_embeddings.weight", 2, positions, positions, width), NULL);
    return hc_openclip_blocks(net, &c, "transformerClip.resblocks.%d.", placed, 0);
}

void hc_clip4clip_build(hc_network *net)
{
    hc_temporal temporal = net->video.temporal;
    hc_value of_pictures = net->output;
    int width = net->dim, first = net->tensor_count;
    if (net->problem->status != HC_OK) return;
    if (net->tokens_out > 1 || (temporal == HC_TEMPORAL_SEQTRANSF && width % HEAD_WIDTH)) {
        hc_fail(
            net->problem, HC_MODEL_UNSUPPORTED,
            "the image tower gives %d vectors of %d numbers a picture, expected 1 for a video tower, and for seqTransf "
            "a multiple of %d numbers",
            net->tokens_out, width, (int)HEAD_WIDTH);
        return;
    }
    net->video_op = net->op_count;
    if (net->video.scale_outer)
        net->logit_scale = hc_network_tensor(net, "logit_scale", "", HC_FLOATS, net->video.scale_rank, 1, 0, 0, 0);
    net->most_frames = temporal == HC_TEMPORAL_SEQTRANSF ? net->video.positions
                       : temporal == HC_TEMPORAL_SEQLSTM ? MOST_OF_LSTM
                                                         : MOST_OF_MEAN;
    hc_value frames = hc_frames(net, net->most_frames, width), x = frames;
    if (temporal == HC_TEMPORAL_SEQTRANSF) x = hc_add(net, transformer(net, frames), frames, NULL);
    if (temporal == HC_TEMPORAL_SEQLSTM) x = hc_add(net, hc_lstm(net, "lstm_visual.", frames), frames, NULL);
    hc_result(net, hc_mean_direction(net, x));
    net->output = of_pictures;
    for (int i = first; i < net->tensor_count; i++) net->tensors[i].is_beside = 1;
}
