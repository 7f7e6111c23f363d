/* network.h: a tower as one list of operations, in the order of the paper.
 *
 * A family (families/) builds the list by calling operations (operations/operations.h), with the names of the
 * checkpoint. Each call says which tensors it reads, which value it makes, and what is computed. Everything else
 * follows from the list: what is loaded and how it is held (load/), where values lie (arena.c), the pass (run.c), and
 * what a profile shows (profile.c). */
#ifndef HC_NETWORK_H
#define HC_NETWORK_H

#include "base/problem.h"
#include "base/size.h"
#include "halfclip.h"
#include "kernels/kernels.h"
#include "kernels/tensor.h"

/* ---- tensors ---- */

/* How a tensor of the checkpoint is held. */
typedef enum hc_kind {
    HC_FLOATS, /* fp32, flat                                                                    */
    HC_MATRIX, /* [n, k …], for a GEMM: fp16 at HC_FP16, quantised at HC_INT8 and HC_INT4       */
    HC_TABLE   /* looked up by row; as a matrix is                                              */
} hc_kind;

enum { HC_NAME = 112 };

/* What rows of positions stand for, so that a checkpoint's for another size of picture or length of text can be
 * resized (load/places.c). */
typedef struct hc_places hc_places;

/* Makes one of the places `to`, at `out` [width], which is zeros, of those of the file; returns how much it took of
 * them. */
typedef size_t hc_place_maker(const hc_places *from, const hc_places *to, const float *places, size_t width, int place,
                              float *out);

struct hc_places {
    enum { HC_PLACES_NONE, HC_PLACES_GRID, HC_PLACES_TEXT } kind;
    int before;           /* rows of tokens that are not in the grid, which come first        */
    int height, across;   /* of the grid; of a text its length, and 1                         */
    int by_shape;         /* another grid of as many places is another one, too: timm has it so */
    hc_place_maker *make; /* biases by distance, whose grid has an odd number of rows and columns; NULL: positions */
};

/* The index of a tensor, from 1 on; 0: none. */
typedef int hc_tensor_id;

typedef struct hc_tensor {
    char name[HC_NAME]; /* OpenCLIP's state dict: visual.… for the image tower, for the text tower as `CLIP` has it, or
                           `CustomTextCLIP` where the family has no other */
    hc_kind kind;
    int transposed; /* [k, n] in the file                                          */
    int keep_half;  /* fp16 where others are quantised                             */
    int eight_bits; /* int8 where others are int4: a shard of mixed bits says so   */
    float
        standard_eps; /* each row of the file's less its mean and over its deviation, this added to its square (Qiao et
                         al., "Weight Standardization", 2019), as it is held and as a shard has it; 0: as they are  */
    int positions;    /* of a convolution's kernel, more than 1: [n, c, y, x] in the file, [n, y, x, c] here; else 0 */
    int rank;
    uint32_t shape[HC_MOST_RANK]; /* as the file has it, which may have other `places` */
    hc_places places;
    int sum;  /* of branches (see hc_branch): their weight, which this is or which it is the bias of; else 0 */
    int uses; /* of a matrix: by how many operations */
    hc_tensor_id norm_weight, norm_bias; /* of the norm whose rows it is multiplied with wherever it is; 0: of none   */
    hc_tensor_id bias;                   /* that the same operations add; 0: none, or not by all in the same way      */
    int bias_first;                      /* its number for the matrix's first row                                     */
    int is_beside;                       /* CLIP4Clip's, which no naming of an image tower knows */
    int part_of;   /* of such a branch: the weight that it adds to; else 0: never held with the tower's own       */
    int is_summed; /* of such a weight: the file has the branches                                               */
    union {
        float *floats;
        hc_matrix matrix;
        hc_table table;
    };
} hc_tensor;

/* BatchNorm as what it is once trained: x * scale + shift, both [n padded], worked out when the last of its four
 * tensors has come. */
typedef struct hc_fold {
    hc_tensor_id weight, bias, mean, variance;
    float eps;
    int n;
    float *scale, *shift;
} hc_fold;

