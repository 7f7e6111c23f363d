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
  '3 x 3, f32',
  '3 x 3, int8',
  'depthwise 3 x 3',
  'depthwise 7 x 7',
];
const FIRST_ON_GRIDS = KINDS.indexOf('3 x 3, f32');
const SHAPES = [
  [50, 3072, 768],
  [50, 768, 3072],
  [197, 3072, 768],
  [8, 3072, 768],
  [1, 3072, 768],
];
/** Pixels, channels that come out, channels that go in. */
const GRIDS = [
  [3136, 64, 64],
  [784, 128, 128],
  [196, 256, 256],
  [49, 512, 512],
];
const SECONDS = Number(process.env.SECONDS ?? 0.15); // a cell

function operations(kind, m, n, k) {
  if (kind.startsWith('attention')) return 4 * m * m * 64;
  if (kind === 'GELU') return m * n;
  if (kind.startsWith('depthwise')) return (kind.endsWith('7 x 7') ? 98 : 18) * m * k;
  return (kind.startsWith('3 x 3') ? 18 : 2) * m * n * k;
}

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

function printTable(modules, title, kinds, shapes) {
  console.log(title.padEnd(42) + shapes.map((shape) => shape.join(' x ').padStart(18)).join(''));
  for (const [name, exports] of modules) {
    for (const kind of kinds) {
      const cells = shapes.map((shape) => best(exports, kind, shape).toFixed(1).padStart(18));
      console.log(`${name} ${kind}`.padEnd(42) + cells.join(''));
    }
  }
}

const modules = [];
for (const file of files) {
  const bytes = await readFile(file);
  if (!WebAssembly.validate(bytes)) console.log(`${basename(file)}: not for this engine`);
  else modules.push([basename(file, '.wasm'), (await WebAssembly.instantiate(bytes)).instance.exports]);
}
printTable(modules, `${process.release.name} ${process.version}`, KINDS.slice(0, FIRST_ON_GRIDS), SHAPES);
printTable(modules, 'convolutions of grids', KINDS.slice(FIRST_ON_GRIDS), GRIDS);
