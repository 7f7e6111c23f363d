/* halfclip.h: one CLIP tower, an image encoder or a text encoder, loaded alone.
 *
 * The whole public C interface. Nothing here does I/O and nothing is global: the caller reads bytes and pushes them in,
 * every object belongs to the caller, and different objects may be used from different threads at the same time.
 * Architectures and tensor names are those of OpenCLIP (open_clip_torch 3.3.0).
 *
 *     hc_loader *loader = hc_loader_new(HC_TEXT, config_json, strlen(config_json), HC_INT8);
 *     while ((n = hc_loader_header_need(loader)))              // how many bytes of the file's start it wants
 *         hc_loader_header(loader, bytes, n);
 *     for each range of hc_loader_ranges(loader, &count)       // coalesced, in file order
 *         hc_loader_push(loader, offset, bytes, n);            // in any chunking
 *     hc_encoder *encoder = hc_loader_finish(loader);          // NULL: see hc_loader_status, hc_loader_message
 *     hc_loader_free(loader);
 *     hc_embed_tokens(encoder, ids, 1, 1, vector);
 */
#ifndef HALFCLIP_H
#define HALFCLIP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every failure, one value for each stable code of the JavaScript interface that C can meet. */
typedef enum hc_status {
    HC_OK = 0,
    HC_MODEL_UNSUPPORTED, /* model/unsupported: the config asks for something no tower here computes             */
    HC_MODEL_CONFIG,      /* model/unknown: the config is not JSON, or not that of an OpenCLIP model              */
    HC_WEIGHTS_FORMAT,    /* weights/format: not a safetensors file, or a header that contradicts itself          */
    HC_WEIGHTS_TRUNCATED, /* weights/truncated: the file ends before a tensor does                                */
    HC_WEIGHTS_CORRUPT,   /* weights/corrupt: values that no tower has (NaN, infinity, zeros throughout)          */
    HC_WEIGHTS_MISMATCH,  /* weights/mismatch: a tensor is missing or has another shape, or it is the other tower */
    HC_INPUT_TYPE,        /* input/type: a token id outside the vocabulary, a pixel that is not finite            */
    HC_INPUT_SIZE,        /* input/size: a picture with no pixels or with more than 20,000 on a side              */
    HC_INPUT_DECODE,      /* input/decode: a file that is no picture, or a damaged one                            */
    HC_OUT_OF_MEMORY      /* memory/exhausted                                                                     */
} hc_status;

/* The stable code, for example "weights/mismatch"; "" for HC_OK. Static storage. */
const char *hc_status_code(hc_status status);

/* A video tower is an image tower for the frames, and what makes one vector of theirs. */
typedef enum hc_tower { HC_IMAGE = 0, HC_TEXT = 1, HC_VIDEO = 2 } hc_tower;

/* How a video tower makes one vector v of those of its frames f (Luo et al., "CLIP4Clip", 2021, arXiv:2104.08860):
 * v = norm(mean of norm(g)), over frames that there are, with g = f, f + transformer(f + positions) or f + LSTM(f).
 * HC_TEMPORAL_AUTO: as the file holds it. */
typedef enum hc_temporal {
    HC_TEMPORAL_AUTO = 0,
    HC_TEMPORAL_MEANP = 1,
    HC_TEMPORAL_SEQTRANSF = 2,
    HC_TEMPORAL_SEQLSTM = 3
} hc_temporal;

/* How the weights are held. HC_AUTO: as a shard holds them, else HC_INT8.
 * Norms and biases are always fp32; so are positions. At int4, int8 and fp16 the patch embedding and the final
 * projection are fp16. At int8 and int4, results are the same bits on every machine. */
typedef enum hc_dtype { HC_AUTO = 0, HC_FP32 = 1, HC_FP16 = 2, HC_INT8 = 3, HC_INT4 = 4 } hc_dtype;

typedef struct hc_loader hc_loader;
typedef struct hc_encoder hc_encoder;
typedef struct hc_tokenizer hc_tokenizer;

/* Bytes [begin, end) of the weight file. */
typedef struct hc_range {
    uint64_t begin, end;
} hc_range;

/* ---- loading ------------------------------------------------------------------------------------------------------
 */

