/* test_fit.c: how far files are from the towers of configs, and which tower a tensor is of. */
#include "check.h"
#include "files.h"
#include "checkpoint/safetensors.h"
#include "families/family.h"
#include "load/fit.h"

#include <string.h>

typedef struct checkpoint {
    char *config, *bytes;
    size_t config_length;
    hc_safetensors file;
} checkpoint;

static checkpoint open_golden(const char *name)
{
    checkpoint c;
    char path[256];
    hc_problem problem = {.status = HC_OK};
    size_t length;
    snprintf(path, sizeof path, "tests/golden/towers/%s.json", name);
    c.config = read_file(path, &c.config_length);
    snprintf(path, sizeof path, "tests/golden/towers/%s.safetensors", name);
    c.bytes = read_file(path, &length);
    hc_status status =
        hc_safetensors_parse(&c.file, c.bytes + 8, (size_t)hc_safetensors_header_length(c.bytes), &problem);
    CHECK(status == HC_OK, "%s: %s", name, problem.message);
    return c;
}

static void close_golden(checkpoint *c)
{
    hc_safetensors_free(&c->file);
    free(c->config);
    free(c->bytes);
}

static double fit(hc_tower tower, const char *config, checkpoint *c)
{
    return hc_fit(tower, config, strlen(config), &c->file);
}

static void test_own_configs(void)
{
    static const char *const names[] = {"clip", "hugging-face", "openai", "coca", "custom-text", "module-prefix"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        checkpoint c = open_golden(names[i]);
        for (hc_tower tower = HC_IMAGE; tower <= HC_TEXT; tower++) {
            double distance = hc_fit(tower, c.config, c.config_length, &c.file);
            CHECK(distance == 0, "%s, tower %d: %g", names[i], (int)tower, distance);
        }
        close_golden(&c);
    }
}

static void test_other_configs(void)
{
    checkpoint c = open_golden("clip");
    const char *near =
                   "{\"embed_dim\": 24, \"vision_cfg\": {}, \"text_cfg\": {\"context_length\": 12, \"vocab_size\": 96, "
                   "\"width\": 48, \"heads\": 2, \"layers\": 2}}",
               *far = "{\"embed_dim\": 512, \"vision_cfg\": {}, \"text_cfg\": {}}";
    double nearer = fit(HC_TEXT, near, &c), farther = fit(HC_TEXT, far, &c);
    CHECK(nearer < farther && farther < 1, "%g, %g", nearer, farther);
    CHECK(fit(HC_TEXT, "{\"embed_dim\": 512, \"vision_cfg\": {}, \"text_cfg\": {\"hf_model_name\": \"none/such\"}}",
              &c) == -1,
          "no family computes it");
    CHECK(fit(HC_TEXT, "[]", &c) == -1, "no config");
    hc_safetensors nothing = {.tensors = NULL};
    CHECK(hc_fit(HC_TEXT, c.config, c.config_length, &nothing) == 1, "an empty file has nothing of a tower");
    close_golden(&c);
}

static void test_towers_of_names(void)
{
    checkpoint c = open_golden("clip");
    int counts[3] = {0};
    hc_names_match matches[HC_MOST_FAMILIES];
    hc_family_match_all(&c.file, matches);
    for (size_t i = 0; i < c.file.count; i++) {
        const hc_json *name = &c.file.tensors[i].name;
        int tower = hc_family_tower_of(matches, name);
        int visual = !strncmp(name->text, "\"visual.", 8);
        CHECK((tower == HC_IMAGE) == visual, "%.*s: %d", (int)name->length, name->text, tower);
        counts[1 + tower]++;
    }
    CHECK(counts[0] == 1 && counts[1] > 20 && counts[2] > 20, "%d %d %d", counts[0], counts[1], counts[2]);
    close_golden(&c);
}

int main(void)
{
    test_own_configs();
    test_other_configs();
    test_towers_of_names();
    return check_result("fit");
}
