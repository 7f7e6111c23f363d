#!/bin/sh
# Prints, as two shell assignments, the compiler and the linker that build the WebAssembly modules:
#
#   1. $WASM_CC and $WASM_LD, if set;
#   2. Emscripten 4 or later, in $EMSDK or on the PATH, as a compiler only, with the wasm-ld that comes with it;
#   3. clang with wasm-ld, version 17 or later (older ones predate the final relaxed-SIMD instructions).
#
# The modules need nothing of Emscripten's libraries or glue. Linking goes to wasm-ld directly: through clang or emcc, an old wasm-opt on the PATH
# can corrupt relaxed-SIMD code.
set -eu

answer() {
  printf "WASM_CC='%s'\nWASM_LD='%s'\n" "$1" "$2"
  exit 0
}

[ -n "${WASM_CC:-}" ] && [ -n "${WASM_LD:-}" ] && answer "$WASM_CC" "$WASM_LD"

emscripten() {
  [ -x "$1" ] || return 0
  major=$("$1" -dumpversion 2>/dev/null | cut -d. -f1)
  [ "${major:-0}" -ge 4 ] 2>/dev/null || return 0
  for ld in "$(dirname "$1")/../bin/wasm-ld" "$(dirname "$(readlink -f "$1")")/../bin/wasm-ld" "$(dirname "$(readlink -f "$1")")/llvm/bin/wasm-ld"; do
    if [ -x "$ld" ]; then answer "$1" "$ld"; fi
  done
}

clang() {
  for version in 22 21 20 19 18 17; do
    if command -v "clang-$version" >/dev/null && command -v "wasm-ld-$version" >/dev/null; then
      answer "clang-$version --target=wasm32 -nostdlibinc" "wasm-ld-$version"
    fi
  done
  if command -v clang >/dev/null && command -v wasm-ld >/dev/null; then
    major=$(clang -dumpversion | cut -d. -f1)
    if [ "$major" -ge 17 ]; then answer "clang --target=wasm32 -nostdlibinc" wasm-ld; fi
  fi
}

emscripten "${EMSDK:-/nonexistent}/upstream/emscripten/emcc"
emscripten "$(command -v emcc || echo /nonexistent)"
clang

echo 'wasm/toolchain.sh: no compiler for WebAssembly: install clang and lld (Debian: clang-19 lld-19), or Emscripten 4 or later and set EMSDK' >&2
exit 1
