/* problem.h: what went wrong first in something that goes on in steps, for the caller to pass on. */
#ifndef HC_PROBLEM_H
#define HC_PROBLEM_H

#include "base/text_format.h"
#include "halfclip.h"

/* A status, and one English sentence where it isn't HC_OK. */
typedef struct hc_problem {
    hc_status status;
    char message[512];
} hc_problem;

/* Keeps the first failure, later ones change nothing; the message as hc_format takes it. Returns 0, so that a function
 * that says whether it succeeded can return it. */
int hc_fail(hc_problem *problem, hc_status status, const char *format, ...);

#endif
