/* test_json.c: the grammar of RFC 8259, lookups, and numbers against the C library's strtod, bit for bit. */
#include "check.h"
#include "checkpoint/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, hc_json *value, hc_json_error *error)
{
    return hc_json_parse(text, strlen(text), value, error);
}

static void test_grammar(void)
{
    static const char *const good[] = {
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "10",
        "1.5",
        "1e3",
        "1E+3",
        "1.25e-7",
        "\"\"",
        "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "[]",
        "[ ]",
        "[1]",
        "[1, 2]",
        "{}",
        "{ }",
        "{\"a\":1}",
        "\t\r\n{\"a\" : [ 1 , {\"b\" : null } ] }\n",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "\"\x7F\"",
        "[[[[[[[[]]]]]]]]",
    };
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "nulll",
        "tru",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "--1",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "\"\t\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "1 2",
        "[] []",
        "{}x",
        "// a\n1",
        "\xEF\xBB\xBF{}",
        "\"\x80\"",
        "\"\xC0\x80\"",
        "\"\xC3\"",
        "\"\xE0\x80\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xF0\x80\x80\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xF5\x80\x80\x80\"",
        "\"\xE2\x82\"",
    };
    hc_json value;
    hc_json_error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(parse(good[i], &value, &error), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error.reason = NULL;
        CHECK(!parse(bad[i], &value, &error) && error.reason && error.position <= strlen(bad[i]), "%s", bad[i]);
    }
    CHECK(!hc_json_parse("\"a\0b\"", 5, &value, &error), "a NUL in a string");
    CHECK(!hc_json_parse("1\0", 2, &value, &error), "a NUL after a value");
    parse("{\"a\": [1, }", &value, &error);
    CHECK(error.position == 10, "position %zu", error.position);

    char deep[131];
    for (int depth = 64; depth <= 65; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        CHECK(hc_json_parse(deep, 2 * (size_t)depth, &value, &error) == (depth == 64), "depth %d", depth);
    }
}

static void test_lookup(void)
{
    hc_json root, value, key;
    hc_json_error error;
    const char *text = "{ \"a\" : 1, \"b\":[ true,\"x\" , {\"c\":[]} ,-2.5e1 ], \"a\": {\"d\": null}, "
                       "\"\\u0062\\u0063\": \"\\ud83d\\ude00\\n\", \"z\":\"]}\\\"\" }";
    CHECK(parse(text, &root, &error), "%s", error.reason);
    value = hc_json_get(&root, "a");
    CHECK(value.type == HC_JSON_OBJECT && value.length == 11, "of two keys the last counts");
    value = hc_json_get(&value, "d");
    CHECK(value.type == HC_JSON_NULL, "null is not absent");
    value = hc_json_get(&root, "bc");
    CHECK(hc_json_is(&value, "\xF0\x9F\x98\x80\n") && !hc_json_is(&value, "\xF0\x9F\x98\x80") &&
              !hc_json_is(&value, "\xF0\x9F\x98\x80\nx"),
          "an escaped key and string");
    char held[8];
    CHECK(hc_json_string(&value, held, sizeof held) == 5 && !strcmp(held, "\xF0\x9F\x98\x80\n"), "%s", held);
    CHECK(hc_json_string(&value, held, 3) == 5 && !strcmp(held, "\xF0\x9F"), "a short buffer");
    CHECK(hc_json_string(&value, NULL, 0) == 5, "only the length");
    value = hc_json_get(&root, "z");
    CHECK(hc_json_is(&value, "]}\""), "brackets in strings");
    CHECK(hc_json_get(&root, "nothing").type == HC_JSON_ABSENT, "an absent key");
    CHECK(hc_json_get(&value, "a").type == HC_JSON_ABSENT, "a key of a string");

    hc_json list = hc_json_get(&root, "b");
    static const hc_json_type types[] = {HC_JSON_BOOL, HC_JSON_STRING, HC_JSON_OBJECT, HC_JSON_NUMBER};
    const char *cursor = NULL;
    int count = 0;
    for (; hc_json_next(&list, &cursor, &key, &value); count++)
        CHECK(count < 4 && value.type == types[count], "member %d", count);
    CHECK(count == 4 && hc_json_number(&value) == -25, "%d members", count);

    static const struct {
        const char *a, *b;
        int same;
    } pairs[] = {
        {"a", "b", 0},
        {"a", "aa", 0},
        {"", "a", 0},
        {"\\u0061", "b", 0},
        {"a\\u0000", "a", 0},
        {"", "", 1},
        {"\\u0061b", "a\\u0062", 1},
        {"\\ud83d\\ude00", "\U0001F600", 1},
        {"12345678", "1234567", 0},
        {"123456789", "12345678\\u0039", 1},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char document[64];
        hc_json a, b;
        snprintf(document, sizeof document, "[\"%s\",\"%s\"]", pairs[i].a, pairs[i].b);
        parse(document, &list, &error);
        cursor = NULL;
        hc_json_next(&list, &cursor, NULL, &a);
        hc_json_next(&list, &cursor, NULL, &b);
        CHECK(hc_json_same(&a, &b) == pairs[i].same && hc_json_same(&b, &a) == pairs[i].same, "%s", document);
        CHECK((hc_json_hash(&a) == hc_json_hash(&b)) == pairs[i].same, "hashes of %s", document);
    }

    static const char *const parts[][3] = {
        {"text.", "", "trans"}, {"", "text.transformer", ""}, {"text.", "x", ""}, {"", "text.transformers", ""}};
    parse("\"te\\u0078t.transformer\"", &value, &error);
    for (int i = 0; i < 4; i++) CHECK(hc_json_begins(&value, parts[i], 3) == (i < 2), "beginning %d", i);
    CHECK(!hc_json_begins(&list, parts[0], 3), "an array begins with nothing");
    CHECK(hc_hash("", 0) == 0x1e924b9d737700d7, "SipHash-2-4 of nothing under a key of zeros: %llx",
          (unsigned long long)hc_hash("", 0));
}

