/* json_number.c: numbers, to the nearest double. */
#include "checkpoint/json_scan.h"

/* Large enough for 10^(330 + 64) and for 2^1074 * 10^330 alike. */
enum { BIG_WORDS = 80, MAX_DIGITS = 64, MAX_EXPONENT = 330 };

typedef struct big {
    uint32_t words[BIG_WORDS]; /* least significant first */
    int length;
} big;

static void big_multiply_add(big *b, uint32_t factor, uint32_t carry)
{
    uint64_t sum = carry;
    for (int i = 0; i < b->length; i++) {
        sum += (uint64_t)b->words[i] * factor;
        b->words[i] = (uint32_t)sum;
        sum >>= 32;
    }
    if (sum) b->words[b->length++] = (uint32_t)sum;
}

static void big_power(big *b, uint32_t base, int exponent)
{
    for (; exponent > 0; exponent--) big_multiply_add(b, base, 0);
}

static void big_shift(big *b, int bits)
{
    for (; bits >= 31; bits -= 31) big_multiply_add(b, 1u << 31, 0);
    if (bits > 0) big_multiply_add(b, 1u << bits, 0);
}

static int big_compare(const big *a, const big *b)
{
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    for (int i = a->length; i-- > 0;)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

/* Where digits * 10^exponent lies against m * 2^e. */
static int compare_with(const big *digits, int exponent, uint64_t m, int e)
{
    big left = *digits, right = {{(uint32_t)m, (uint32_t)(m >> 32)}, m >> 32 ? 2 : m != 0};
    big_power(exponent < 0 ? &right : &left, 10, exponent < 0 ? -exponent : exponent);
    big_shift(e < 0 ? &left : &right, e < 0 ? -e : e);
    return big_compare(&left, &right);
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The midpoint between a positive finite double and the next one up, as m * 2^e. */
static uint64_t midpoint_above(uint64_t bits, int *e)
{
    uint64_t m = bits & 0xFFFFFFFFFFFFF;
    int biased = (int)(bits >> 52);
    if (biased) m |= (uint64_t)1 << 52;
    *e = (biased ? biased : 1) - 1075 - 1;
    return 2 * m + 1;
}

/* Clinger's AlgorithmR (PLDI 1990): an estimate, moved by single steps until the exact value lies between its
 * midpoints. */
static double round_correctly(const big *digits, int exponent, double estimate)
{
    const uint64_t infinity = (uint64_t)0x7FF << 52;
    uint64_t bits = to_bits(estimate);
    if (bits >= infinity) bits = infinity - 1;
    for (;;) {
        int e;
        uint64_t m = midpoint_above(bits, &e);
        int above = compare_with(digits, exponent, m, e);
        if (above > 0 || (above == 0 && (bits & 1))) {
            if (++bits == infinity) return from_bits(infinity);
            continue;
        }
        if (!bits) return 0;
        m = midpoint_above(bits - 1, &e);
        int below = compare_with(digits, exponent, m, e);
        if (below < 0 || (below == 0 && (bits & 1))) {
            bits--;
            continue;
        }
        return from_bits(bits);
    }
}

double hc_json_number(const hc_json *value)
{
    if (value->type != HC_JSON_NUMBER) return 0;
    const char *at = value->text, *end = at + value->length;
    int negative = *at == '-';
    if (negative) at++;

    big digits = {{0}, 0};
    uint64_t leading = 0; /* the first 19 digits */
    int count = 0, leading_count = 0;
    int64_t exponent = 0, written = 0;
    int point = 0, sticky = 0;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            point = 1;
            continue;
        }
        unsigned digit = (unsigned)(*at - '0');
        exponent -= point;
        if (!count && !digit) continue;
        if (count == MAX_DIGITS) {
            sticky |= digit != 0;
            exponent++;
            continue;
        }
        if (!digits.length) {
            digits.words[0] = digit;
            digits.length = 1;
        } else {
            big_multiply_add(&digits, 10, digit);
        }
        count++;
        if (leading_count < 19) {
            leading = leading * 10 + digit;
            leading_count++;
        }
    }
    if (at < end) {
        int sign = at[1] == '-' ? -1 : 1;
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        for (; at < end; at++)
            if (written < 100000) written = written * 10 + (*at - '0');
        exponent += sign * written;
    }
    if (!count) return negative ? -0.0 : 0.0;
    if (exponent + count > 310) return from_bits((uint64_t)(negative ? 0xFFF : 0x7FF) << 52);
    if (exponent + count < -330) return negative ? -0.0 : 0.0;

    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double result;
    if (leading_count == count && leading <= (uint64_t)1 << 53 && exponent >= -22 && exponent <= 22) {
        /* Both factors are exact, so that one rounding is all there is. */
        result = exponent < 0 ? (double)leading / powers[-exponent] : (double)leading * powers[exponent];
    } else {
        if (sticky) {
            big_multiply_add(&digits, 10, 1);
            exponent--;
        }
        double estimate = (double)leading;
        int64_t scale = exponent + (sticky ? 1 : 0) + count - leading_count;
        for (; scale >= 22; scale -= 22) estimate *= 1e22;
        for (; scale <= -22; scale += 22) estimate /= 1e22;
        estimate = scale < 0 ? estimate / powers[-scale] : estimate * powers[scale];
        result = round_correctly(&digits, (int)exponent, estimate);
    }
    return negative ? -result : result;
}
