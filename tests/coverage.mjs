// The table of every tower of OpenCLIP's own configurations, from what weights-tools/coverage.py measured. `node
// tests/coverage.mjs` prints it, with --write puts it into weights-tools/coverage.md.

import { readFileSync } from 'node:fs';

import { readmePart } from './readme.mjs';

const LIMIT = 2 ** 32 - 2 ** 27; // bytes that a tower may have in WebAssembly's memory, beside its activations
const DTYPES = [
  ['fp32', ({ parameters }) => 4 * parameters],
  ['fp16', ({ parameters }) => 2 * parameters],
  ['int8', ({ int8 }) => int8],
  ['int4', ({ int4 }) => int4],
];

/** { date, towers: { key: { names, tower, on, … } } } as coverage.py writes it. */
export const coverage = JSON.parse(readFileSync(new URL('../weights-tools/coverage.json', import.meta.url), 'utf8'));

const byName = new Map();
for (const found of Object.values(coverage.towers))
  for (const name of found.names) byName.set(`${name} ${found.tower}`, found);

/** What was found for a tower of an architecture; undefined if nothing was. */
export const coverageOf = (name, tower) => byName.get(`${name} ${tower}`);

const megabytes = (bytes) => Math.round(bytes / 1e6).toLocaleString('en');

/** 0.9999987 as it is, what rounds to 1 as 1. */
const exact = (cosine) => (cosine > 0.9999995 ? '1.000000' : cosine.toFixed(6));

/** The dtypes at which a tower does not fit into WebAssembly's memory. */
export const tooLarge = (found) => DTYPES.filter(([, bytesOf]) => bytesOf(found) > LIMIT).map(([dtype]) => dtype);

/** The machines and versions that towers were compared with, the commonest first. */
const machines = [...new Set(Object.values(coverage.towers).map(({ on }) => on))].sort(
  (a, b) => countOn(b) - countOn(a) || a.localeCompare(b),
);

function countOn(machine) {
  return Object.values(coverage.towers).filter(({ on }) => on === machine).length;
}

const markOf = (machine) => '*'.repeat(machines.indexOf(machine));

function row(found) {
  const names = found.names.join(', ');
  if (found.error) return `| ${names} | ${found.tower} | ${found.error.replaceAll('|', '\\|')} | | | | | |`;
  const { tower, on, parameters, int8, int4, cosine, distance, milliseconds, layers } = found;
  const missing = tooLarge(found);
  const notes = [
    ...(layers ? [`compared with ${layers} layers`] : []),
    ...(missing.length ? [`more than 4 GB at ${missing.join(', ')}`] : []),
  ];
  return `| ${names} | ${tower} | ${(parameters / 1e6).toFixed(1)} | ${megabytes(int8)} / ${megabytes(int4)} | ${exact(cosine)} | ${(100 * distance).toFixed(3)} % | ${layers || !milliseconds ? '–' : milliseconds.toFixed(0) + markOf(on).replaceAll('*', '\\*')} | ${notes.join('; ')} |`;
}

export const COVERAGE = readmePart('weights-tools/coverage.md', 'coverage', 'tests/coverage.mjs', async () => {
  const found = Object.values(coverage.towers).sort(
    (a, b) => a.tower.localeCompare(b.tower) || a.names[0].localeCompare(b.names[0]),
  );
  const good = found.filter(({ cosine, distance }) => cosine >= 0.99999 || distance <= 0.005);
  const count = (towers) => towers.reduce((sum, { names }) => sum + names.length, 0);
  return [
    `${coverage.date}. Of ${count(found)} towers, ${found.length} of them different, ${count(good)} agree. Compared on`,
    '',
    ...machines.map((machine) => `- ${machine}${markOf(machine) && ` (${markOf(machine)} after the milliseconds)`}`),
    '',
    '| architectures | tower | parameters, millions | download at int8 / int4, MB | cosine | distance | ms | |',
    '|---|---|---|---|---|---|---|---|',
    ...found.map(row),
  ].join('\n');
});

await COVERAGE.command();
