/* test_calibrate.c: rounding for what a matrix multiplies, against plain arithmetic; and towers that are rounded so:
 * their shards hold what was computed with. */
#include "check.h"
#include "inside.h"
#include "loading.h"

#include "calibrate/gptq.h"
#include "calibrate/gram.h"
#include "load/pack.h"

/* A number from -1 to 1. */
static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (float)(1 << 23) - 1;
}

/* ---- the factor ---------------------------------------------------------------------------------------------------
 */

/* (U + I) D (U + I)ᵀ is the matrix again, with its damping. */
static void test_factor(hc_threads *threads, int k)
{
    size_t n = (size_t)k;
    uint32_t state = 7;
    float *x = malloc(2 * n * n * sizeof *x), *h = calloc(n * n, sizeof *h), *kept = malloc(n * n * sizeof *kept),
          *pivots = malloc(n * sizeof *pivots);
    for (size_t i = 0; i < 2 * n * n; i++) x[i] = noise(&state) + (i % n ? x[i - 1] * 0.9f : 0);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            for (size_t r = 0; r < 2 * n; r++) h[i * n + j] += x[r * n + i] * x[r * n + j];
    memcpy(kept, h, n * n * sizeof *h);
    hc_factor(threads, h, k, 0.5f, pivots);
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t l = i; l < n; l++) {
                double left = l == i ? 1 : (double)h[i * n + l], right = l == j ? 1 : (double)h[j * n + l];
                sum += left * (double)pivots[l] * right;
            }
            double expected = (double)kept[i * n + j] + (i == j ? 0.5 : 0), off = fabs(sum - expected);
            worst = off > worst ? off : worst;
        }
    CHECK(worst < 1e-4 * (double)kept[0] * k, "k %d: off by %g of %g", k, worst, (double)kept[0]);
    free(x);
    free(h);
    free(kept);
    free(pivots);
}

/* Of a matrix of rank 1 every pivot but one would be 0. */
static void test_factor_of_little(void)
{
    float h[64 * 64], pivots[64];
    for (int i = 0; i < 64 * 64; i++) h[i] = 100;
    hc_factor(NULL, h, 64, 1, pivots);
    for (int i = 0; i < 64; i++) CHECK(pivots[i] >= 1 && pivots[i] < 6500, "pivot %d is %g", i, (double)pivots[i]);
}

/* ---- one matrix ---------------------------------------------------------------------------------------------------
 */

typedef struct problem {
    int n, k, rows;
    float *w, *x;           /* [n][k], [rows][k] */
    hc_matrix fp32, packed; /* w; rounded        */
    float *h;
} problem;

static hc_matrix empty(int n, int k, hc_storage storage)
{
    hc_matrix m = {.n = n, .k = k, .storage = storage};
    m.data = calloc(1, (size_t)hc_matrix_bytes(n, k, storage) + 16);
    if (storage == HC_STORE_I4) {
        m.group_scale = calloc(hc_group_scales(n, k), sizeof *m.group_scale);
        m.total = calloc(hc_round_up((size_t)n, HC_PANEL), sizeof *m.total);
    }
    return m;
}

static void free_matrix(hc_matrix *m)
{
    free(m->data);
    free(m->group_scale);
    free(m->total);
}

/* Inputs whose channels go together, with a few large ones, as those of a transformer are. */
static problem new_problem(int n, int k, int rows)
{
    problem p = {.n = n, .k = k, .rows = rows};
    uint32_t state = 1;
    size_t weights = (size_t)n * (size_t)k, inputs = (size_t)rows * (size_t)k, width = hc_gptq_width(k);
    p.w = malloc(weights * sizeof *p.w);
    p.x = malloc(inputs * sizeof *p.x);
    p.h = calloc(width * width, sizeof *p.h);
    p.fp32 = empty(n, k, HC_STORE_F32);
    p.packed = empty(n, k, HC_STORE_I4);
    for (size_t i = 0; i < weights; i++) p.w[i] = noise(&state) * noise(&state);
    for (size_t i = 0; i < inputs; i++) {
        float common = i % (size_t)k ? p.x[i - 1] * 0.8f : 0;
        p.x[i] = common + noise(&state) * (i % (size_t)k == 5 ? 20 : 1);
    }
    for (int row = 0; row < n; row++) hc_pack_row(&p.fp32, row, p.w + (size_t)row * (size_t)k);
    return p;
}

