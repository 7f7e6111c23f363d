// Makes dist/index.js, dist/worker.js, dist/video.js, dist/kept.js and dist/hugging-face.js. A page runs the first two, so that no module is in both: worker.js is in one piece and
// also exports what the page needs of it, which index.js imports from there. A page that computes on its own thread has
// everything then, and one with a worker fetches nothing twice. video.js is what only a page with videos fetches, kept.js what only one
// that lists kept towers, hugging-face.js what only one that names a repository of transformers.
//
//     node web/bundle.mjs <folder>

import { build } from 'esbuild';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const WEB = fileURLToPath(new URL('.', import.meta.url));
const OPTIONS = {
  absWorkingDir: WEB,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  metafile: true,
  logLevel: 'warning',
};
const SHARED = 'shared';
const folder = path.resolve(process.argv[2]);

/** Builds a bundle in one file. What esbuild has made short Terser makes 3 % shorter still, as compressed. */
async function write(options) {
  const { outputFiles } = await build({ ...options, write: false });
  const [{ path: place, text }] = outputFiles;
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 2 } });
  await mkdir(path.dirname(place), { recursive: true }); // others that make files there may come later
  await writeFile(place, code);
}

/** Where a module lies, as esbuild's reports call it. */
const nameOf = (place) => path.relative(WEB, place);

async function exportsOf(module) {
  const { metafile } = await build({ ...OPTIONS, bundle: false, entryPoints: [module], write: false, outdir: folder });
  return Object.values(metafile.outputs)[0].exports;
}

/**
 * The modules of worker.js, each with its exports and the short names that these have outside: `errors.describe` may be
 * `x4` there.
 * @type {Map<string, Map<string, string>>}
 */
const shared = new Map();

const { metafile } = await build({ ...OPTIONS, entryPoints: ['page/worker.js'], write: false, outdir: folder });
let count = 0;
for (const module of Object.keys(metafile.inputs)) {
  const names = await exportsOf(module);
  shared.set(module, new Map(names.map((name) => [name, `x${(count++).toString(36)}`])));
}

/** The exports of a module under their short names, those of them that are in `wanted`, as the inside of `export { … }`. */
function listExports(module, wanted, write) {
  const used = [...shared.get(module)].filter(([, short]) => wanted?.has(short) ?? true);
  return used.map(([name, short]) => write(name, short)).join(', ');
}

/**
 * Takes what worker.js holds from there, with one import of all of it.
 * @param {Set<string>} [wanted] short names that are used, where these are known
 */
const fromWorker = (wanted) => ({
  name: SHARED,
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path: place, resolveDir, namespace }) => {
      if (namespace === SHARED) return { path: place, external: true };
      const name = nameOf(path.resolve(resolveDir, place));
      return shared.has(name) ? { path: name, namespace: SHARED, sideEffects: false } : undefined;
    });
    onResolve({ filter: /^all$/ }, () => ({ path: 'all', namespace: SHARED, sideEffects: false }));
    onLoad({ filter: /.*/, namespace: SHARED }, ({ path: module }) => {
      if (module !== 'all') {
        const list = listExports(module, wanted, (name, short) => `${short} as ${name}`);
        return { contents: `export { ${list} } from 'all';`, resolveDir: WEB };
      }
      const lists = [...shared.keys()].map((name) => listExports(name, wanted, (_, short) => short)).filter(Boolean);
      return { contents: `export { ${lists.join(', ')} } from './worker.js';`, resolveDir: WEB };
    });
  },
});

/** Leaves alone what is fetched when it is needed: modules of their own, by their names in dist/. */
const LATER = {
  'towers/video-tower.js': './video.js',
  'cache/kept.js': './kept.js',
  'models/hugging-face-repository.js': './hugging-face.js',
};
const later = {
  name: 'later',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path: wanted, resolveDir, kind }) => {
      const file = kind === 'dynamic-import' && LATER[nameOf(path.resolve(resolveDir, wanted))];
      return file ? { path: file, external: true } : undefined;
    });
  },
};

const PAGES = [['page/index.js', 'index.js'], ...Object.entries(LATER)].map(([entry, file]) => ({
  ...OPTIONS,
  entryPoints: [entry],
  outfile: path.join(folder, file),
}));
const withPlugins = (page, wanted) => ({ ...page, plugins: [later, fromWorker(wanted)] });

/** The short names that a module uses of those that it imports. */
async function namesIn(page) {
  const { outputFiles } = await build({ ...withPlugins(page), minify: false, write: false });
  const [{ text }] = outputFiles;
  const lists = [...text.matchAll(/\bimport \{([^}]*)\} from "\.\/worker\.js"/g)].map(([, list]) => list.split(','));
  const imports = lists.flat().map((item) => item.trim().split(' as '));
  const timesOf = (local) => text.match(new RegExp(`(?<![\\w$])${local.replaceAll('$', '\\$')}(?![\\w$])`, 'g')).length;
  const used = imports.filter(([short, local = short]) => timesOf(local) > 1); // once, where it is imported
  return used.map(([short]) => short);
}

const used = await Promise.all(PAGES.map(namesIn));

// Names of a letter, and of two, where they are used: what is compressed is short.
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const renamed = new Map();
for (const name of new Set(used.flat())) {
  const number = renamed.size;
  renamed.set(name, (number < 52 ? '' : LETTERS[Math.floor(number / 52) - 1]) + LETTERS[number % 52]);
}
for (const names of shared.values())
  for (const [name, short] of names) if (renamed.has(short)) names.set(name, renamed.get(short));
const wanted = used.map((names) => new Set(names.map((name) => renamed.get(name))));

const all = new Set(renamed.values());
const lines = ["import './page/worker.js';"];
for (const module of shared.keys()) {
  const list = listExports(module, all, (name, short) => `${name} as ${short}`);
  if (list) lines.push(`export { ${list} } from './${module}';`);
}

await write({
  ...OPTIONS,
  stdin: { contents: lines.join('\n'), resolveDir: WEB, sourcefile: 'worker-exports.js' },
  outfile: path.join(folder, 'worker.js'),
});
await Promise.all(PAGES.map((page, i) => write(withPlugins(page, wanted[i]))));
