// halfclip embed: vectors of texts, pictures or videos.

import { loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../node/index.js';
import { countInputs, from, readInputs } from './inputs.js';
import { INPUT_HELP, LOAD_HELP, RUN_OPTIONS, UsageError, loadOptions, oneOf } from './options.js';
import { prepareOutput } from './output.js';
import { towerOfShard } from './report.js';
import { checkFailed, runOver } from './run.js';
import { Counter } from './terminal.js';
import { VIDEO_HELP, VIDEO_OPTIONS, checkVideoOptions, rangeOptions, videoOptions } from './videos.js';

export const summary = 'vectors of texts, pictures or videos';

export const help = `halfclip embed [inputs...]: vectors of texts, pictures or videos, each as soon as it is there

  Inputs are texts, or with --tower image pictures, with --tower video videos: files, URLs, and folders, of which all pictures or videos
  below them are taken (told by their content, in the order of their names). Without inputs, one a line from standard input; an empty
  line is an empty text.

  --tower text|image|video               default: the one that the shard holds or that the JSON objects are for, else text
  --decode exact|fast                    of pictures: fast lets large JPEG and WebP files be shrunk while they are decoded, which changes
                                         vectors a little (default: exact)
  --no-normalize                         vectors as the tower gives them, not of length 1
  --out FILE                             in place of standard output (-); the format is told by the name:
                                           .jsonl    JSON lines {"input", "embedding"}, as on standard output
                                           .npy      a float32 matrix of NumPy's, and the ids or inputs of its rows as JSON in .ids.json
                                           .csv      a column for each field and each number
                                           .parquet  a column for each field, and lists of floats; needs npm install hyparquet-writer
                                         The file is there when it is complete, and not before.
  --errors report|output                 where an input that fails is told: on standard error (default), or as a JSON line in its place,
                                         with "error": {"code", "message", "where"} and no "embedding"; then the exit status is 0
${INPUT_HELP}${LOAD_HELP}${VIDEO_HELP}`;

export const options = {
  ...RUN_OPTIONS,
  ...VIDEO_OPTIONS,
  tower: { type: 'string' },
  decode: { type: 'string' },
  'no-normalize': { type: 'boolean' },
  out: { type: 'string' },
  errors: { type: 'string' },
};

const LOAD = {
  text: loadTextEncoder,
  image: loadImageEncoder,
  video: (options, values) => loadVideoEncoder({ ...options, ...videoOptions(values) }),
};

export async function run(values, args, signal) {
  const wanted = oneOf('tower', values.tower, 'text', 'image', 'video') ?? (await towerOfShard(values.weights));
  const decode = oneOf('decode', values.decode, 'exact', 'fast');
  if (decode && wanted && wanted !== 'image')
    throw new UsageError('--decode is for pictures: expected --tower image with it');
  const inOutput = oneOf('errors', values.errors, 'report', 'output') === 'output';
  if (inOutput && values['fail-fast'])
    throw new UsageError(
      '--errors output goes on after an input that fails, --fail-fast does not: expected one of them',
    );
  if (inOutput && values.out && !/^-$|\.jsonl$/i.test(values.out))
    throw new UsageError(`--errors output is for JSON lines, and --out is ${values.out}`);
  const openOutput = await prepareOutput(values.out);
  const { tower, items } = await readInputs(args, {
    tower: wanted,
    input: values.input,
    certain: values.tower === 'text',
  });
  checkVideoOptions(values, tower);
  const range = rangeOptions(values);
  const first = await items.next(); // what makes no sense is told before anything is loaded
  const counter = new Counter(values.quiet, () => countInputs(tower, args)); // counts while the tower is loaded
  const encoder = await LOAD[tower](await loadOptions(values, signal), values);
  try {
    const output = openOutput(encoder.info);
    try {
      const result = await runOver(
        encoder,
        from(first, items),
        {
          embedding: { normalize: !values['no-normalize'], decode, ...range },
          failFast: values['fail-fast'],
          signal,
          counter,
        },
        output.write,
        inOutput ? output.fail : undefined,
      );
      await output.commit();
      checkFailed(result);
    } catch (error) {
      output.discard();
      throw error;
    }
  } finally {
    encoder.dispose();
  }
}