typedef int hc_fold_id; /* from 1 on */

/* One of the branches that a convolution is trained as (Ding et al., "RepVGG", 2021): a kernel and BatchNorm, or one of
 * the two. Where a file has the branches, and not the convolution that they add up to, that is worked out when the last
 * of their tensors has come. */
typedef struct hc_branch {
    hc_tensor_id weight, bias; /* what they add up to, [n, c, y, x] and [n]                                 */
    hc_tensor_id kernel;       /* [n, c, y, x], as large as that or smaller: then its middle; 0: the identity */
    hc_tensor_id kernel_bias;  /* or 0                                                                      */
    hc_fold norm;              /* n 0: none                                                                 */
    hc_tensor_id gamma;        /* LayerScale of the branch, or 0                                            */
    int is_taken_away;
} hc_branch;

/* ---- values ---- */

/* How many rows a value has in a pass over several inputs. */
typedef enum hc_span {
    HC_PACKED, /* as many of each input as it needs, up to `rows`, without padding between them */
    HC_EACH,   /* `rows` of each input                                                          */
    HC_SHARED, /* `rows`, the same for all inputs                                               */
    HC_FRAMES  /* as many as the one video of the pass has frames, up to `rows`                 */
} hc_span;

/* Rows of floats that an operation makes, and others read; from 1 on, 0: none. */
typedef int hc_value;

typedef struct hc_value_info {
    hc_span span;
    int rows, width;
    int height, across;  /* of a grid, channels last: rows = height * across; else 0                  */
    hc_value memory;     /* in whose rows it lies: its own, or those that it is columns of or replaces */
    int column;          /* of `memory`, its first                                                     */
    hc_tensor_id tensor; /* whose floats it is; 0: it lies in the arena                                */
    int is_output;       /* it lies where the caller wants the vectors                                 */
    int is_input;        /* it is what the caller gave                                                 */
    /* A norm that is done by whoever reads it: of this value, with these; without a bias an RMSNorm. */
    hc_value normed;
    int norm_centred; /* timm's SimpleNorm in place of that, see hc_rms_norm */
    hc_tensor_id norm_weight, norm_bias;
    float eps;
    int begin, end; /* the first and the last operation that touch its memory */
    uint64_t at;    /* in the arena                                           */
} hc_value_info;

/* ---- operations ---- */

typedef struct hc_op hc_op;
typedef struct hc_pass hc_pass;
typedef struct hc_network hc_network;

/* How much one pass computes. */
typedef struct hc_batch {
    int full;   /* inputs of full length: enough rows for the GEMMs, not so many that the arena grows large */
    int inputs; /* inputs in all: the same, and more texts, which may be short                              */
    int threads;
} hc_batch;

typedef struct hc_op_kind {
    const char *name;
    /* Computes, by steps (steps.h). */
    void (*run)(hc_pass *pass, const hc_op *op);
    /* Bytes that it needs while it runs; NULL: none. */
    uint64_t (*scratch)(const hc_network *net, const hc_op *op, const hc_batch *batch);
    /* Multiplications for one input of full length; NULL: none to speak of. */
    uint64_t (*multiplications)(const hc_network *net, const hc_op *op);
} hc_op_kind;

/* Kernel of a convolution or of a pooling, and how many rows and columns of padding come before the first pixel. */
typedef struct hc_kernel_size {
    int height, width, stride, above, before;
} hc_kernel_size;

/* Windows that a grid is cut into, from pixel (down, right) on and around its borders. Its last rows and columns may be
 * spare, there for the windows' sake alone: they are in the last windows, and nothing goes around them. */
typedef struct hc_windows hc_windows;
struct hc_windows {
    int height, across; /* 0: none */
    int down, right;
    int spare_rows, spare_columns;
    int rows, columns; /* of the grid, spare ones among them */
    int count;
    /* Says which rows of an input are the window's pixels; returns which of the kinds of windows it is that
     * hc_window_bias makes biases for. */
    int (*put_pixels)(const hc_windows *windows, int window, int *order);
};

