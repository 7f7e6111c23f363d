/* check.h: the two macros that the C unit tests need. A test program returns check_result(). */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdio.h>

static int checks_failed, checks_done;

/* Counts one check and says where it failed, with a printf-style explanation. */
#define CHECK(condition, ...)                                               \
    do {                                                                    \
        checks_done++;                                                      \
        if (!(condition)) {                                                 \
            checks_failed++;                                                \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
        }                                                                   \
    } while (0)

#define CHECK_NEAR(found, expected, tolerance)                                                                     \
    CHECK(fabs((double)(found) - (double)(expected)) <= (tolerance), "found %.9g, expected %.9g", (double)(found), \
          (double)(expected))

/* The exit status, after a line that says how many checks ran: a test that checks nothing fails. */
static int check_result(const char *name)
{
    printf("%s: %d checks, %d failed\n", name, checks_done, checks_failed);
    return checks_failed || !checks_done;
}

#endif
