// The folders of src/ and web/ are rooms: arrows between them go one way, as these tables say, and no files use each
// other in a circle.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Which rooms a room may use. It stands below all of them, so that arrows go one way. A name with a dot is a file that
 * lies in no room.
 */
const SRC = {
  'halfclip.h': [],
  base: ['halfclip.h'],
  kernels: ['halfclip.h', 'base'],
  search: ['kernels'],
  checkpoint: ['halfclip.h', 'base'],
  picture: ['halfclip.h', 'base', 'kernels', 'checkpoint'],
  text: ['halfclip.h', 'base'],
  tower: ['halfclip.h', 'base', 'kernels'],
  operations: ['halfclip.h', 'base', 'kernels', 'tower'],
  families: ['halfclip.h', 'base', 'checkpoint', 'tower', 'operations'],
  load: ['halfclip.h', 'base', 'kernels', 'checkpoint', 'tower', 'families'],
  calibrate: ['halfclip.h', 'base', 'kernels', 'tower', 'load'],
};

const WEB = {
  base: [],
  exif: ['base'],
  network: ['base'],
  threads: ['base'],
  wasm: ['base', 'network', 'threads'],
  text: ['base', 'network', 'wasm'],
  picture: ['base', 'network', 'wasm'],
  sources: ['base', 'network'],
  video: ['base', 'picture', 'sources'],
  checkpoint: ['base', 'network', 'wasm', 'sources'],
  load: ['base', 'network', 'wasm', 'sources', 'checkpoint'],
  search: ['base', 'threads', 'wasm', 'sources'],
  cache: ['base', 'network', 'wasm'],
  models: ['base', 'network', 'wasm', 'sources', 'checkpoint', 'cache'],
  encoder: ['base', 'network', 'wasm', 'text', 'picture', 'sources', 'load', 'cache', 'models'],
  worker: ['base', 'network', 'threads', 'encoder'],
  towers: ['base', 'wasm', 'picture', 'video', 'encoder'],
  'index.js': ['base', 'network', 'models', 'cache', 'encoder', 'worker', 'towers'],
  page: ['base', 'network', 'sources', 'cache', 'search', 'worker', 'index.js'],
  node: ['base', 'network', 'sources', 'cache', 'search', 'worker', 'index.js'],
  cli: [
    'base',
    'exif',
    'network',
    'wasm',
    'picture',
    'sources',
    'video',
    'checkpoint',
    'load',
    'cache',
    'models',
    'search',
    'encoder',
    'towers',
    'node',
  ],
  demo: ['exif', 'page', 'index.js'],
  neighbours: [],
};

const SOURCES = {
  src: {
    table: SRC,
    pattern: /\.(c|h|inc)$/,
    uses: /^#include "([^"]+)"/gm,
    places: (file, name) => [beside(file, name), name],
  },
  web: {
    table: WEB,
    pattern: /\.js$/,
    uses: /^(?:import|export)\b[^;']*'(\.{1,2}\/[^']+)'/gm,
    places: (file, name) => [beside(file, name), BUILT[beside(file, name)]],
  },
};

/** Where a module that the page uses, as the package has it, comes from. */
const BUILT = { 'vector-index.js': 'page/vector-index.js', 'exif.js': 'exif/index.js' };

const beside = (file, name) => path.posix.join(path.posix.dirname(file), name);

/** All files of a folder that a pattern fits, by their paths in it. */
function filesOf(folder, pattern, below = '') {
  return readdirSync(path.join(ROOT, folder, below)).flatMap((name) => {
    const file = path.posix.join(below, name);
    if (statSync(path.join(ROOT, folder, file)).isDirectory()) return filesOf(folder, pattern, file);
    return pattern.test(name) ? [file] : [];
  });
}

/** Which files each file uses. */
function graphOf(folder, { pattern, uses, places }) {
  const files = new Set(filesOf(folder, pattern));
  const graph = new Map();
  for (const file of files) {
    const names = [...readFileSync(path.join(ROOT, folder, file), 'utf8').matchAll(uses)].map(([, name]) => name);
    const used = names.map((name) => [name, places(file, name).find((place) => files.has(place))]);
    for (const [name, place] of used) assert.ok(place, `${folder}/${file} uses ${name}, which is not there`);
    graph.set(file, [...new Set(used.map(([, place]) => place))]);
  }
  return graph;
}

const roomOf = (file) => file.split('/')[0];

/** A circle of files, as a list that begins and ends with the same one; null if there is none. */
function findCircle(graph) {
  const done = new Set();
  const visit = (file, trail) => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const used of graph.get(file)) {
      const circle = visit(used, [...trail, file]);
      if (circle) return circle;
    }
    done.add(file);
    return null;
  };
  for (const file of graph.keys()) {
    const circle = visit(file, []);
    if (circle) return circle;
  }
  return null;
}

for (const [folder, kind] of Object.entries(SOURCES)) {
  const graph = graphOf(folder, kind);

  test(`${folder}: no circle of files`, () => {
    assert.ok(graph.size > 40, `${graph.size} files`);
    const circle = findCircle(graph);
    assert.equal(circle, null, circle?.join(' → '));
  });

  test(`${folder}: rooms use those that they may, and arrows go one way`, () => {
    const order = Object.keys(kind.table);
    for (const [room, others] of Object.entries(kind.table)) {
      for (const other of others)
        assert.ok(order.indexOf(other) < order.indexOf(room), `${room} → ${other} leads down`);
    }
    const wrong = [];
    for (const [file, used] of graph) {
      const room = roomOf(file);
      assert.ok(kind.table[room], `${folder}/${file} lies in no room`);
      for (const other of used) {
        if (roomOf(other) !== room && !kind.table[room].includes(roomOf(other))) wrong.push(`${file} → ${other}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test(`${folder}: a room has a README, and each of its arrows is one that some file has`, () => {
    for (const [room, others] of Object.entries(kind.table)) {
      const files = [...graph].filter(([file]) => roomOf(file) === room);
      assert.ok(files.length, `${folder}/${room} is empty`);
      if (folder === 'web' && !room.includes('.')) {
        assert.match(readFileSync(path.join(ROOT, folder, room, 'README.md'), 'utf8'), /^# /, room);
      }
      const used = new Set(files.flatMap(([, others]) => others.map(roomOf)));
      if (folder === 'web') for (const other of others) assert.ok(used.has(other), `no file of ${room} uses ${other}`);
    }
  });
}
