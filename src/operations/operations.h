/* operations.h: what a family builds its tower with. Each call appends one operation to the network (tower/network.h),
 * with the tensors that it reads: those of the prefix in force (HC_IN) and the call's name. It returns the value that
 * it makes.
 *
 * Names of options that are tensors' are complete, like "ls_1.gamma"; others end where "weight" and "bias" follow, like
 * "mlp.c_fc.". */
#ifndef HC_OPERATIONS_H
#define HC_OPERATIONS_H

#include "tower/network.h"

/* ---- where rows come from ---- */

/* The input's pixels as a grid of three channels, channels last. */
hc_value hc_pixels(hc_network *net);

typedef struct hc_patches_options {
    int width, patch_height, patch_width;
    const char *class_embedding; /* [width] or, with `rank` 3, [1, 1, width], the first row; NULL: there is none */
    const char *positions;       /* [rows, width] or [1, rows, width]; NULL: there are none */
    int rank;                    /* of these two: 2 or 3 */
    int bias;                    /* whether the convolution has one */
    int seen;                    /* pictures that a patch goes through (Luo et al., "CLIP4Clip", 2021); 0: one */
} hc_patches_options;

/* Patches of the input's pixels times a matrix (a convolution whose windows do not overlap; pixels beyond the last
 * whole patch are not seen), plus positions. Without a class embedding they are a grid. */
hc_value hc_patches(hc_network *net, const char *name, hc_patches_options options);

typedef struct hc_prepend_options {
    const char *class_embedding; /* [1, 1, width]; or NULL                                                            */
    const char *registers;       /* [1, register_count, width], Darcet et al., 2023; or NULL                          */
    const char *positions;       /* [1, rows, width] of x's rows, and with `positions_of_all` of all; NULL: none      */
    int register_count, positions_of_all;
} hc_prepend_options;

/* A class token and registers before each input's rows of x, plus positions. */
hc_value hc_prepend(hc_network *net, hc_value x, hc_prepend_options options);

typedef struct hc_tokens_options {
    int width, position_count;
    float scale;            /* of the table's rows; 0: 1                                            */
    const char *positions;  /* [position_count, width]; or NULL                                     */
    int resized;            /* those of another length will do: they are resized                    */
    hc_value position_rows; /* the same as a value; 0: none                                        */
    const char *types;      /* [type_count, width], of which the first row is added to all; or NULL */
    int type_count;
    const char *class_embedding; /* [width]: the class row's; or NULL                              */
} hc_tokens_options;

/* Rows of a table for the input's tokens, plus their positions. Which tokens have rows is net->text's to say. */
hc_value hc_tokens(hc_network *net, const char *name, hc_tokens_options options);

/* Sinusoidal positions as fairseq has them (after Vaswani et al., 2017): `rows` rows of `width` numbers, at least 4,
 * the sines in the first half and the cosines in the second. Row `padding` is zeros. */
hc_value hc_sinusoids(hc_network *net, int rows, int width, int padding);

/* The first `used` rows of a tensor [rows, width], or with `rank` 3 [1, rows, width], the same for all inputs. */
hc_value hc_parameter(hc_network *net, const char *name, int rank, int rows, int used, int width);

/* ---- matrices ---- */

typedef struct hc_matrix_options {
    int transposed; /* [k, n] in the file                              */
    int keep_half;  /* fp16 where others are quantised                 */
} hc_matrix_options;

/* [n, k], to be multiplied by. `name` is complete. */
hc_tensor_id hc_weight(hc_network *net, const char *name, int n, int k, hc_matrix_options options);

/* [n] floats. `name` is complete. */
hc_tensor_id hc_vector(hc_network *net, const char *name, int n);

/* What a multiplication does with its sums: add + gamma * activation(scale * sum + bias), or with activate_last
 * activation(add + scale * sum + bias). */
typedef struct hc_finish {
    hc_fold_id fold; /* scale and bias, in place of a tensor's */
    hc_activation activation;
    hc_tensor_id gamma;
    hc_value add; /* whole rows, as many as the result has */
    int activate_last;
    int bias_first; /* of the bias, the number for row `first` 0 of the matrix */
} hc_finish;

/* x times rows `first` to `first + n - 1` of a matrix, plus as many numbers of the bias (0: none). */
hc_value hc_multiply(hc_network *net, const char *name, hc_value x, hc_tensor_id matrix, hc_tensor_id bias, int first,
                     int n, hc_finish finish);