/* Starts loading one tower. `config` is the text of an open_clip_config.json ({"model_cfg": …, "preprocess_cfg": …}) or
 * of a bare model config ({"embed_dim": …}); NULL with length 0: the file is a shard, which carries its own. A member
 * "preprocess_default" counts where neither the config nor a shard has a preprocess_cfg.
 * Returns NULL only when memory is exhausted; a config that cannot be used shows in hc_loader_status. */
hc_loader *hc_loader_new(hc_tower tower, const char *config, size_t config_length, hc_dtype dtype);

/* HC_OK, or the first failure; after a failure every other call does nothing. The message names what was found and what
 * was expected, in one English sentence; it lives as long as the loader. */
hc_status hc_loader_status(const hc_loader *loader);
const char *hc_loader_message(const hc_loader *loader);

/* How many threads the encoder will compute with, the caller's included; 1 unless this is called, and before the
 * header. Vectors are the same for every number of threads: at int8 and int4 to the last bit on every machine, at fp32
 * and fp16 to the last bit on one. The threads sleep between calls, and hc_encoder_free ends them. */
void hc_loader_set_threads(hc_loader *loader, int threads);

/* The size of pictures that an image tower takes, in place of the config's image_size (OpenCLIP's force_image_size):
 * positions are resized to its grid. Before the header. The config in force has it then, for hc_preprocess_parse and
 * for shards. */
void hc_loader_set_image_size(hc_loader *loader, int height, int width);

/* Of a video tower, which of them; before the header. One that the file lacks is HC_WEIGHTS_MISMATCH, with the name of
 * the first missing tensor. */
void hc_loader_set_temporal(hc_loader *loader, hc_temporal temporal);

/* The total size of the file in bytes, if the caller knows it: lets a lying header and a truncated file be told at
 * once. */
void hc_loader_file_size(hc_loader *loader, uint64_t size);

/* How many bytes from the file's start the header needs in all; 0 once it is complete. Grows at most once (8, then
 * all). */
uint64_t hc_loader_header_need(const hc_loader *loader);

/* The file's first `n` bytes, always from offset 0. Fewer than needed is no error: ask again with more. */
hc_status hc_loader_header(hc_loader *loader, const void *bytes, size_t n);

/* In place of hc_loader_header, for files of another format or a checkpoint in several files: JSON text like a
 * safetensors header, {name: {"dtype", "shape", "data_offsets": [begin, end]}}, whose offsets count from the file's
 * start; they may come in any order, leave gaps and overlap. */
hc_status hc_loader_directory(hc_loader *loader, const char *directory, size_t n);

/* What this tower needs of the file, in file order, gaps of up to 64 KiB included. Owned by the loader. */
const hc_range *hc_loader_ranges(hc_loader *loader, size_t *count);

/* Bytes of the file at `offset`. Chunks may be cut anywhere and need not keep to the ranges (the rest is skipped), and
 * tensors may come in any order, but the bytes of one tensor come from its first to its last. Each tensor is converted,
 * quantised and packed as its rows arrive. */
hc_status hc_loader_push(hc_loader *loader, uint64_t offset, const void *bytes, size_t n);

/* What has come whole may still have to be converted, which the next push does, or hc_loader_finish; or this, a few
 * milliseconds' worth at a time: returns 0 when nothing is left to do. */
int hc_loader_settle(hc_loader *loader);

/* Where the bytes at `offset` end up as they are: pushing them from there saves a copy. Returns NULL where they are to
 * be converted first, or are not awaited next; else *n is lowered to how many of them have their place there. */
void *hc_loader_place(hc_loader *loader, uint64_t offset, size_t *n);

/* The encoder, which the caller frees with hc_encoder_free, when every tensor has arrived whole; else NULL. */
hc_encoder *hc_loader_finish(hc_loader *loader);

void hc_loader_free(hc_loader *loader);

/* ---- encoding -----------------------------------------------------------------------------------------------------
 */

typedef struct hc_info {
    hc_tower tower;
    hc_dtype dtype;
    int dim;                       /* length of one embedding                                                     */
    int tokens_out;                /* embeddings a picture or text: 1, or the sequence length with pool_type none */
    int context_length;            /* text: token ids a text                                                      */
    int vocab_size;                /* text                                                                        */
    int image_height, image_width; /* image: pixels                                                       */
    int threads;                   /* that compute, the caller's included                                         */
    int batch;             /* inputs that are worth passing at once: more are computed one batch after the other */
    uint64_t parameters;   /* numbers in the tower's tensors                                              */
    uint64_t memory_bytes; /* held by the encoder: packed weights and arena                               */
} hc_info;