static void free_problem(problem *p)
{
    free(p->w);
    free(p->x);
    free(p->h);
    free_matrix(&p->fp32);
    free_matrix(&p->packed);
}

static void show_rows(problem *p, hc_threads *threads, int first, int count)
{
    hc_rows rows = {.exact = 0};
    float *values = malloc((size_t)count * (size_t)p->k * sizeof *values);
    hc_gram gram = {.threads = threads, .h = p->h, .width = hc_gptq_width(p->k)};
    hc_rows_lay(&rows, &p->fp32, count, values);
    for (int i = 0; i < count; i++) hc_rows_put(&rows, i, p->x + (size_t)(first + i) * (size_t)p->k);
    hc_gram_add(&gram, &p->fp32, &rows);
    CHECK(!gram.failed, "memory");
    free(values);
}

static void round_problem(problem *p, hc_threads *threads)
{
    size_t width = hc_gptq_width(p->k);
    float *pivots = malloc(width * sizeof *pivots),
          *errors = malloc(width * HC_PANEL * (size_t)hc_threads_count(threads) * sizeof *errors);
    hc_gptq(threads, &p->fp32, p->h, 0.01f, pivots, errors, &p->packed);
    free(pivots);
    free(errors);
}

/* Σ ‖(w - q) x‖², or with `inputs` 0 ‖w - q‖². */
static double loss_of(const problem *p, int inputs)
{
    double loss = 0;
    size_t k = (size_t)p->k;
    float *row = malloc(k * sizeof *row);
    for (int n = 0; n < p->n; n++) {
        hc_dequantise_row(&p->packed, n, row);
        for (size_t j = 0; j < k; j++) row[j] = p->w[(size_t)n * k + j] - row[j];
        for (size_t j = 0; !inputs && j < k; j++) loss += (double)row[j] * (double)row[j];
        for (int r = 0; inputs && r < p->rows; r++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++) sum += (double)row[j] * (double)p->x[(size_t)r * k + j];
            loss += sum * sum;
        }
    }
    free(row);
    return loss;
}

static void round_plainly(problem *p)
{
    for (int row = 0; row < p->n; row++) hc_pack_row(&p->packed, row, p->w + (size_t)row * (size_t)p->k);
}

static void test_gram(hc_threads *threads, int k)
{
    problem p = new_problem(9, k, 50);
    size_t width = hc_gptq_width(k);
    double worst = 0;
    show_rows(&p, threads, 0, 13);
    show_rows(&p, threads, 13, 37);
    for (size_t i = 0; i < width; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t r = 0; i < (size_t)k && r < 50; r++)
                sum += (double)p.x[r * (size_t)k + i] * (double)p.x[r * (size_t)k + j];
            worst = fabs(sum - (double)p.h[i * width + j]) > worst ? fabs(sum - (double)p.h[i * width + j]) : worst;
        }
    CHECK(worst < 0.01, "k %d: off by %g", k, worst);
    free_problem(&p);
}

