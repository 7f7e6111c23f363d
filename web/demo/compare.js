// The second panel: every pair of sentences, by meaning, as they are typed. Only the text tower is loaded.

import { cosineSimilarity } from '../index.js';
import { plural } from './format.js';

const TYPING_PAUSE = 120;
/** A matrix of more sentences cannot be read on a screen. */
const MOST_SENTENCES = 24;
const MOST_PAIRS = 6;
const MOST_REMEMBERED = 500;

function cell(tag, text, scope) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (scope) node.scope = scope;
  return node;
}

function pairsOf(sentences, vectors) {
  const pairs = [];
  for (let i = 0; i < sentences.length; i++) {
    for (let j = i + 1; j < sentences.length; j++)
      pairs.push({ i, j, score: cosineSimilarity(vectors[i], vectors[j]) });
  }
  return pairs.sort((a, b) => b.score - a.score);
}

/**
 * @param {object} parts
 * @param {import('./towers.js').Towers} parts.towers
 * @param {ReturnType<import('./notices.js').createNotices>} parts.notices
 * @param {(message: string) => void} parts.announce
 * @returns {{ show(): void }}  call it when the panel comes into view
 */
export function createComparePanel({ towers, notices, announce }) {
  const textarea = document.getElementById('sentences');
  const matrix = document.getElementById('matrix');
  const list = document.getElementById('pairs');
  const remembered = new Map();
  let pending = new AbortController();
  let announcing;

  async function compare() {
    pending.abort();
    const { signal } = (pending = new AbortController());
    const lines = textarea.value
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
    const sentences = [...new Set(lines)].slice(0, MOST_SENTENCES);
    try {
      await embedNew(sentences, signal);
      signal.throwIfAborted();
      notices.clear('compare');
      draw(
        sentences,
        sentences.map((sentence) => remembered.get(sentence)),
      );
    } catch (error) {
      if (!signal.aborted) notices.show('compare', `The sentences could not be compared. ${error.message}`, compare);
    }
  }

  async function embedNew(sentences, signal) {
    const missing = sentences.filter((sentence) => !remembered.has(sentence));
    if (missing.length === 0) return;
    if (remembered.size > MOST_REMEMBERED) {
      for (const sentence of remembered.keys()) if (!sentences.includes(sentence)) remembered.delete(sentence);
    }
    await towers.use(
      'text',
      async (encoder) => {
        const start = performance.now();
        const vectors = await encoder.embed(missing, { signal });
        towers.record('text', (performance.now() - start) / missing.length);
        missing.forEach((sentence, i) => remembered.set(sentence, vectors[i]));
      },
      signal,
    );
  }

  function draw(sentences, vectors) {
    const pairs = pairsOf(sentences, vectors);
    const highest = pairs[0]?.score ?? 1;
    const span = highest - (pairs.at(-1)?.score ?? 0) || 1;
    const share = (score) => String(Math.max(0, 1 - (highest - score) / span).toFixed(3));
    drawMatrix(sentences, vectors, share);
    drawPairs(sentences, pairs, share);
    clearTimeout(announcing);
    announcing = setTimeout(() => {
      const closest = pairs[0] ? ` Closest: ${sentences[pairs[0].i]}, and ${sentences[pairs[0].j]}.` : '';
      announce(`${plural(sentences.length, 'sentence')} compared.${closest}`);
    }, 900);
  }

  function drawMatrix(sentences, vectors, share) {
    const head = document.createElement('tr');
    head.append(
      document.createElement('td'),
      ...sentences.map((sentence, i) => {
        const header = cell('th', String(i + 1), 'col');
        header.title = sentence;
        return header;
      }),
    );
    const rows = sentences.map((sentence, i) => {
      const row = document.createElement('tr');
      const header = cell('th', '', 'row');
      header.append(cell('span', String(i + 1)), ` ${sentence}`);
      row.append(
        header,
        ...sentences.map((_, j) => {
          if (i === j) return cell('td', '');
          const score = cosineSimilarity(vectors[i], vectors[j]);
          const value = cell('td', score.toFixed(2));
          value.style.setProperty('--share', share(score));
          return value;
        }),
      );
      return row;
    });
    matrix.replaceChildren(head, ...rows);
  }

  function drawPairs(sentences, pairs, share) {
    list.replaceChildren(
      ...pairs.slice(0, MOST_PAIRS).map(({ i, j, score }) => {
        const item = document.createElement('li');
        const words = cell('span', '');
        words.className = 'words';
        words.append(cell('span', sentences[i]), cell('span', sentences[j]));
        const value = cell('span', score.toFixed(2));
        value.className = 'value';
        const meter = cell('span', '');
        meter.className = 'meter';
        meter.style.setProperty('--share', share(score));
        item.append(words, value, meter);
        return item;
      }),
    );
  }

  let typing;
  textarea.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(compare, TYPING_PAUSE);
  });

  return { show: compare };
}