void hc_encoder_info(const hc_encoder *encoder, hc_info *info);

/* What a video tower has besides. */
typedef struct hc_video_info {
    hc_temporal temporal;
    int most_frames;   /* of one video                                                                     */
    int seen;          /* pictures that its input is: 1, or 3: the one before, the frame, and the one after */
    float logit_scale; /* a cosine times this is CLIP's logit; 0: the file does not say                     */
} hc_video_info;

/* Returns 0 for another tower. */
int hc_encoder_video(const hc_encoder *encoder, hc_video_info *out);

/* Vectors of `count` pictures: pixels [count, 3, image_height, image_width], already normalised by mean and std (see
 * hc_preprocess); out [count, tokens_out, dim], L2-normalised along dim if `normalize` is not 0. HC_INPUT_TYPE if a
 * pixel is not finite. Of a video tower's frames pixels are [count, seen, 3, image_height, image_width], with zeros for
 * the pictures before the first frame and after the last; hc_embed_video takes the vectors not normalised. */
hc_status hc_embed_pixels(hc_encoder *encoder, const float *pixels, size_t count, int normalize, float *out);

/* Vectors of `count` texts: ids [count, context_length] as OpenCLIP's tokenizer gives them; out as above.
 * HC_INPUT_TYPE if an id is negative or not below vocab_size. */
hc_status hc_embed_tokens(hc_encoder *encoder, const int32_t *ids, size_t count, int normalize, float *out);

/* The vector of one video: frames [count, dim], in their order; out [dim], L2-normalised if `normalize` is not 0.
 * HC_INPUT_SIZE without frames or with more than most_frames, HC_INPUT_TYPE if a number is not finite. */
hc_status hc_embed_video(hc_encoder *encoder, const float *frames, size_t count, int normalize, float *out);

/* hc_embed_begin of that. */
hc_status hc_embed_video_begin(hc_encoder *encoder, const float *frames, size_t count, int normalize, float *out);

/* The same in steps, for callers that want to do other things in between, or to stop: begins with pixels or ids,
 * whichever the tower takes. Whatever was under way before is forgotten. `input` and `out` must stay until the last
 * step is done. */
hc_status hc_embed_begin(hc_encoder *encoder, const void *input, size_t count, int normalize, float *out);

/* Computes on: about so many multiplications. Returns 0 when `out` is complete, and 1 before. */
int hc_embed_step(hc_encoder *encoder, uint64_t multiplications);

/* One operation of the tower. */
typedef struct hc_operation {
    const char *kind;         /* "linear", "attention", …; static storage                                   */
    const char *name;         /* what the names of its tensors begin with; owned by the encoder             */
    int rows;                 /* of what it makes, for one input of full length                             */
    int height, width;        /* the same as a grid; 0 where it is none                                     */
    int n, k;                 /* numbers in a row of what it makes, and of what it reads (0: the input)     */
    uint64_t multiplications; /* for one input of full length; 0 where there are none to speak of           */
} hc_operation;

/* Operation `index` of the list that the tower is, in the order of computing; 0 behind the last. For profiles. */
int hc_encoder_profile(const hc_encoder *encoder, size_t index, hc_operation *out);

/* Does the next operation of what hc_embed_begin began, the whole of it, and returns its index; the last one's result
 * includes that `out` is normalised. -1 when `out` is complete. */
int hc_embed_operation(hc_encoder *encoder);

/* The numbers that an operation made: `rows` rows of n, from one to the next `stride` floats. */
typedef struct hc_operation_result {
    float *at;
    int rows, n;
    size_t stride;
} hc_operation_result;

/* Where the result of operation `index` lies, the last that hc_embed_operation did: the encoder's memory, for the
 * inputs of the pass under way, until the next operation. What is written there is what the next ones read. Returns 0
 * where there is none: behind the last operation of a pass, whose result is `out`, and without such an index. */
int hc_embed_result(hc_encoder *encoder, int index, hc_operation_result *out);

