// Times the kernels in WebAssembly: every build/bench-kernels-*.wasm, or those named on the command line. 10^9
// operations a second of processor time, best of runs: the time of the process, so that what else runs on the machine
// matters less.
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const KINDS = [
  'f32',
  'f16',
  'f16 exact',
  'int8 pairs',
  'int8 quads',
  'int4 pairs',
  'int4 quads',
  'attention',
  'attention exact',
  'GELU',
];
const SHAPES = [
  [50, 3072, 768],
  [50, 768, 3072],
  [197, 3072, 768],
  [8, 3072, 768],
  [1, 3072, 768],
];
const SECONDS = Number(process.env.SECONDS ?? 0.15); // a cell

const operations = (kind, m, n, k) =>
  kind.startsWith('attention') ? 4 * m * m * 64 : kind === 'GELU' ? m * n : 2 * m * n * k;

function best(exports, kind, shape) {
  exports.prepare(KINDS.indexOf(kind), ...shape);
  let times = 1;
  let seconds = 0;
  let fastest = Infinity;
  for (let all = 0; all < SECONDS; all += seconds) {
    const before = process.cpuUsage();
    exports.repeat(times);
    const { user, system } = process.cpuUsage(before);
    seconds = (user + system) / 1e6;
    if (seconds > 0.001) fastest = Math.min(fastest, seconds / times);
    if (seconds < 0.002) times *= 2;
  }
  return operations(kind, ...shape) / fastest / 1e9;
}

const build = fileURLToPath(new URL('../../build/', import.meta.url));
const named = process.argv.slice(2);
const files = named.length
  ? named
  : (await readdir(build))
      .filter((name) => /^bench-kernels-.*\.wasm$/.test(name))
      .sort()
      .map((name) => build + name);
if (!files.length) throw new Error(`no module build/bench-kernels-*.wasm: run \`make bench\``);

console.log(
  `${`${process.release.name} ${process.version}`.padEnd(42)}${SHAPES.map((s) => s.join(' x ').padStart(18)).join('')}`,
);
for (const file of files) {
  const bytes = await readFile(file);
  if (!WebAssembly.validate(bytes)) {
    console.log(`${basename(file)}: not for this engine`);
    continue;
  }
  const { instance } = await WebAssembly.instantiate(bytes);
  for (const kind of KINDS) {
    const cells = SHAPES.map((shape) => best(instance.exports, kind, shape).toFixed(1).padStart(18));
    console.log(`${`${basename(file, '.wasm')} ${kind}`.padEnd(42)}${cells.join('')}`);
  }
}