/* Windows of each stage's grid as a config has them. */
enum { HC_WINDOW_STAGES = 4, HC_WINDOWS_TEXT = 96 };
typedef struct hc_stage_windows {
    int stages, patch_size;
    int height[HC_WINDOW_STAGES], across[HC_WINDOW_STAGES];
    /* Says as JSON what they are with pictures of another size; NULL: there are none. */
    void (*put_resized)(const hc_network *net, int height, int width, char text[HC_WINDOWS_TEXT]);
} hc_stage_windows;

/* Rotary positions on a grid, see operations/rotary.c. */
typedef struct hc_rotary {
    int height, across;
    int reference;          /* the height and the width that coordinates are stretched to; 0: they are as they are */
    int offset;             /* added to coordinates before that                                                  */
    int x_first;            /* the first half of a head's pairs turn with x, in place of y                        */
    int whole_turns;        /* coordinates are turns, -1 to 1 from border to border, and pairs half a head apart  */
    double log_temperature; /* of the lowest frequency                                                           */
} hc_rotary;

/* Where a text's vector is taken from, see operations/tokens.c. */
typedef enum hc_text_pool { HC_TEXT_ALL, HC_TEXT_FIRST, HC_TEXT_LAST, HC_TEXT_ARGMAX, HC_TEXT_EOS } hc_text_pool;

/* Which rows a text has, and what a row begins with. */
typedef struct hc_text_rows {
    int context_length, vocab_size;
    hc_text_pool pool;
    int32_t pad_id, eos_id;
    int causal;    /* what follows the pooled token cannot reach it, and is not computed              */
    int class_row; /* a row after the tokens, which is pooled: CoCa's                                 */
    int unpadded;  /* tokens that are pad_id have no row                                              */
    int measured;  /* distances between tokens count: with unpadded, pad_id before the last token has a hidden row */
    int counted;   /* positions count from pad_id + 1 and leave pads out, as RoBERTa has them, in place of from 0 */
} hc_text_rows;

/* What a file's towers know of videos, found out before they are built; see families/clip4clip.c. */
typedef struct hc_video {
    hc_temporal temporal;
    int layers, positions;                 /* of the transformer over frames                                        */
    int seen;                              /* pictures that patches of three frames go through, 3; 0: there are none */
    const char *outer;                     /* what is before the names of its tensors                               */
    const char *scale_outer, *scale_inner; /* before that of logit_scale; NULL: the file has none                   */
    int scale_rank;                        /* of logit_scale, one number                                            */
} hc_video;

enum { HC_OP_VALUES = 4, HC_OP_TENSORS = 4 };

struct hc_op {
    const hc_op_kind *kind;
    char name[HC_NAME]; /* what its tensors' names begin with */
    hc_value in[HC_OP_VALUES], out;
    hc_value replaces; /* it may write over this one, whose last reader it is */
    hc_tensor_id tensors[HC_OP_TENSORS];
    hc_fold_id fold;
    hc_activation activation;
    int activate_last;
    int first, bias_first; /* of the rows of a matrix that it multiplies by, and of the bias */
    int heads, causal;
    int skip; /* rows that are left out */
    float eps;
    float scale; /* of attention's scores, or of a table's rows; 0: what is said there */
    hc_kernel_size kernel;
    hc_windows windows;
    hc_rotary rotary;
    uint64_t scratch_at; /* in the arena */
};

/* ---- the network ---- */

struct hc_network {
    hc_tower tower;
    int dim, tokens_out; /* of one input's result */
    int image_height, image_width;
    hc_stage_windows stage_windows;
    hc_text_rows text;
    hc_video video;
    int seen;                  /* pictures that its patches go through; 0: one */
    int most_frames, video_op; /* of a video; the operation from which on they are of frames' vectors. 0: it is none */
    hc_tensor_id logit_scale;
    hc_tensor *tensors;
    hc_fold *folds;
    hc_branch *branches; /* those of one weight one after the other */
    hc_value_info *values;
    hc_op *ops;
    int tensor_count, fold_count, value_count, op_count; /* entry 0 of the first three is none's */
    int tensor_room, fold_room, value_room, op_room;
    int branch_count, branch_room;
    hc_value output;
    int row_most;        /* rows an input at most, of any value that is not shared */
    int input_end;       /* the last operation that reads the input     */
    hc_problem *problem; /* whoever builds the network looks at it      */
    char prefix[HC_NAME];
    /* the arena, see arena.c */
    uint64_t input_at, output_at, first_at, pooled_at, hidden_at;
};

