/* fuzz_json.c: any bytes as JSON. What is accepted is walked to its last member and read in every way. */
#include "checkpoint/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const hc_json *value, const uint8_t *data, size_t size)
{
    hc_json key, member;
    char held[32];
    uint64_t number;
    const char *cursor = NULL;
    if (value->text < (const char *)data || value->text + value->length > (const char *)data + size || !value->length)
        abort();
    hc_json_truthy(value);
    hc_json_is(value, "key");
    if (value->type == HC_JSON_STRING) {
        size_t length = hc_json_string(value, held, sizeof held);
        const char *const beginning[] = {held};
        if (strlen(held) > length || !hc_json_same(value, value) || !hc_json_begins(value, beginning, 1)) abort();
        if (length < sizeof held &&
            (hc_json_hash(value) != hc_hash(held, length) || (strlen(held) == length && !hc_json_is(value, held))))
            abort();
    }
    double read = hc_json_number(value);
    if (hc_json_unsigned(value, &number) && (uint64_t)read != number && number < (uint64_t)1 << 53) abort();
    while (hc_json_next(value, &cursor, &key, &member)) {
        if (value->type == HC_JSON_OBJECT && key.type != HC_JSON_STRING) abort();
        walk(&member, data, size);
    }
    hc_json_get(value, "key");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_json value;
    hc_json_error error;
    uint8_t *exact = malloc(size + !size); /* so that one byte too far is seen */
    memcpy(exact, data, size);
    if (hc_json_parse((const char *)exact, size, &value, &error)) walk(&value, exact, size);
    else if (!error.reason || error.position > size) abort();
    free(exact);
    return 0;
}
