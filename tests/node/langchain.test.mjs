// halfclip/langchain: texts and pictures in a store of LangChain's own.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { FakeVectorStore } from '@langchain/core/utils/testing'; // holds vectors in memory and compares them
import { build } from 'esbuild';
import { HalfclipError, loadImageEncoder, loadTextEncoder } from 'halfclip';
import { HalfclipEmbeddings } from 'halfclip/langchain';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WORDS = ['tiger', 'rocket', 'pizza', 'guitar', 'owl', 'castle'];
const picture = (word) => fileURLToPath(new URL(`../pictures/${word}.jpg`, import.meta.url));
const documents = WORDS.map((word) => new Document({ pageContent: `${word}.jpg`, metadata: { word } }));

const embeddings = new HalfclipEmbeddings({ model: 'halfclip-emoji' });
after(() => embeddings.dispose());

const hasCode = (code) => (error) => error instanceof HalfclipError && error.code === code;

test('vectors are those of the towers', async () => {
  assert.ok(embeddings instanceof Embeddings);
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  const texts = (await text.embed(WORDS)).map((vector) => [...vector]);
  const pictures = (await image.embed(WORDS.map(picture))).map((vector) => [...vector]);
  assert.deepEqual(await embeddings.embedDocuments(WORDS), texts);
  assert.deepEqual(await embeddings.embedQuery('pizza'), texts[2]);
  assert.deepEqual(await embeddings.embedImages(WORDS.map(picture)), pictures);
  assert.deepEqual(await embeddings.embedImageQuery(picture('owl')), pictures[4]);
  assert.deepEqual(await embeddings.embedDocuments([]), []);

  const given = new HalfclipEmbeddings({ text, image });
  assert.deepEqual(await given.embedQuery('owl'), texts[4]);
  assert.deepEqual(await given.embedImageQuery(picture('tiger')), pictures[0]);
  given.dispose();
  await assert.rejects(given.embedQuery('owl'), hasCode('state/disposed'));
  assert.deepEqual([...(await text.embed('owl'))], texts[4], 'a tower that was given stays the caller’s');
  text.dispose();
  image.dispose();
});

test('a store of texts, by words', async () => {
  const store = await FakeVectorStore.fromTexts(['a red heart', 'a train', 'a slice of pizza'], [1, 2, 3], embeddings);
  const [[first, score]] = await store.similaritySearchWithScore('pizza', 3);
  assert.equal(first.pageContent, 'a slice of pizza');
  assert.ok(score > 0.5 && score <= 1, `${score}`);
});

test('a store of pictures, by words and by pictures, also as a retriever', async () => {
  const store = new FakeVectorStore(embeddings);
  await store.addVectors(await embeddings.embedImages(WORDS.map(picture)), documents);
  for (const word of WORDS) {
    const [found] = await store.similaritySearch(word, 1);
    assert.equal(found.metadata.word, word);
    const [[same, score]] = await store.similaritySearchVectorWithScore(
      await embeddings.embedImageQuery(picture(word)),
      1,
    );
    assert.equal(same.metadata.word, word);
    assert.ok(score > 0.999999);
  }
  const [castle] = await store.asRetriever(1).invoke('a castle');
  assert.equal(castle.metadata.word, 'castle');
});

test('a tower is loaded once, by the first call that needs it, and again after a load that failed', async () => {
  let loads = 0;
  const failing = new HalfclipEmbeddings({
    model: 'halfclip-emoji',
    image: {
      weights: 'https://example.org/image.safetensors',
      cache: 'no-store',
      retry: { attempts: 1 },
      fetch: async () => {
        loads++;
        return new Response('', { status: 404 });
      },
    },
  });
  await Promise.all([failing.embedQuery('a'), failing.embedQuery('b')]);
  assert.equal(loads, 0);
  await assert.rejects(failing.embedImages([picture('owl')]), hasCode('http/status'));
  const once = loads;
  await assert.rejects(failing.embedImageQuery(picture('owl')), hasCode('http/status'));
  assert.equal(loads, 2 * once);
  failing.dispose();
});

test('failures are HalfclipErrors', async () => {
  await assert.rejects(new HalfclipEmbeddings({ model: 'ViT-B-33' }).embedQuery('a'), hasCode('model/unknown'));
  await assert.rejects(new HalfclipEmbeddings().embedQuery('a'), HalfclipError);
  await assert.rejects(embeddings.embedDocuments('a'), hasCode('input/type'));
  await assert.rejects(embeddings.embedDocuments(['a', 7]), hasCode('input/type'));
  await assert.rejects(embeddings.embedImages(['none.png']), hasCode('input/decode'));
  const closed = new HalfclipEmbeddings({ model: 'halfclip-emoji' });
  const late = closed.embedQuery('a');
  closed.dispose();
  await assert.rejects(late, hasCode('state/disposed'));
});

test('by require()', async () => {
  const required = createRequire(import.meta.url)('halfclip/langchain');
  const one = new required.HalfclipEmbeddings({ model: 'halfclip-emoji' });
  assert.deepEqual(await one.embedQuery('owl'), await embeddings.embedQuery('owl'));
  one.dispose();
});

test('a bundler takes the module for pages', async () => {
  const { metafile } = await build({
    stdin: { contents: "export * from 'halfclip/langchain'", resolveDir: ROOT },
    absWorkingDir: ROOT,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    external: ['node:*'], // of LangChain's own
    metafile: true,
    write: false,
  });
  const ours = Object.keys(metafile.inputs).filter((name) => name.startsWith('dist/'));
  assert.deepEqual(ours.sort(), [
    'dist/hugging-face.js',
    'dist/index.js',
    'dist/kept.js',
    'dist/langchain.js',
    'dist/video.js',
    'dist/worker.js',
  ]);
});
