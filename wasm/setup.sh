#!/usr/bin/env bash
# setup.sh: installs the system packages that building and testing need, where they are missing and apt can be used; else says exactly how to.
#
#   emscripten (or $EMSDK)              the baseline WebAssembly flavour
#   clang-19 lld-19 libclang-rt-19-dev  the relaxed SIMD flavour, native builds, sanitizers, fuzzers
#   clang-format-19                     the layout of the C code
#   chromium (or $CHROMIUM)             the browser tests
#   firefox-esr (or $FIREFOX)           the tests in Firefox, which are skipped where a system has none (Ubuntu has a snap, which will not do)
#   ffmpeg                              the tests of videos, which make and read them
set -euo pipefail

missing=()
command -v emcc >/dev/null || [ -x "${EMSDK:-/nonexistent}/upstream/emscripten/emcc" ] || missing+=(emscripten)
command -v "${CLANG:-clang-19}" >/dev/null || missing+=(clang-19 libclang-rt-19-dev)
command -v "${CLANG_FORMAT:-clang-format-19}" >/dev/null || missing+=(clang-format-19)
command -v wasm-ld-19 >/dev/null || missing+=(lld-19)
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing+=(chromium)
command -v ffmpeg >/dev/null || missing+=(ffmpeg)
command -v ar >/dev/null || missing+=(binutils)
[ -e /usr/include/string.h ] || missing+=(libc6-dev)
wished=()
[ -n "${FIREFOX:-}" ] || command -v firefox-esr >/dev/null || command -v firefox >/dev/null || wished+=(firefox-esr)
[ ${#missing[@]} -eq 0 ] && [ ${#wished[@]} -eq 0 ] && exit 0

say_how() {
    [ ${#missing[@]} -gt 0 ] || exit 0
    echo "This machine lacks: ${missing[*]}" >&2
    echo "Install them with: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    echo "(or set EMSDK to an Emscripten SDK, CHROMIUM to a browser, CLANG to a clang of version 19 or newer)" >&2
    exit 1
}
command -v apt-get >/dev/null || say_how
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || say_how
    as_root=(sudo -n)
fi
echo "Installing ${missing[*]} ${wished[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq || say_how
install() { "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}" || say_how
[ ${#wished[@]} -eq 0 ] || install "${wished[@]}" || echo "This system has no ${wished[*]}: the tests that need it say so and are skipped"
