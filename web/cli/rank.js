// halfclip rank: pictures or videos by words, or words by one of them. One tower is in memory at a time.

import { printable } from '../base/errors.js';
import { cosineSimilarity, loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../node/index.js';
import { fieldsOf } from './fields.js';
import { countInputs, from, readInputs } from './inputs.js';
import { INPUT_HELP, LOAD_HELP, RUN_OPTIONS, UsageError, countOf, loadOptions, oneOf } from './options.js';
import { checkFailed, runOver } from './run.js';
import { Counter, print } from './terminal.js';
import { VIDEO_HELP, VIDEO_OPTIONS, checkVideoOptions, rangeOptions, videoOptions } from './videos.js';

export const summary = 'pictures or videos by words, or words by one of them, best first';

export const help = `halfclip rank --query TEXT pictures...: pictures by words, best first
halfclip rank --query TEXT --tower video videos...: videos by words
halfclip rank --picture FILE texts...: words by a picture, best first
halfclip rank --video FILE texts...: words by a video

  Pictures and videos are files, URLs, and folders, of which all below them are taken. Without inputs, one a line from standard input.

  --top N                                print only the best N
  --json                                 JSON lines {"input", "score"}
  --image-weights FILE, --video-weights FILE, --text-weights FILE
                                         one shard for each tower, in place of --weights
${INPUT_HELP}${LOAD_HELP}${VIDEO_HELP}`;

const STRING = { type: 'string' };
export const options = {
  ...RUN_OPTIONS,
  ...VIDEO_OPTIONS,
  tower: STRING,
  query: STRING,
  picture: STRING,
  video: STRING,
  top: STRING,
  json: { type: 'boolean' },
  'image-weights': STRING,
  'video-weights': STRING,
  'text-weights': STRING,
};

const LOAD = {
  text: loadTextEncoder,
  image: loadImageEncoder,
  video: (options, values) => loadVideoEncoder({ ...options, ...videoOptions(values) }),
};

export async function run(values, args, signal) {
  const given = { text: values.query, image: values.picture, video: values.video };
  const [asking, ...more] = Object.keys(given).filter((tower) => given[tower] !== undefined);
  if (!asking || more.length) throw new UsageError('rank needs either --query, --picture or --video');
  const top = countOf('top', values.top) ?? Infinity;
  const shown = oneOf('tower', values.tower, 'image', 'video') ?? 'image';
  const asked = asking === 'text' ? shown : 'text';
  const other = asking === 'text' ? asked : asking; // than the tower of texts
  checkWeights(values, other);
  checkVideoOptions(values, other);
  const rangeFor = (tower) => (tower === 'video' ? rangeOptions(values) : {});
  const { items } = await readInputs(args, { tower: asked, input: values.input, certain: true });
  const first = await firstOf(items);
  if (first.done) throw new UsageError('rank got nothing to rank');

  const withTower = async (tower, work) => {
    const weights = values[`${tower}-weights`] ?? values.weights;
    const encoder = await LOAD[tower](await loadOptions({ ...values, weights }, signal), values);
    try {
      return await work(encoder);
    } finally {
      encoder.dispose();
    }
  };
  const counter = new Counter(values.quiet, () => countInputs(asked, args)); // counts while towers are loaded
  const wanted = await withTower(asking, (encoder) => encoder.embed(given[asking], { ...rangeFor(asking), signal }));
  const best = new Best(top);
  const result = await withTower(asked, (encoder) =>
    runOver(
      encoder,
      withoutBlank(from(first, items)),
      {
        embedding: rangeFor(asked),
        failFast: values['fail-fast'],
        signal,
        counter,
      },
      (item, vector) => best.add({ record: item.record, id: item.id, score: cosineSimilarity(wanted, vector) }),
    ),
  );
  for (const { record, id, score } of best.list())
    await print(values.json ? JSON.stringify({ ...fieldsOf(record), score }) : `${score.toFixed(4)}  ${asLine(id)}`);
  checkFailed(result);
}

/** @param {'image' | 'video'} other the tower besides that of texts */
function checkWeights({ weights, model, ...values }, other) {
  const [missing, ...more] = ['text', other].filter((tower) => values[`${tower}-weights`] === undefined);
  if (!missing || more.length || weights !== undefined || model !== undefined) return;
  const given = missing === 'text' ? other : 'text';
  throw new UsageError(
    `--${given}-weights needs --${missing}-weights too: vectors of two models have nothing in common`,
  );
}

/** The first item that is there to be ranked: nobody looks for an empty line. */
async function firstOf(items) {
  for (;;) {
    const next = await items.next();
    if (next.done || next.value.source !== '') return next;
  }
}

async function* withoutBlank(items) {
  for await (const item of items) if (item.source !== '') yield item;
}

const asLine = (id) => printable(typeof id === 'string' ? id : JSON.stringify(id));

/** The best of many, of which no more are kept than are wanted. */
class Best {
  #top;
  #all = [];

  constructor(top) {
    this.#top = top;
  }

  add(entry) {
    this.#all.push(entry);
    if (this.#all.length > 2 * this.#top + 1000) this.#all = this.list();
  }

  list() {
    return this.#all.sort((a, b) => b.score - a.score).slice(0, this.#top);
  }
}