/* Which instructions multiply int8 weights. Both compute the same integers, so vectors don't depend on it, to the last
 * bit; speed does, by a factor of 1.4 to 2.5. HC_DOT_QUADS sums four products in one instruction, where the machine has
 * one (VNNI, ARM's dot product); HC_DOT_PAIRS needs none. */
typedef enum hc_dot { HC_DOT_PAIRS = 0, HC_DOT_QUADS = 1 } hc_dot;

/* An encoder starts with what the build's target machine has. A WebAssembly build can't know it: there it starts with
 * HC_DOT_PAIRS, and the caller, who can (web/wasm/simd.js), says otherwise. Without effect in builds that have one way
 * only.
 */
void hc_encoder_set_dot(hc_encoder *encoder, hc_dot dot);

/* The preprocess_cfg and model_cfg in force, as JSON text (of the shard, or as given to hc_loader_new). Owned by the
 * encoder. */
const char *hc_encoder_config(const hc_encoder *encoder);

/* The vocabulary that a text shard carries, or NULL: CLIP's merges (see hc_tokenizer_new), or what begins with
 * "HCTOKEN1", a tokenizer of another kind, which web/text reads. Owned by the encoder. */
const void *hc_encoder_vocabulary(const hc_encoder *encoder, size_t *length);

/* A second encoder on the same weights, which computes on the thread that calls it alone, at the same time as the first
 * and others of its kind: for many inputs, whole ones on each thread take less time than one on all of them. The same
 * vectors to the last bit. The caller frees it with hc_encoder_free, before the first. NULL when memory is exhausted.
 */
hc_encoder *hc_encoder_twin(const hc_encoder *encoder);

void hc_encoder_free(hc_encoder *encoder);

/* ---- shards -------------------------------------------------------------------------------------------------------
 */

/* The encoder as a .safetensors shard (the README says what is in one). The bytes are produced in order, so that a
 * shard is never in memory twice: `write` is called with consecutive pieces and returns 0 to go on. `vocabulary` (NULL
 * for none) travels in a text shard, of either kind. */
hc_status hc_shard_write(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length,
                         int (*write)(void *user, const void *bytes, size_t n), void *user);

/* Bytes [offset, offset + n) of the same file, for a caller that wants it piece by piece; *got of them, fewer only at
 * the file's end. */
hc_status hc_shard_read(const hc_encoder *encoder, const void *vocabulary, size_t vocabulary_length, uint64_t offset,
                        void *bytes, size_t n, size_t *got);

/* ---- calibration --------------------------------------------------------------------------------------------------
 */

/* Rounds a tower to int4 for the inputs that it will see, and some of its tensors to int8 in place of it: by GPTQ
 * (Frantar et al. 2022, arXiv:2210.17323), each matrix for what it multiplies once those before it are rounded.
 *
 *     hc_calibration *c = hc_calibration_new(encoder);          // loaded at HC_FP32
 *     hc_calibration_add(c, pixels, count);                     // as often as there are more inputs
 *     while (hc_calibration_step(c)) ;                          // an operation of the tower a step
 *     hc_calibration_write(c, NULL, 0, write, user);            // an int4 shard
 */
typedef struct hc_calibration hc_calibration;

/* Holds the tower's tensors at 4 and at 8 bits, too, and all inputs' activations, in the encoder's stead; the encoder
 * must outlive it, and computes from here on with its weights as they are rounded so far. NULL when memory is
 * exhausted; other failures show in hc_calibration_status: HC_INPUT_TYPE (the encoder is not at fp32),
 * HC_WEIGHTS_CORRUPT (a weight that int4 cannot hold), HC_OUT_OF_MEMORY. */
hc_calibration *hc_calibration_new(hc_encoder *encoder);

/* HC_OK, or the first failure, after which every other call does nothing; and one English sentence. */
hc_status hc_calibration_status(const hc_calibration *calibration);
const char *hc_calibration_message(const hc_calibration *calibration);

/* Inputs as hc_embed_pixels or hc_embed_tokens takes them, before the first step; of a video tower the frames of one
 * video. HC_INPUT_TYPE as there; HC_INPUT_SIZE: more frames than hc_embed_video takes. */
hc_status hc_calibration_add(hc_calibration *calibration, const void *inputs, size_t count);

