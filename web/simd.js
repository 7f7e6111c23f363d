// Which of the two WebAssembly modules this engine runs right: relaxed SIMD or the baseline.

// wasm/probe/relaxed.c: a known-answer test of the relaxed instructions.
const PROBE = 'AGFzbQEAAAABBgFgAX8BfwMCAQAEBQFwAQEBBQQBAQEBBgcBfwFBgAgLBxICBm1lbW9yeQIABWNoZWNrAAAKsAEBrQEFAXsBfwR7AX8BeyAA/Q8hAUHYfiECIAD9ESIDIQQgA/36ASIFIQZBASEHA0AgB0FWbP0PIgggASAD/ZMCIQMgAv0R/foBIAP9DQABAgMAAQIDAAECAwABAgMgBSAG/YUCIQYgAkHYfmohAiAIIAH9kgL9fiAE/a4BIQQgB0EBaiIHQQRHDQALIAQgAEGReGz9ESIB/TcgAyAB/Tf9TiAGIAH9+gH9Qf1O/aMBCw==';

let detected;

/**
 * The best flavour that this engine computes correctly.
 * @returns {'relaxed' | 'simd128'}
 */
export function detectSimd() {
  detected ??= probe() ? 'relaxed' : 'simd128';
  return detected;
}

function probe() {
  const bytes = Uint8Array.from(atob(PROBE), (c) => c.charCodeAt(0));
  if (!WebAssembly.validate(bytes)) return false;
  const { check } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  return check(127) === 1;
}