static void test_rounding(hc_threads *threads, int n, int k)
{
    problem p = new_problem(n, k, 400);
    round_plainly(&p);
    double plain = loss_of(&p, 1), plain_weights = loss_of(&p, 0);
    show_rows(&p, threads, 0, 400);
    round_problem(&p, threads);
    double calibrated = loss_of(&p, 1);
    CHECK(calibrated < 0.5 * plain, "%d x %d: loss %g, rounded for itself %g", n, k, calibrated, plain);

    /* What was written is whole: scales, padding and sums as they are of a matrix that was loaded. */
    hc_matrix copy = empty(n, k, HC_STORE_I4);
    memcpy(copy.data, p.packed.data, (size_t)hc_matrix_bytes(n, k, HC_STORE_I4));
    memcpy(copy.group_scale, p.packed.group_scale, hc_group_scales(n, k) * sizeof *copy.group_scale);
    hc_pack_finish(&copy);
    CHECK(!memcmp(copy.data, p.packed.data, (size_t)hc_matrix_bytes(n, k, HC_STORE_I4)), "padding");
    for (int i = 0; i < n; i++) CHECK_NEAR(copy.total[i], p.packed.total[i], 1e-4);
    free_matrix(&copy);

    /* Inputs that don't go together, and none at all: least squares, no worse than that of pack_i4.c. */
    size_t width = hc_gptq_width(k);
    for (int none = 0; none < 2; none++) {
        memset(p.h, 0, width * width * sizeof *p.h);
        for (size_t i = 0; !none && i < (size_t)k; i++) p.h[i * width + i] = 3;
        round_problem(&p, threads);
        double found = loss_of(&p, 0);
        CHECK(found < plain_weights * 1.0001, "%d x %d: squares %g, expected at most %g", n, k, found, plain_weights);
    }
    /* Inputs that are no numbers say nothing. */
    for (size_t i = 0; i < width * width; i++) p.h[i] = NAN;
    round_problem(&p, threads);
    CHECK(loss_of(&p, 0) < plain_weights * 1.0001, "NaN");
    free_problem(&p);
}

/* The same bits on any number of threads. */
static void test_threads(hc_threads *threads)
{
    problem a = new_problem(45, 100, 60), b = new_problem(45, 100, 60);
    show_rows(&a, NULL, 0, 60);
    show_rows(&b, threads, 0, 60);
    round_problem(&a, NULL);
    round_problem(&b, threads);
    CHECK(!memcmp(a.packed.data, b.packed.data, (size_t)hc_matrix_bytes(45, 100, HC_STORE_I4)), "other levels");
    CHECK(!memcmp(a.packed.group_scale, b.packed.group_scale, hc_group_scales(45, 100) * 2), "other scales");
    free_problem(&a);
    free_problem(&b);
}

/* ---- towers -------------------------------------------------------------------------------------------------------
 */

enum { INPUTS = 5 };

/* Inputs of a tower, which are as wide as floats whatever they are. */
static float *inputs_of(const hc_encoder *encoder, size_t *each)
{
    hc_info info;
    uint32_t state = 3;
    hc_encoder_info(encoder, &info);
    *each =
        info.tower == HC_IMAGE ? 3 * (size_t)info.image_height * (size_t)info.image_width : (size_t)info.context_length;
    float *inputs = malloc(INPUTS * *each * sizeof *inputs);
    for (size_t i = 0; i < INPUTS * *each; i++) {
        int32_t id = (int32_t)((state >> 9) % (uint32_t)(info.vocab_size + (info.tower == HC_IMAGE)));
        inputs[i] = noise(&state) * 2;
        if (info.tower == HC_TEXT) memcpy(inputs + i, &id, sizeof id);
    }
    return inputs;
}

static float *vectors_of(hc_encoder *encoder, const float *inputs, size_t *length)
{
    hc_info info;
    hc_encoder_info(encoder, &info);
    *length = INPUTS * (size_t)(info.dim * info.tokens_out);
    float *out = malloc(*length * sizeof *out);
    hc_status status = info.tower == HC_IMAGE
                           ? hc_embed_pixels(encoder, inputs, INPUTS, 1, out)
                           : hc_embed_tokens(encoder, (const int32_t *)(const void *)inputs, INPUTS, 1, out);
    CHECK(status == HC_OK, "%s", hc_status_code(status));
    return out;
}

