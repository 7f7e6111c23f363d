/* problem.c: the first failure. */
#include "base/problem.h"

int hc_fail(hc_problem *problem, hc_status status, const char *format, ...)
{
    va_list args;
    if (problem->status != HC_OK) return 0;
    va_start(args, format);
    hc_format_list(problem->message, sizeof problem->message, format, args);
    va_end(args);
    problem->status = status;
    return 0;
}