/* Rounds what the tower's next operation multiplies by; without any inputs, every tensor for itself, by least squares.
 * Returns 0 when none is left, or after a failure. From then on
 * hc_embed_pixels and hc_embed_tokens give, at fp32, the vectors of the rounded weights. */
int hc_calibration_step(hc_calibration *calibration);

/* A tensor of the tower. */
typedef struct hc_calibrated {
    const char *name;  /* owned by the encoder                                              */
    int bits;          /* 4 or 8: how it is held; 0: as int4 holds it in any case           */
    uint64_t weights;  /* numbers in it                                                     */
    uint64_t bytes[2]; /* that it takes in a shard, scales included, at 4 bits and at 8 */
} hc_calibrated;

/* Tensor `index` from 0 on; 0 behind the last. */
int hc_calibration_tensor(const hc_calibration *calibration, size_t index, hc_calibrated *out);

/* Holds a tensor at 4 or 8 bits (4 unless this is called): before hc_calibration_add, so that those after it are
 * rounded for it, or behind the last step. Without effect on a tensor that is not rounded. */
hc_status hc_calibration_choose(hc_calibration *calibration, size_t index, int bits);

/* hc_shard_write of the tower as it was rounded, of dtype int4. */
hc_status hc_calibration_write(hc_calibration *calibration, const void *vocabulary, size_t vocabulary_length,
                               int (*write)(void *user, const void *bytes, size_t n), void *user);

void hc_calibration_free(hc_calibration *calibration);

/* ---- pictures -----------------------------------------------------------------------------------------------------
 */

typedef enum hc_resize_mode { HC_SHORTEST = 0, HC_LONGEST = 1, HC_SQUASH = 2 } hc_resize_mode;
typedef enum hc_filter { HC_BICUBIC = 0, HC_BILINEAR = 1, HC_LANCZOS = 2 } hc_filter;

/* OpenCLIP's PreprocessCfg. */
typedef struct hc_preprocess_cfg {
    int height, width;
    float mean[3], std[3];
    hc_filter interpolation;
    hc_resize_mode resize_mode;
    int fill_color; /* 0..255, of the border that `longest` leaves */
} hc_preprocess_cfg;

/* Reads "preprocess_cfg" out of an open_clip_config.json text over OpenCLIP's defaults (size from the model's
 * image_size). */
hc_status hc_preprocess_parse(const char *config, size_t config_length, hc_preprocess_cfg *cfg);

/* How the bytes of a row are to be taken: as Pillow does, a picture is resized as it is held, and only then becomes
 * RGB. */
typedef enum hc_mode {
    HC_RGB, /* 3 bytes a pixel; greys are RGB too, which changes nothing                                              */
    HC_RGBA,    /* 4 bytes, alpha not premultiplied; it weighs the colours, and is dropped in the end    */
    HC_PALETTE, /* 1 byte, an index: resized by nearest neighbour, whatever filter is asked for; pictures of one bit too
                 */
    HC_CMYK /* 4 bytes, amounts of ink                                                                                */
} hc_mode;

typedef struct hc_picture {
    int width, height; /* 1 to 20,000, as the file holds it                                                          */
    hc_mode mode;
    int orientation; /* EXIF's 1 to 8: what is to be done with it; 1 is nothing                                    */
    const uint8_t *palette; /* of HC_PALETTE: 256 RGB triples, for as long as the picture is read */
} hc_picture;

/* From rows to what the tower gets, as OpenCLIP's transform does it with PIL, every byte equal. Only few rows are held
 * at a time.
 *
 *     hc_preprocessor *p = hc_preprocessor_new(&cfg, &picture, &status);
 *     while (rows are left) hc_preprocessor_push(p, rows, n);
 *     hc_preprocessor_finish(p, out);
 *     hc_preprocessor_free(p);
 */
typedef struct hc_preprocessor hc_preprocessor;

/* NULL, and why: HC_INPUT_SIZE, HC_INPUT_TYPE (an orientation or a mode that there is not), HC_MODEL_CONFIG or
 * HC_OUT_OF_MEMORY. */
hc_preprocessor *hc_preprocessor_new(const hc_preprocess_cfg *cfg, const hc_picture *picture, hc_status *status);

/* The next `count` rows, from the top, without padding between them. Rows beyond the picture's height are left alone.
 */