static bytes written(hc_calibration *c)
{
    bytes shard = {NULL, 0};
    CHECK(hc_calibration_write(c, NULL, 0, append_bytes, &shard) == HC_OK, "%s", hc_calibration_message(c));
    return shard;
}

/* The shard at fp32 computes what the calibrated encoder does, to the last bit; as it is, it holds 4 and 8 bits. */
static void check_shard(hc_calibration *c, hc_encoder *encoder, const float *inputs, const char *name)
{
    outcome end;
    size_t n;
    bytes shard = written(c);
    hc_tower tower = encoder->net.tower;
    hc_encoder *wide = load_bytes(tower, shard, NULL, HC_FP32, 4096, 1, &end);
    hc_encoder *mixed = load_bytes(tower, shard, NULL, HC_AUTO, 4096, 1, &end);
    CHECK(wide && mixed, "%s: %s", name, end.message);
    float *a = vectors_of(encoder, inputs, &n), *b = vectors_of(wide, inputs, &n);
    CHECK(!memcmp(a, b, n * sizeof *a), "%s: the shard holds other weights", name);
    hc_calibrated t;
    uint64_t bytes = 0;
    for (size_t i = 0; hc_calibration_tensor(c, i, &t); i++) {
        const hc_tensor *held = &mixed->net.tensors[i + 1];
        hc_storage storage = held->kind == HC_TABLE ? held->table.storage : held->matrix.storage;
        if (t.bits) CHECK(storage == (t.bits == 8 ? HC_STORE_I8 : HC_STORE_I4), "%s: storage of %s", name, t.name);
        if (t.bits) bytes += t.bytes[t.bits == 8];
    }
    CHECK(bytes && bytes < shard.size, "%s: %llu bytes of %zu", name, (unsigned long long)bytes, shard.size);
    free(a);
    free(b);
    free(shard.data);
    hc_encoder_free(wide);
    hc_encoder_free(mixed);
}

static void test_tower(const char *name, hc_tower tower)
{
    hc_encoder *encoder = golden_encoder(name, tower, HC_FP32);
    size_t each, n, rounded = 0;
    float *inputs = inputs_of(encoder, &each), *before = vectors_of(encoder, inputs, &n);
    hc_calibration *c = hc_calibration_new(encoder);
    hc_calibrated t;
    for (size_t i = 0; hc_calibration_tensor(c, i, &t); i++)
        if (t.bits && rounded++ % 3 == 1) hc_calibration_choose(c, i, 8);
    CHECK(hc_calibration_add(c, inputs, 2) == HC_OK && hc_calibration_add(c, inputs + 2 * each, INPUTS - 2) == HC_OK,
          "%s: %s", name, hc_calibration_message(c));
    int steps = 1;
    while (hc_calibration_step(c)) steps++;
    CHECK(hc_calibration_status(c) == HC_OK && steps > 3, "%s: %d steps, %s", name, steps, hc_calibration_message(c));
    CHECK(!hc_calibration_step(c), "%s: nothing is left", name);

    /* Close to what it was, and changed. */
    float *after = vectors_of(encoder, inputs, &n);
    double product = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        product += (double)before[i] * (double)after[i];
        most += (double)before[i] * (double)before[i];
    }
    CHECK(product > 0.9 * most && memcmp(before, after, n * sizeof *before), "%s: cosine %g", name, product / most);
    check_shard(c, encoder, inputs, name);

    /* All at 8 bits, and one back. */
    for (size_t i = 0; hc_calibration_tensor(c, i, &t); i++) hc_calibration_choose(c, i, 8);
    check_shard(c, encoder, inputs, name);
    for (size_t i = 0; hc_calibration_tensor(c, i, &t); i++)
        if (t.bits) hc_calibration_choose(c, i, 4);
    check_shard(c, encoder, inputs, name);
    hc_calibration_free(c);
    free(before);
    free(after);
    free(inputs);
    hc_encoder_free(encoder);
}

