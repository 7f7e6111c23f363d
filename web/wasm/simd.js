// What this engine makes of relaxed SIMD: whether it computes it right, and how it is best used.

// wasm/probe/relaxed.c
const PROBE =
  'AGFzbQEAAAABDAJgAX8Bf2ACf38BfwMDAgABBAUBcAEBAQUEAQEBAQYHAX8BQYAICwcYAwZtZW1vcnkCAAVjaGVjawAAA2RvdAABCtMBAq0BBQF7AX8EewF/AXsgAP0PIQFB2H4hAiAA/REiAyEEIAP9+gEiBSEGQQEhBwNAIAdBVmz9DyIIIAEgA/2TAiEDIAL9Ef36ASAD/Q0AAQIDAAECAwABAgMAAQIDIAUgBv2FAiEGIAJB2H5qIQIgCCAB/ZIC/X4gBP2uASEEIAdBAWoiB0EERw0ACyAEIABBkXhs/REiAf03IAMgAf03/U4gBiAB/foB/UH9Tv2jAQsiACAA/Q8gAf0P/QwAAAAAAAAAAAAAAAAAAAAA/ZMC/RsACw==';

let detected;

/**
 * The best flavour that this engine computes correctly.
 * @returns {'relaxed' | 'simd128'}
 */
export function detectSimd() {
  return detect().simd;
}

/**
 * The faster of the two ways to multiply int8 weights in the relaxed flavour, see hc_dot in halfclip.h.
 *
 * It is known without measuring, which would have to wait for the engine's optimising compiler and would be at the
 * mercy of what else the machine does. For numbers out of the kernels' range, i32x4.relaxed_dot_i8x16_i7x16_add_s may
 * give what its instructions happen to give, and always the same on one machine. On x86 without VNNI these are
 * vpmaddubsw, which stops at 32,767 for two products, and vpmaddwd with ones that V8 makes anew each time: slow.
 * Any other sum comes from one instruction (VNNI, ARM's dot product) or from ARM's older ones, fewer than for pairs.
 * @returns {'pairs' | 'quads'}
 */
export function detectDot() {
  return detect().dot;
}

function detect() {
  detected ??= probe();
  return detected;
}

function probe() {
  const bytes = Uint8Array.from(atob(PROBE), (c) => c.charCodeAt(0));
  const baseline = { simd: 'simd128', dot: 'pairs' };
  if (!globalThis.WebAssembly?.validate(bytes)) return baseline;
  let instance;
  try {
    instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  } catch {
    return baseline; // nothing may be compiled here
  }
  const { check, dot } = instance.exports;
  return { simd: check(127) === 1 ? 'relaxed' : 'simd128', dot: dot(127, 255) === 2 * 32767 ? 'pairs' : 'quads' };
}