void hc_preprocessor_push(hc_preprocessor *p, const uint8_t *rows, int count);

/* out [3, cfg->height, cfg->width]. HC_INPUT_SIZE while rows are missing. */
hc_status hc_preprocessor_finish(const hc_preprocessor *p, float *out);
void hc_preprocessor_free(hc_preprocessor *p);

/* All of that for a picture in memory with 3 (RGB) or 4 (RGBA) channels. */
hc_status hc_preprocess(const hc_preprocess_cfg *cfg, const uint8_t *data, int width, int height, int channels,
                        float *out);

/* ---- picture files ------------------------------------------------------------------------------------------------
 */

typedef enum hc_picture_format {
    HC_UNKNOWN,
    HC_PNG,
    HC_GIF,
    HC_BMP,
    HC_JPEG,
    HC_WEBP,
    HC_AVIF,
    HC_HEIF,
    HC_TIFF,
    HC_SVG
} hc_picture_format;

/* What a file says of the picture in it, before anything is decoded. */
typedef struct hc_picture_info {
    hc_picture_format format;
    uint32_t width, height; /* JPEG, WebP, AVIF, HEIF and TIFF; 0: it does not say */
    int channels;    /* JPEG: of the picture; WebP: 4 where it may be transparent, else 3; TIFF: 1 with a palette  */
    int ends;        /* JPEG: whether its end marker is there; a file without was cut off                         */
    int orientation; /* 1 to 8: of EXIF in any of its places, else of XMP, else 1                                 */
    size_t orientation_at; /* where in the file the byte is that holds it; 0: nowhere */
} hc_picture_info;

void hc_picture_inspect(const uint8_t *file, size_t size, hc_picture_info *info);

/* PNG, GIF and BMP files, read row by row, with the very pixels that Pillow reads.
 *
 *     hc_picture_reader *r = hc_picture_reader_new(file, size);
 *     hc_picture picture = *hc_picture_reader_picture(r);    // its orientation is 1: see hc_picture_inspect
 *     hc_preprocessor *p = hc_preprocessor_new(&cfg, &picture, &status);
 *     do status = hc_picture_reader_read(r, p, 1 << 20, &left); while (status == HC_OK && left);
 */
typedef struct hc_picture_reader hc_picture_reader;

/* Reads the headers; what a picture takes is not allocated yet. The file stays in place while it is read. NULL when
 * memory is exhausted. */
hc_picture_reader *hc_picture_reader_new(const uint8_t *file, size_t size);
const hc_picture *hc_picture_reader_picture(const hc_picture_reader *r);

/* NULL, or what is wrong with the file. */
const char *hc_picture_reader_problem(const hc_picture_reader *r);

/* Reads rows of about so many pixels and pushes them; *rows_left of the picture's are still to come. HC_INPUT_DECODE or
 * HC_OUT_OF_MEMORY. */
hc_status hc_picture_reader_read(hc_picture_reader *r, hc_preprocessor *p, size_t pixels, int *rows_left);
void hc_picture_reader_free(hc_picture_reader *r);

/* ---- texts --------------------------------------------------------------------------------------------------------
 */

typedef enum hc_clean { HC_CLEAN_LOWER = 0, HC_CLEAN_WHITESPACE = 1, HC_CLEAN_CANONICALIZE = 2 } hc_clean;

/* CLIP's byte-pair encoding (OpenCLIP's SimpleTokenizer). `merges` is the list of merges in order of rank, two
 * little-endian uint16 each: the ids of the two tokens that merge; merge i makes token 512 + i. Start and end of text
 * are the two ids after the last merge. The bytes are copied. NULL if they are not such a list, or when memory is
 * exhausted. */
hc_tokenizer *hc_tokenizer_new(const void *merges, size_t length, hc_clean clean);

/* ids[context_length] of one UTF-8 text: start, tokens, end, zeros; a longer text is cut and keeps its end token.
 * Invalid UTF-8 is read as U+FFFD. *used, if not NULL, is how many ids are not padding. */
hc_status hc_tokenize(hc_tokenizer *tokenizer, const char *text, size_t length, int32_t *ids, int context_length,
                      int *used);

int hc_tokenizer_vocab_size(const hc_tokenizer *tokenizer);

void hc_tokenizer_free(hc_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