static void test_truth(void)
{
    static const struct {
        const char *text;
        int truthy;
    } cases[] = {
        {"null", 0}, {"false", 0}, {"true", 1}, {"0", 0},   {"-0.0", 0}, {"1e-3", 1},
        {"\"\"", 0}, {"\"x\"", 1}, {"[]", 0},   {"[0]", 1}, {"{}", 0},   {"{\"a\":0}", 1},
    };
    hc_json value;
    hc_json_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(parse(cases[i].text, &value, &error) && hc_json_truthy(&value) == cases[i].truthy, "%s", cases[i].text);

    static const struct {
        const char *text;
        int good;
        uint64_t number;
    } integers[] = {
        {"0", 1, 0},
        {"18446744073709551615", 1, UINT64_MAX},
        {"18446744073709551616", 0, 0},
        {"99999999999999999999", 0, 0},
        {"-1", 0, 0},
        {"1.0", 0, 0},
        {"1e2", 0, 0},
        {"\"1\"", 0, 0},
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        uint64_t number = 0;
        parse(integers[i].text, &value, &error);
        CHECK(hc_json_unsigned(&value, &number) == integers[i].good &&
                  (!integers[i].good || number == integers[i].number),
              "%s", integers[i].text);
    }
}

static void check_number(const char *text)
{
    hc_json value;
    hc_json_error error;
    if (!parse(text, &value, &error)) {
        CHECK(0, "%s", text);
        return;
    }
    double found = hc_json_number(&value), expected = strtod(text, NULL);
    CHECK(!memcmp(&found, &expected, sizeof found), "%s: found %.17g, expected %.17g", text, found, expected);
}

static void test_numbers(void)
{
    static const char *const numbers[] = {
        "0",
        "-0",
        "1",
        "-1",
        "0.1",
        "1e-06",
        "1e-6",
        "0.48145466",
        "0.4578275",
        "0.40821073",
        "0.26862954",
        "0.26130258",
        "0.27577711",
        "4.3637",
        "3.7362",
        "4.9231",
        "9007199254740992",
        "9007199254740993",
        "9007199254740991",
        "9007199254740992.5",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "-1e309",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e99999999999",
        "0.000000000000000000000000000001e30",
        "100000000000000000000000000000e-29",
        "8.5e22",
        "1e23",
        "6.02214076e23",
        "9.5367431640625e-7",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "179769313486231580793728971405301e276",
        "0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) check_number(numbers[i]);

    /* Halfway between two doubles, with more digits than the first guess looks at. */
    uint64_t state = 1;
    for (int i = 0; i < 4000; i++) {
        char text[64];
        state = state * 6364136223846793005u + 1442695040888963407u;
        snprintf(text, sizeof text, "%llu.%0*d", (unsigned long long)((state >> 11 | (uint64_t)1 << 53 | 1) << 10),
                 i % 20 + 1, 0);
        check_number(text);
    }
    for (int i = 0; i < 20000; i++) {
        char text[64];
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t digits = state >> (i % 60);
        int exponent = (int)((state >> 7) % 40) - 20, wide = (int)((state >> 3) % 680) - 340;
        snprintf(text, sizeof text, "%s%llue%d", i % 2 ? "-" : "", (unsigned long long)digits, i % 3 ? exponent : wide);
        check_number(text);
        double drawn;
        memcpy(&drawn, &state, sizeof drawn);
        if (!isfinite(drawn)) continue;
        snprintf(text, sizeof text, "%.*g", 1 + i % 20, drawn);
        check_number(text);
    }
}

int main(void)
{
    test_grammar();
    test_lookup();
    test_truth();
    test_numbers();
    return check_result("json");
}