/* Without inputs it is the int4 that everyone has. */
static void test_without_inputs(hc_tower tower)
{
    hc_encoder *encoder = golden_encoder("clip", tower, HC_FP32), *plain = golden_encoder("clip", tower, HC_INT4);
    hc_calibration *c = hc_calibration_new(encoder);
    CHECK(!hc_calibration_step(c) && hc_calibration_status(c) == HC_OK, "%s", hc_calibration_message(c));
    bytes a = written(c), b = shard_of(plain);
    CHECK(same_bytes(a, b), "another shard");
    size_t each;
    float *inputs = inputs_of(encoder, &each);
    check_shard(c, encoder, inputs, "clip");
    free(inputs);
    free(a.data);
    free(b.data);
    hc_calibration_free(c);
    hc_encoder_free(encoder);
    hc_encoder_free(plain);
}

enum { FILMS = 3, FRAMES = 9 };

static const size_t LENGTHS[FILMS] = {5, 1, 3};

/* A vector of each film. */
static float *films_of(hc_encoder *encoder, const float *frames, size_t item)
{
    size_t dim = (size_t)encoder->net.dim;
    float *seen = malloc(FRAMES * dim * sizeof *seen), *out = malloc(FILMS * dim * sizeof *out);
    for (size_t i = 0, first = 0; i < FILMS; first += LENGTHS[i++]) {
        hc_status status = hc_embed_pixels(encoder, frames + first * item, LENGTHS[i], 0, seen);
        if (status == HC_OK) status = hc_embed_video(encoder, seen, LENGTHS[i], 1, out + i * dim);
        CHECK(status == HC_OK, "%s", hc_status_code(status));
    }
    free(seen);
    return out;
}

/* Frames of films, and then what is made of their vectors, film by film: `rounded` is a matrix of that, or NULL. */
static void test_films(const char *name, const char *rounded)
{
    hc_encoder *encoder = golden_encoder(name, HC_VIDEO, HC_FP32), *plain = golden_encoder(name, HC_VIDEO, HC_FP32);
    size_t item = hc_network_input(&encoder->net), dim = (size_t)encoder->net.dim;
    uint32_t state = 5;
    float *frames = malloc(FRAMES * item * sizeof *frames);
    for (size_t i = 0; i < FRAMES * item; i++) frames[i] = noise(&state) * 2;
    float *before = films_of(encoder, frames, item);
    hc_calibration *c = hc_calibration_new(encoder), *itself = hc_calibration_new(plain);
    for (size_t i = 0, first = 0; i < FILMS; first += LENGTHS[i++])
        CHECK(hc_calibration_add(c, frames + first * item, LENGTHS[i]) == HC_OK, "%s: %s", name,
              hc_calibration_message(c));
    int steps = 1;
    while (hc_calibration_step(c)) steps++;
    while (hc_calibration_step(itself)) continue;
    CHECK(hc_calibration_status(c) == HC_OK && steps + 1 == encoder->net.op_count, "%s: %d of %d steps, %s", name,
          steps, encoder->net.op_count, hc_calibration_message(c));
    float *after = films_of(encoder, frames, item);
    double product = 0;
    for (size_t i = 0; i < FILMS * dim; i++) product += (double)before[i] * (double)after[i];
    CHECK(product > 0.9 * (int)FILMS && memcmp(before, after, FILMS * dim * sizeof *before), "%s: cosine %g", name,
          product / (int)FILMS);
    if (rounded) {
        const hc_matrix *one = &tensor_of(encoder, rounded)->matrix, *other = &tensor_of(plain, rounded)->matrix;
        CHECK(memcmp(one->data, other->data, (size_t)hc_matrix_bytes(one->n, one->k, HC_STORE_F32)),
              "%s: %s is rounded for itself", name, rounded);
    }
    outcome end;
    bytes shard = written(c);
    hc_encoder *wide = load_bytes(HC_VIDEO, shard, NULL, HC_FP32, 4096, 1, &end);
    CHECK(wide, "%s: %s", name, end.message);
    float *loaded = films_of(wide, frames, item);
    CHECK(!memcmp(after, loaded, FILMS * dim * sizeof *after), "%s: the shard holds other weights", name);
    hc_calibration_free(c);
    hc_calibration_free(itself);

    if (rounded) {
        c = hc_calibration_new(wide);
        float *many = calloc(17 * item, sizeof *many);
        CHECK(hc_calibration_add(c, many, 17) == HC_INPUT_SIZE && !hc_calibration_step(c) &&
                  strstr(hc_calibration_message(c), "17 frames, expected 16 at most"),
              "%s: %s", name, hc_calibration_message(c));
        hc_calibration_free(c);
        free(many);
    }
    float *all[] = {frames, before, after, loaded};
    for (int i = 0; i < 4; i++) free(all[i]);
    free(shard.data);
    hc_encoder_free(encoder);
    hc_encoder_free(plain);
    hc_encoder_free(wide);
}