typedef struct hc_linear_options {
    int n;
    int plain;         /* no bias              */
    int keep_half;     /* as in hc_matrix_options */
    int convolution;   /* the weight is one of 1 x 1 */
    const char *gamma; /* LayerScale, or NULL  */
    hc_value add;
    hc_activation activation;
} hc_linear_options;

/* nn.Linear(width of x, n). */
hc_value hc_linear(hc_network *net, const char *name, hc_value x, hc_linear_options options);

/* ---- rows ---- */

/* LayerNorm, done by whatever reads the value. */
hc_value hc_norm(hc_network *net, const char *name, hc_value x, float eps);

/* LayerNorm, done at once: for a value that is read more than once. */
hc_value hc_normed(hc_network *net, const char *name, hc_value x, float eps);

/* RMSNorm (Zhang and Sennrich, 2019), done by whatever reads the value. */
hc_value hc_rms_norm_of(hc_network *net, const char *name, hc_value x, float eps);

/* The same, done at once. */
hc_value hc_rms_normed(hc_network *net, const char *name, hc_value x, float eps);

/* timm's SimpleNorm of at least 2 numbers, done by whatever reads the value: each over their standard deviation, with
 * their mean left in. */
hc_value hc_simple_norm(hc_network *net, const char *name, hc_value x, float eps);

/* The norm that made `normed`, of another value. */
hc_value hc_norm_again(hc_network *net, hc_value normed, hc_value x);

/* LayerNorm of each head's part of x, of `heads`, in place; then each has length 1 instead if `name` is NULL. */
hc_value hc_norm_heads(hc_network *net, const char *name, hc_value x, int heads, float eps);

/* RMSNorm of each head's part of x, in place. */
hc_value hc_rms_norm_heads(hc_network *net, const char *name, hc_value x, int heads, float eps);

/* Columns `first` to `first + n - 1` of x: the same memory. */
hc_value hc_columns(hc_network *net, hc_value x, int first, int n);

/* The row that pooling takes of each input: of a packed value what net->text says, else the first. */
hc_value hc_pick(hc_network *net, hc_value x);

/* Rows `first` to `first + count - 1` of each input, which all have as many. */
hc_value hc_some_rows(hc_network *net, hc_value x, int first, int count);

/* The mean of each input's rows but the first `skip`; rows that net->text hides do not count. */
hc_value hc_mean(hc_network *net, hc_value x, int skip);

/* The same with the largest in place of the mean. */
hc_value hc_largest(hc_network *net, hc_value x);

/* The columns of x, and then those of y. */
hc_value hc_beside(hc_network *net, hc_value x, hc_value y);

/* tanh of every number. */
hc_value hc_tanh(hc_network *net, hc_value x);

/* An activation of every number, where no multiplication comes before that could do it. */
hc_value hc_activated(hc_network *net, hc_value x, hc_activation activation);

/* Every number times `factor`, in place. */
hc_value hc_scaled(hc_network *net, hc_value x, float factor);

/* x + gamma * y, gamma NULL for 1. */
hc_value hc_add(hc_network *net, hc_value x, hc_value y, const char *gamma);

/* x * y, number by number: what gates do (Dauphin et al., 2016; Shazeer, "GLU Variants Improve Transformer", 2020). */
hc_value hc_times(hc_network *net, hc_value x, hc_value y);

/* The mean of each input's rows, then those rows: what AttentionPool2d looks at. All plus positions [rows + 1, width],
 * of which `resized` says that those of another grid will do; NULL: there are none. */
hc_value hc_mean_first(hc_network *net, const char *positions, int resized, hc_value x);

/* ---- attention ---- */

typedef struct hc_attention_options {
    int heads, causal;
    const char *logit_scale; /* [heads, 1, 1]: e to this, at most 100, in place of 1 / sqrt(head_dim); or NULL */
    const char *head_scale;  /* [heads, 1, 1]: factors of the heads' results; or NULL                          */
    hc_value bias;      /* what is added to the scores: from hc_relative_bias or laid out as it does, or for texts from
                           hc_bucket_bias; 0: nothing                                         */
    hc_windows windows; /* of q, k and v, one grid: with a bias from hc_window_bias; or none */
    float scale;        /* of the scores; 0: 1 / sqrt(head_dim)                               */
} hc_attention_options;

/* softmax(scale q kᵀ + bias) v, head by head, within each input, or within each of its windows. k and v are columns of
 * one value, or of two that are as wide. */
