/* test_kernels.c: every kernel against reference.h over many shapes, and the same bits in every build: the outputs of
 * fixed inputs, hashed, are those of kernel_hashes.h. Built for WebAssembly too, where tests/node/kernels.test.mjs
 * calls `run` and `hash`. */
#include "kernels_attention.h"
#include "kernels_gemm.h"
#include "kernels_grid.h"
#include "kernels_math.h"
#include "kernels_rows.h"

static void check_all(void)
{
    static void (*const groups[])(void) = {check_halves,     check_functions, check_gemms,
                                           check_gemms_i4,   check_epilogues, check_norms,
                                           check_attentions, check_rotations, check_grids};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        random_state = 1; /* so that a new check changes the hashes of its own group only */
        groups[i]();
    }
    for (int i = 0; i < HASHES; i++)
        CHECK(hashes[i] == KERNEL_HASHES[i].hash, "%s: other bits than elsewhere: found 0x%08x", KERNEL_HASHES[i].name,
              (unsigned)hashes[i]);
}

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name))) name

int EXPORT(run)(void);
int EXPORT(done)(void);
int EXPORT(failed_line)(void);
const char *EXPORT(failed_file)(void);
unsigned EXPORT(hash_of)(int what);

int run(void)
{
    check_all();
    return checks_failed;
}
int done(void) { return checks_done; }
int failed_line(void) { return first_failed_line; }
const char *failed_file(void) { return first_failed_file; }
unsigned hash_of(int what) { return hashes[what]; }
#else
int main(void)
{
    check_all();
    return check_result("kernels");
}
#endif
