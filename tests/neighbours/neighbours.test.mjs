// What web/neighbours holds and its README says, with the real thing: the package as `npm pack` makes it beside
// LangChain.js, LanceDB, DuckDB and PostgreSQL with pgvector (as WebAssembly); Python's programs with Qdrant and Spark.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/node.js';
import { ROOT, install, pack, unpack } from '../install.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOM = path.join(ROOT, 'web/neighbours');
const PROJECT = path.join(ROOT, 'build/neighbours');
const PYTHON = path.join(PROJECT, 'venv/bin/python');
const PICTURES = path.join(ROOT, 'tests/pictures');
const WORDS = ['tiger', 'rocket', 'pizza', 'guitar', 'owl', 'castle'];
const README = readFileSync(path.join(ROOM, 'README.md'), 'utf8');
const run = promisify(execFile);

/** What a program of the project prints. */
const program = async (...args) => (await run(process.execPath, args, { cwd: PROJECT })).stdout;

/** The JavaScript under a heading of the README. */
const codeOf = (heading) => new RegExp(`^## ${heading}$[^]*?^\`\`\`js$([^]*?)^\`\`\`$`, 'm').exec(README)[1];

before(() => {
  install(HERE, PROJECT);
  unpack(pack(PROJECT), path.join(PROJECT, 'node_modules/halfclip'));
  for (const name of ['lancedb.mjs', 'duckdb.mjs']) copyFileSync(path.join(ROOM, name), path.join(PROJECT, name));
});

/** The five lines `score  name` that a search must print. */
let scores;
async function expected(word) {
  if (!scores) {
    const image = await loadImageEncoder({ model: 'halfclip-emoji' });
    const text = await loadTextEncoder({ model: 'halfclip-emoji' });
    const names = execFileSync('ls', [PICTURES], { encoding: 'utf8' }).split('\n').filter((name) => /\.jpg$/.test(name)); // prettier-ignore
    const vectors = await image.embed(names.map((name) => path.join(PICTURES, name)));
    const queries = await text.embed(WORDS);
    scores = new Map(
      WORDS.map((word, i) => [
        word,
        vectors
          .map((vector, j) => [cosineSimilarity(queries[i], vector), names[j]])
          .sort(([a], [b]) => b - a)
          .slice(0, 5),
      ]),
    );
    image.dispose();
    text.dispose();
  }
  return scores.get(word);
}

async function check(printed, word) {
  const lines = printed.trim().split('\n').map((line) => line.split('  ')); // prettier-ignore
  const wanted = await expected(word);
  assert.deepEqual(lines.map(([, name]) => path.basename(name)), wanted.map(([, name]) => name)); // prettier-ignore
  lines.forEach(([score], i) => assert.ok(Math.abs(score - wanted[i][0]) < 1e-4, `${score} ${wanted[i]}`));
  assert.equal(path.basename(lines[0][1]), `${word}.jpg`);
}

test('LanceDB: a folder in a table, made anew each time', async () => {
  rmSync(path.join(PROJECT, 'photos.lance'), { recursive: true, force: true });
  for (const word of WORDS.slice(0, 3))
    await check(await program('lancedb.mjs', PICTURES, word, '--database', 'photos.lance'), word);
});

test('DuckDB: a folder as Parquet', async () => {
  const cli = path.join(PROJECT, 'node_modules/halfclip/dist/cli.js');
  await program(cli, 'embed', '--tower', 'image', '--out', 'pictures.parquet', PICTURES);
  for (const word of WORDS.slice(3)) await check(await program('duckdb.mjs', 'pictures.parquet', word), word);
});

test("LangChain.js: the page's code, with its memory store", async () => {
  const file = path.join(PICTURES, 'owl.jpg');
  const code = codeOf('LangChain.js')
    .replace("{ model: 'ViT-B-32', weights: 'laion2b_s34b_b79k' }", "{ model: 'halfclip-emoji' }")
    .replace('a red bicycle', 'castle')
    .replace('holiday.jpg', file)
    .replace(/^await store\.similaritySearch/gm, 'found[found.length] = await store.similaritySearch');
  const lines = [
    `const files = ${JSON.stringify(WORDS.map((word) => path.join(PICTURES, `${word}.jpg`)))};`,
    `const documents = ${JSON.stringify(WORDS)}.map((pageContent) => ({ pageContent, metadata: {} }));`,
    'const found = [];',
    code,
    'console.log(JSON.stringify(found));',
  ];
  writeFileSync(path.join(PROJECT, 'langchain.mjs'), lines.join('\n'));
  const [byWords, byPicture] = JSON.parse(await program('langchain.mjs'));
  assert.equal(byWords.length, 5);
  assert.equal(byWords[0].pageContent, 'castle');
  assert.equal(byPicture[0][0].pageContent, 'owl');
  assert.ok(byPicture[0][1] > 0.99999);
});

test("pgvector: the page's code, with PGlite", async () => {
  const required = createRequire(path.join(PROJECT, 'index.js'));
  const load = (name) => import(pathToFileURL(required.resolve(name)));
  const { PGlite } = await load('@electric-sql/pglite');
  const { vector } = await load('@electric-sql/pglite-pgvector');
  const db = await PGlite.create({ extensions: { vector } });
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  const files = [...WORDS.map((word) => path.join(PICTURES, `${word}.jpg`)), path.join(HERE, 'package.json')];
  const code = `${codeOf('pgvector').replace('a red bicycle', 'guitar')} return rows;`;
  const AsyncFunction = (async () => {}).constructor;
  const rows = await new AsyncFunction('db', 'image', 'text', 'files', code)(db, image, text, files);
  assert.equal(rows.length, 5);
  assert.equal(path.basename(rows[0].name), 'guitar.jpg');
  const { rows: counted } = await db.query('SELECT count(*)::int AS n FROM pictures');
  assert.equal(counted[0].n, WORDS.length);
  await db.close();
  image.dispose();
  text.dispose();
});

/** Makes the Python environment, unless it is there. */
function installPython() {
  const requirements = readFileSync(path.join(HERE, 'requirements.txt'), 'utf8');
  const stamp = path.join(PROJECT, 'venv/installed.txt');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === requirements) return;
  const stdio = ['ignore', 'ignore', 'inherit'];
  try {
    execFileSync('python3', ['-m', 'venv', '--clear', path.join(PROJECT, 'venv')], { stdio });
  } catch (error) {
    throw new Error('Python 3 with venv is needed (Debian: apt-get install python3-venv)', { cause: error });
  }
  execFileSync(PYTHON, ['-m', 'pip', 'install', '--quiet', '-r', path.join(HERE, 'requirements.txt')], { stdio });
  writeFileSync(stamp, requirements);
}

/** Runs a file of Python's tests, which must be more than none. */
async function python(file) {
  installPython();
  const env = { ...process.env, PYSPARK_PYTHON: PYTHON, PYTHONDONTWRITEBYTECODE: '1' };
  const { stderr } = await run(PYTHON, [path.join(HERE, file)], { env, maxBuffer: 1e8 }).catch((error) =>
    assert.fail(error.stderr.slice(-4000)),
  );
  assert.match(stderr, /^Ran [1-9]\d* tests? in .*\n\nOK$/m);
}

test('a process behind pipes, from Python', () => python('test_stream.py'));

test('Qdrant: its client in memory and over HTTP, and its engine', () => python('test_qdrant.py'));

test('Spark: two workers, of which some die', async () => {
  await run('java', ['-version']).catch((error) => {
    throw new Error('Spark needs Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)', { cause: error });
  });
  await python('test_spark.py');
});