/* An empty network. Failures are kept in `problem`, which outlives it. */
void hc_network_init(hc_network *net, hc_tower tower, hc_problem *problem);
void hc_network_free(hc_network *net);

/* What all names begin with from here on, until hc_leave is given what this returns: `format` may have one %d. */
size_t hc_enter(hc_network *net, const char *format, int number);
void hc_leave(hc_network *net, size_t outer);

/* The block that follows, with names that begin so. */
#define HC_IN(net, format, number)            HC_IN_LINE(net, format, number, __LINE__)
#define HC_IN_LINE(net, format, number, line) HC_IN_NAMED(net, format, number, HC_JOIN(hc_outer_, line))
#define HC_JOIN(a, b)                         a##b
#define HC_IN_NAMED(net, format, number, outer) \
    for (size_t outer = hc_enter(net, format, number); outer != SIZE_MAX; hc_leave(net, outer), outer = SIZE_MAX)

/* A tensor of the prefix's name and `name` and `end`. Its other fields are 0. The pointer is good until the next call.
 */
hc_tensor_id hc_network_tensor(hc_network *net, const char *name, const char *end, hc_kind kind, int rank, int d0,
                               int d1, int d2, int d3);
hc_fold_id hc_network_fold(hc_network *net, hc_fold fold);

/* One more of a weight's branches; its tensors are parts of that from here on, and the weight and its bias are sums. */
void hc_network_branch(hc_network *net, hc_branch branch);

/* A value of its own memory. */
hc_value hc_network_value(hc_network *net, hc_span span, int rows, int width);

/* The same as a grid of each input. */
hc_value hc_network_grid(hc_network *net, int height, int across, int channels);

/* The same with the rows of another value, and as a grid where that is one. */
hc_value hc_network_like(hc_network *net, hc_value other, int width);

/* [n] floats: hc_network_tensor. */
hc_tensor_id hc_network_vector(hc_network *net, const char *name, const char *end, int n);

/* `op` at the list's end, under the prefix and `name`; returns the value that it makes. */
hc_value hc_network_op(hc_network *net, const char *name, hc_op op);

/* Says that the result is this value, which no operation reads any more. */
void hc_network_output(hc_network *net, hc_value value);

/* Numbers in one input: ids, or pixels. */
size_t hc_network_input(const hc_network *net);

/* The value in whose rows it lies. */
hc_value hc_network_memory(const hc_network *net, hc_value value);

/* Rows of a value in a pass over `inputs` inputs, of which `full` have full length. */
uint64_t hc_network_rows(const hc_network *net, hc_value value, const hc_batch *batch);

/* Numbers in the tower's tensors; of those that are trained as branches, the branches'. */
uint64_t hc_network_parameters(const hc_network *net);

/* What the lists take. */
uint64_t hc_network_bytes(const hc_network *net);

/* ---- the arena ---- */

/* Finds out how long each value lives, and which may lie where another did: once, when the list is whole. */
void hc_arena_find_lives(hc_network *net);

/* Lays the values, what operations need while they run, and what a pass knows of its inputs, in as little memory as
 * their lives allow. Returns its bytes, which may be more than there can be. Matrices are to know their storage. */
uint64_t hc_arena_plan(hc_network *net, const hc_batch *batch);

/* The batch that computes fast, or as much of it as leaves the arena in proportion to `weights` bytes of weights. */
hc_batch hc_arena_batch(hc_network *net, int threads, uint64_t weights);

#endif