hc_value hc_attend(hc_network *net, hc_value q, hc_value k, hc_value v, hc_attention_options options);

/* Differential attention (Ye et al., "Differential Transformer", 2024): of each head's queries and keys the first half
 * is one head, the second another, and with values of the whole width what the first sees less lambda times what the
 * second does; then "sub_norm.", an RMSNorm of each head, times 1 - first. lambda is e^("lambda_q1" "lambda_k1") -
 * e^("lambda_q2" "lambda_k2") + first. */
hc_value hc_attend_difference(hc_network *net, hc_value q, hc_value k, hc_value v, int heads, float first);

/* Relative position bias (Liu et al., "Swin Transformer", 2021; Bao et al., "BEiT", 2021) of tokens that are pixels of
 * a grid, behind a class token or not: for each head [keys, queries], the queries padded to whole panels. `table` has a
 * row for each distance, (2 * height - 1) * (2 * across - 1) of them, and with a class token three more, from it to
 * others, from others to it, and to itself, or none, where these are 0; a number for each head. */
hc_value hc_relative_bias(hc_network *net, hc_value table, int height, int across, int class_token);

/* Windows of x, which is a grid: no larger than it is, and from half a window on where `shifted` and where they are
 * smaller. Where they do not divide it, there are spare rows and columns, which hc_reframe makes. */
hc_windows hc_windows_of(const hc_network *net, hc_value x, int height, int across, int shifted);

/* The same for windows (Liu et al., 2021): pixels that are in one only because windows go around the border do not see
 * each other. */
hc_value hc_window_bias(hc_network *net, hc_value table, hc_windows windows);

/* Makes a row of such a table, for windows, of those for windows of another size (an hc_place_maker, tower/network.h).
 */
hc_place_maker hc_distance_made;

/* How far queries and keys of a grid lie apart, [(2 * height - 1) * (2 * across - 1), 2], down and across, as sign(x)
 * log(1 + |x|): what an MLP makes hc_relative_bias's table of (Liu et al., "Swin Transformer V2", 2022). */
hc_value hc_relative_coordinates(hc_network *net, int height, int across);

/* Relative position bias of a sequence (Raffel et al., "T5", 2020). `table` has a row for each of its buckets, an even
 * number of at least 4, with a number for each head: half for keys at or before the query and half for those behind it,
 * of each half the first half for one distance each and the rest for ranges that grow with the distance, up to
 * `farthest`, beyond which all are in the last. For each head a row of what distances get, from query - key =
 * 1 - tokens on, so that the rows of a key, which are all one matrix, begin one further on for each. */
hc_value hc_bucket_bias(hc_network *net, hc_value table, int tokens, int farthest);

/* What hc_rotate_heads turns by, of heads of head_dim numbers, which 4 divides: a table that is the same for all
 * layers. */
hc_value hc_rotary_table(hc_network *net, int head_dim, hc_rotary grid);

/* Rotary position embeddings (Su et al., "RoFormer", 2021) of queries or keys, in place: of tokens that are pixels of
 * the grid, behind `skip` others, which stay as they are. */
hc_value hc_rotate_heads(hc_network *net, hc_value table, hc_value x, int heads, int skip, hc_rotary grid);

/* Frequencies that are learned (Heo et al., "Rotary Position Embedding for Vision Transformer", 2024), [2, layers,
 * heads, head_dim / 2]: of each pair of a head's numbers one for each coordinate. 4 divides head_dim. */
hc_tensor_id hc_mixed_frequencies(hc_network *net, const char *name, int layers, int heads, int head_dim);

/* What hc_rotate_mixed turns a layer's heads by. Of `grid` only its size and x_first count. */
hc_value hc_mixed_table(hc_network *net, hc_tensor_id frequencies, int layer, hc_rotary grid);

/* hc_rotate_heads with that: each pair turns by the sum of both coordinates' angles. */
hc_value hc_rotate_mixed(hc_network *net, hc_value table, hc_value x, int heads, int skip, hc_rotary grid);

/* Each head of x, of `heads`, `times` times, one behind the other: those of keys and values that several queries' heads
 * look at (Ainslie et al., "GQA", 2023). */
hc_value hc_repeat_heads(hc_network *net, hc_value x, int heads, int times);

/* ---- frames of a video ---- */

/* The vectors of its frames, which are the pass's input: up to `most` of `width` numbers. */
hc_value hc_frames(hc_network *net, int most, int width);

