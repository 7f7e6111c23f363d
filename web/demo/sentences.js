// The second panel: sentences by meaning, as they are typed: pairs, groups, the nearest to one, and a matrix of a few.

import { cosineSimilarity } from '../index.js';
import { csv, download } from './exporting.js';
import { plural } from './format.js';

const TYPING_PAUSE = 120;
/** A matrix of more sentences cannot be read on a screen. */
const MOST_IN_MATRIX = 24;
const MOST_SENTENCES = 2000;
const MOST_PAIRS = 6;
const MOST_NEAREST = 10;

const byId = (id) => document.getElementById(id);

function element(tag, text, className = '') {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

/**
 * The texts of a list: a line each, or the first column of a CSV or TSV that has any (RFC 4180), without its heading
 * if that is called like one.
 */
export function readList(text, isTable) {
  if (!isTable)
    return text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter(Boolean);
  const separator = text.split('\n', 1)[0].includes('\t') ? '\t' : ',';
  const rows = [];
  let row = [''];
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (isQuoted) {
      if (character !== '"') row[row.length - 1] += character;
      else if (text[i + 1] === '"') row[row.length - 1] += text[++i];
      else isQuoted = false;
    } else if (character === '"') isQuoted = true;
    else if (character === separator) row.push('');
    else if (character === '\n') {
      rows.push(row);
      row = [''];
    } else if (character !== '\r') row[row.length - 1] += character;
  }
  rows.push(row);
  const named = rows[0].findIndex((name) => /^(text|sentence|caption|title|query)s?$/i.test(name.trim()));
  return (named < 0 ? rows : rows.slice(1))
    .map((fields) => (fields[Math.max(0, named)] ?? '').replace(/\s+/g, ' ').trim())
    .filter(Boolean);
}

export function createSentencesPanel({ library, notices, announce }) {
  const textarea = byId('sentences');
  let compared = { sentences: [], pairs: [], groups: [] };
  let turn = 0;
  let speaking;

  const sentencesOf = () => [...new Set(readList(textarea.value, false))].slice(0, MOST_SENTENCES);

  async function compare() {
    const mine = ++turn;
    const sentences = sentencesOf();
    try {
      const above = Number(byId('alike').value);
      const { pairs, groups, vectors } = await library.compareTexts(sentences, {
        above,
        pairs: MOST_PAIRS,
        vectors: MOST_IN_MATRIX,
      });
      if (mine !== turn) return;
      notices.clear('compare');
      compared = { sentences, pairs, groups };
      draw(vectors);
      await showNearest();
    } catch (error) {
      if (mine === turn)
        notices.show('compare', `The sentences could not be compared. ${error.message}`, { retry: compare });
    }
  }

  function draw(vectors) {
    const { sentences, pairs } = compared;
    const scores = vectors.flatMap((a, i) => vectors.slice(i + 1).map((b) => cosineSimilarity(a, b)));
    const highest = pairs[0]?.score ?? 1;
    const span = highest - Math.min(...scores, highest) || 1;
    const share = (score) => Math.max(0, 1 - (highest - score) / span).toFixed(3);
    drawMatrix(sentences.slice(0, vectors.length), vectors, share);
    byId('pairs').replaceChildren(...pairs.map(({ texts, score }) => result([texts], score, share(score))));
    drawGroups();
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      const closest = pairs[0] ? ` Closest: ${pairs[0].texts.join(', and ')}.` : '';
      announce(`${plural(sentences.length, 'sentence')} compared.${closest}`);
    }, 900);
  }

  function result([texts], score, share) {
    const item = document.createElement('li');
    const words = element('span', '', 'words');
    words.append(...texts.map((text) => element('span', text)));
    const meter = element('span', '', 'meter');
    meter.style.setProperty('--share', share);
    item.append(words, element('span', score.toFixed(2), 'value'), meter);
    return item;
  }

  function drawMatrix(sentences, vectors, share) {
    const scoped = (text, scope, title) => Object.assign(element('th', text), { scope, title });
    const head = document.createElement('tr');
    head.append(element('td', ''), ...sentences.map((sentence, i) => scoped(String(i + 1), 'col', sentence)));
    const rows = sentences.map((sentence, i) => {
      const row = document.createElement('tr');
      const header = scoped('', 'row', sentence);
      header.append(element('span', String(i + 1)), ` ${sentence}`);
      row.append(
        header,
        ...sentences.map((_, j) => {
          if (i === j) return element('td', '');
          const score = cosineSimilarity(vectors[i], vectors[j]);
          const value = element('td', score.toFixed(2));
          value.style.setProperty('--share', share(score));
          return value;
        }),
      );
      return row;
    });
    byId('matrix').replaceChildren(head, ...rows);
  }

  function drawGroups() {
    const several = compared.groups.filter(({ length }) => length > 1);
    const alone = compared.sentences.length - several.flat().length;
    const items = several.map((group) => element('li', group.join(' · ')));
    if (alone > 0 && compared.sentences.length > 0)
      items.push(element('li', `${plural(alone, 'sentence')} alone`, 'alone'));
    byId('clusters').replaceChildren(...items);
  }

  async function showNearest() {
    const text = byId('nearest-to').value.trim();
    const found = text ? await library.nearestTexts(text, compared.sentences, MOST_NEAREST) : [];
    if (text !== byId('nearest-to').value.trim()) return;
    const best = found[0]?.score ?? 1;
    const span = best - (found.at(-1)?.score ?? 0) || 1;
    byId('nearest').replaceChildren(
      ...found.map(({ id, score }) => result([[id]], score, (1 - (best - score) / span).toFixed(3))),
    );
  }

  let typing;
  const soon = () => {
    clearTimeout(typing);
    typing = setTimeout(compare, TYPING_PAUSE);
  };
  textarea.addEventListener('input', soon);
  byId('alike').addEventListener('input', () => {
    byId('alike-value').textContent = Number(byId('alike').value).toFixed(2);
    soon();
  });
  byId('nearest-to').addEventListener('input', () =>
    showNearest().catch((error) => notices.show('compare', error.message)),
  );
  byId('open-list').addEventListener('click', () => byId('list').click());
  byId('list').addEventListener('change', async ({ target }) => {
    const [file] = target.files;
    target.value = '';
    if (!file) return;
    textarea.value = readList(await file.text(), /\.(csv|tsv)$/i.test(file.name)).join('\n');
    compare();
  });
  byId('export-sentences').addEventListener('click', () => {
    const groupOf = new Map(compared.groups.flatMap((group, i) => group.map((text) => [text, i + 1])));
    const rows = compared.sentences.map((text) => [text, groupOf.get(text) ?? '']);
    download('sentences.csv', csv([['text', 'group'], ...rows]));
  });

  return { show: compare };
}