static void test_refused(void)
{
    hc_encoder *quantised = golden_encoder("clip", HC_IMAGE, HC_INT8), *text = golden_encoder("clip", HC_TEXT, HC_FP32);
    hc_calibration *c = hc_calibration_new(quantised);
    CHECK(hc_calibration_status(c) == HC_INPUT_TYPE && strstr(hc_calibration_message(c), "int8"), "%s",
          hc_calibration_message(c));
    CHECK(hc_calibration_write(c, NULL, 0, append_bytes, NULL) == HC_INPUT_TYPE, "nothing is written");
    hc_calibration_free(c);

    size_t each;
    float *inputs = inputs_of(text, &each);
    int32_t bad = -1;
    memcpy(inputs + each + 1, &bad, sizeof bad);
    c = hc_calibration_new(text);
    CHECK(hc_calibration_add(c, inputs, 2) == HC_INPUT_TYPE && !hc_calibration_step(c), "%s",
          hc_calibration_message(c));
    hc_calibration_free(c);

    const hc_tensor *large = tensor_of(text, "resblocks.1.mlp.c_proj.weight");
    ((float *)large->matrix.data)[5] = 70000;
    c = hc_calibration_new(text);
    CHECK(hc_calibration_status(c) == HC_WEIGHTS_CORRUPT && strstr(hc_calibration_message(c), large->name), "%s",
          hc_calibration_message(c));
    hc_calibration_free(c);
    free(inputs);
    hc_encoder_free(text);
    hc_encoder_free(quantised);
}

int main(void)
{
    hc_threads *threads = hc_threads_new(3);
    for (int k = 32; k <= 160; k += 64) test_factor(k < 100 ? NULL : threads, k);
    test_factor_of_little();
    test_gram(NULL, 37);
    test_gram(threads, 800);
    test_rounding(NULL, 8, 32);
    test_rounding(threads, 37, 100);
    test_rounding(threads, 20, 161);
    test_threads(threads);
    hc_threads_free(threads);
    test_tower("clip", HC_IMAGE);
    test_tower("clip", HC_TEXT);
    test_tower("odd-widths", HC_IMAGE);
    test_tower("odd-widths", HC_TEXT);
    test_tower("resnet-odd-widths", HC_IMAGE);
    test_without_inputs(HC_IMAGE);
    test_without_inputs(HC_TEXT);
    test_films("clip4clip-seqTransf", "transformerClip.resblocks.0.mlp.c_fc.weight");
    test_films("clip4clip-seqTransf-3d", "transformerClip.resblocks.0.attn.in_proj_weight");
    test_films("clip4clip-seqLSTM", NULL);
    test_films("clip4clip-meanP", NULL);
    test_refused();
    return check_result("calibrate");
}
