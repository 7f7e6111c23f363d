#!/bin/sh
# Prints, as shell assignments, the compiler of each WebAssembly flavour and the linker of both. Of these, the first that is there:
#
#   relaxed   $WASM_CC and $WASM_LD; Emscripten 4 or later, in $EMSDK or on the PATH; clang and wasm-ld 17 or later (older ones predate the final
#             relaxed-SIMD instructions, as does Debian's Emscripten 3.1.6)
#   simd128   $WASM_CC; Emscripten, any version since 3; the compiler of the other flavour
#
# Emscripten is used as a compiler only: the modules need nothing of its libraries or glue. Linking goes to wasm-ld directly: through clang or emcc, an old
# wasm-opt on the PATH can corrupt relaxed-SIMD code.
set -eu

emcc=
for candidate in "${EMSDK:-/nonexistent}/upstream/emscripten/emcc" "$(command -v emcc || echo /nonexistent)"; do
  if [ -z "$emcc" ] && [ -x "$candidate" ]; then emcc=$candidate; fi
done
emcc_major=0
if [ -n "$emcc" ]; then
  emcc_major=$("$emcc" -dumpversion 2>/dev/null | cut -d. -f1)
fi

relaxed=${WASM_CC:-}
ld=${WASM_LD:-}
if [ -z "$relaxed" ] && [ "${emcc_major:-0}" -ge 4 ] 2>/dev/null; then
  for candidate in "$(dirname "$emcc")/../bin/wasm-ld" "$(dirname "$(readlink -f "$emcc")")/../bin/wasm-ld" "$(dirname "$(readlink -f "$emcc")")/llvm/bin/wasm-ld"; do
    if [ -x "$candidate" ]; then relaxed=$emcc ld=${ld:-$candidate}; fi
  done
fi
for version in -22 -21 -20 -19 -18 -17 ''; do
  if [ -z "$relaxed" ] && command -v "clang$version" >/dev/null && command -v "wasm-ld$version" >/dev/null &&
     [ "$("clang$version" -dumpversion | cut -d. -f1)" -ge 17 ]; then
    relaxed="clang$version --target=wasm32 -nostdlibinc" ld=${ld:-wasm-ld$version}
  fi
done
if [ -z "$relaxed" ] || [ -z "$ld" ]; then
  echo 'wasm/toolchain.sh: no compiler for relaxed SIMD: install clang and lld (Debian: clang-19 lld-19), or Emscripten 4 or later and set EMSDK' >&2
  exit 1
fi

simd128=${WASM_CC:-$relaxed}
if [ -z "${WASM_CC:-}" ] && [ "${emcc_major:-0}" -ge 3 ] 2>/dev/null; then simd128=$emcc; fi

printf "WASM_CC_simd128='%s'\nWASM_CC_relaxed='%s'\nWASM_LD='%s'\n" "$simd128" "$relaxed" "$ld"