/* The mean of rows of length 1 in the directions of x's. */
hc_value hc_mean_direction(hc_network *net, hc_value x);

/* A layer of LSTM (Hochreiter and Schmidhuber, 1997) as torch.nn.LSTM has it, forward over the rows of x from a state
 * of zeros, as wide as they are; gates i, f, g and o, and two biases. Its weights stay at fp16 where others are
 * quantised.
 */
hc_value hc_lstm(hc_network *net, const char *name, hc_value x);

/* ---- grids, channels last ---- */

/* BatchNorm of n channels, to be an operation's `fold`. */
hc_fold_id hc_batch_norm(hc_network *net, const char *name, int n, float eps);
hc_fold hc_batch_norm_of(hc_network *net, const char *name, int n, float eps);

/* BatchNorm that no convolution is before. */
hc_value hc_batch_normed(hc_network *net, const char *name, hc_value x, float eps);

typedef struct hc_conv_options {
    int n, kernel, stride, padding; /* kernel 0: 1 */
    int same;                       /* as many pixels as the stride goes into the grid, as TensorFlow pads for that */
    int plain;                      /* no bias */
    float standard_eps;             /* the weights are standardised: see hc_tensor; 0: they are as they are */
    hc_fold_id fold;                /* in place of a bias */
    int keep_half;                  /* fp16 where others are quantised: of the first one, and of the last */
    hc_activation activation;
    hc_tensor_id gamma; /* LayerScale */
    hc_value add;
    int activate_last;
} hc_conv_options;

hc_value hc_conv(hc_network *net, const char *name, hc_value x, hc_conv_options options);

/* A convolution of each channel on its own (`groups` as many as channels), of which n / channels come out. Weights stay
 * at fp16 where others are quantised. `kernel` is to be given. */
hc_value hc_depthwise_conv(hc_network *net, const char *name, hc_value x, hc_conv_options options);

/* x's pixels from its first row and column on as another grid: those beyond it are left out, and where x has none there
 * are zeros. */
hc_value hc_reframe(hc_network *net, hc_value x, int height, int across);

/* Patch merging (Liu et al., 2021): the pixels (0, 0), (1, 0), (0, 1) and (1, 1) of each square of four side by side;
 * zeros beyond the border. */
hc_value hc_merge(hc_network *net, hc_value x);

typedef struct hc_branch_options {
    const char *conv;   /* with a kernel of this size, and with a bias or not */
    int kernel, biased; /* 0: the identity in its place */
    const char *norm;   /* BatchNorm, or NULL */
    float eps;
    hc_tensor_id gamma; /* LayerScale, or 0 */
    int is_taken_away;  /* from the sum of the others */
} hc_branch_options;

/* Says that the convolution of the last operation is trained as a sum of branches, of which this is one (Ding et al.,
 * "RepVGG", 2021). A file has all of them, or in their place what they add up to. */
void hc_trained_as(hc_network *net, hc_branch_options branch);

/* activation(x * sigmoid(gate)) with a row of gates for each input: squeeze-and-excitation (Hu et al., 2018). */
hc_value hc_excite(hc_network *net, hc_value x, hc_value gate, hc_activation activation);

/* Global Response Normalization (Woo et al., "ConvNeXt V2", 2023), in place: x + weight * x * g / (mean of g + eps) +
 * bias, g the length of a channel over the grid. */
hc_value hc_response_norm(hc_network *net, const char *name, hc_value x, float eps);

/* What of a grid a pooling looks at: `same` as in hc_conv_options, in place of a padding. */
typedef struct hc_pool_options {
    int size, stride, padding, same;
} hc_pool_options;

/* nn.AvgPool2d with count_include_pad False, and nn.MaxPool2d. */
hc_value hc_average_pool(hc_network *net, hc_value x, hc_pool_options options);
hc_value hc_max_pool(hc_network *net, hc_value x, hc_pool_options options);

typedef struct hc_group_norm_options {
    int groups; /* that divide the width, which 4 does */
    float eps;
    hc_value add; /* whole rows, as many as x has; 0: none */
    hc_activation activation;
} hc_group_norm_options;

/* activation(add + the norm), in place: nn.GroupNorm (Wu and He, 2018) over the channels and pixels of a grid. */
hc_value hc_group_norm(hc_network *net, const char *name, hc_value x, hc_group_norm_options options);

/* ---- the end ---- */

/* Says that x is the result: a vector for each of its rows of an input. */
void hc_result(hc_network *net, hc_value x);

#endif
