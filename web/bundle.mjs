// Makes dist/index.js and dist/worker.js. A page runs both, so that no module is in both: worker.js is in one piece and
// also exports what the page needs of it, which index.js imports from there. A page that computes on its own thread has
// everything then, and one with a worker fetches nothing twice.
//
//     node web/bundle.mjs <folder>

import { build } from 'esbuild';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const WEB = fileURLToPath(new URL('.', import.meta.url));
const OPTIONS = {
  absWorkingDir: WEB,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  lineLimit: 200,
  metafile: true,
  logLevel: 'warning',
};
const SHARED = 'shared';
const folder = path.resolve(process.argv[2]);

/** Where a module lies, as esbuild's reports call it. */
const nameOf = (place) => path.relative(WEB, place);

/** The name under which worker.js exports `name` of a module. */
const exportName = (module, name) => `${path.basename(module, '.js').replace(/\W/g, '_')}_${name}`;

async function exportsOf(module) {
  const { metafile } = await build({ ...OPTIONS, bundle: false, entryPoints: [module], write: false, outdir: folder });
  return Object.values(metafile.outputs)[0].exports;
}

/** What index.js imports, once that is known. */
let wanted = null;

const { metafile } = await build({ ...OPTIONS, entryPoints: ['page/worker.js'], write: false, outdir: folder });
const shared = new Set(Object.keys(metafile.inputs));

/** Takes what worker.js holds from there. */
const fromWorker = {
  name: SHARED,
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path: wanted, resolveDir, namespace }) => {
      if (namespace === SHARED) return { path: wanted, external: true };
      const name = nameOf(path.resolve(resolveDir, wanted));
      return shared.has(name) ? { path: name, namespace: SHARED, sideEffects: false } : undefined;
    });
    onLoad({ filter: /.*/, namespace: SHARED }, async ({ path: module }) => {
      const names = (await exportsOf(module)).filter((name) => wanted?.has(exportName(module, name)) ?? true);
      return {
        contents: `export { ${names.map((name) => `${exportName(module, name)} as ${name}`).join(', ')} } from './worker.js';`,
        resolveDir: WEB,
      };
    });
  },
};

const PAGE = {
  ...OPTIONS,
  entryPoints: ['page/index.js'],
  outfile: path.join(folder, 'index.js'),
  plugins: [fromWorker],
};
const {
  outputFiles: [{ text }],
} = await build({ ...PAGE, minify: false, write: false });
const imports = [...text.matchAll(/\bimport \{([^}]*)\} from "\.\/worker\.js"/g)].flatMap(([, list]) =>
  list.split(',').map((item) => item.trim().split(' as ')),
);
const isUsed = (local) =>
  // Once, where it is imported.
  text.match(new RegExp(`(?<![\\w$])${local.replaceAll('$', '\\$')}(?![\\w$])`, 'g')).length > 1;
wanted = new Set(imports.filter(([name, local = name]) => isUsed(local)).map(([name]) => name));

const lines = ["import './page/worker.js';"];
for (const module of shared) {
  const names = (await exportsOf(module)).filter((name) => wanted.has(exportName(module, name)));
  if (names.length)
    lines.push(
      `export { ${names.map((name) => `${name} as ${exportName(module, name)}`).join(', ')} } from './${module}';`,
    );
}

await build({
  ...OPTIONS,
  stdin: { contents: lines.join('\n'), resolveDir: WEB, sourcefile: 'worker-exports.js' },
  outfile: path.join(folder, 'worker.js'),
});
await build(PAGE);
