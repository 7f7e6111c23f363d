// Videos in Node.js: ffprobe says what is in a file, ffmpeg decodes the frames that are wanted, a process for those
// that are near to each other. Both are programs on the PATH.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { HalfclipError, messageOf } from '../base/errors.js';
import { serveSource } from './serve-source.js';
import { pictures } from './ppm.js';

/**
 * Containers, by ffmpeg's names: what only names other files (playlists, patterns) or opens devices is none of them.
 */
const CONTAINERS =
  'mov,matroska,webm,avi,asf,flv,gif,ivf,mpeg,mpegts,mpegvideo,m4v,h264,hevc,mxf,nut,ogg,rm,dv,swf,vob,apng,webp_pipe,yuv4mpegpipe';
/** Of these each frame can be found; others are sought roughly, and decoded from some seconds earlier. */
const INDEXED = /^(mov|matroska|avi)\b/;
const EARLIER = 10;

/** Frames whose distance is less (seconds) are decoded in one go: as long as what lies between them, a start takes. */
const NEAR = 4;
/** Frames a process decodes at most: its command line names each. */
const AT_ONCE = 32;
/** Bytes of pictures that a process may be ahead of who reads them. */
const AHEAD = 1 << 23;
/** Of moments. */
const PER_SECOND = 1000;

/**
 * @param {{ path?: string, name?: string }} place
 * @param {() => Promise<object>} openSource gives what is at another place than a path, as a source of web/sources
 * @param {AbortSignal} signal
 * @returns {Promise<import('../video/frames.js').Video>}
 */
export async function openVideo(place, openSource, signal) {
  const file = place.path === undefined ? await serveSource(await openSource()) : await localFile(place.path);
  try {
    const { begin, format, shape, ...facts } = await probe(file, signal);
    const seek = INDEXED.test(format) ? 0 : EARLIER;
    const read = (moments, signal) =>
      decode(
        file,
        moments.map((moment) => Math.floor((begin + moment) * PER_SECOND)),
        { seek, shape, signal },
      );
    return { name: file.name, ...facts, read, close: file.close };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** A file as ffmpeg takes it. `file:` makes a name of whatever stands behind it. */
async function localFile(place) {
  const path = place.startsWith('file:') ? fileURLToPath(place) : place;
  const found = await stat(path).catch((error) => {
    const why = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    throw new HalfclipError('input/decode', `${place}: ${why}`, { cause: error });
  });
  if (!found.isFile()) throw new HalfclipError('input/decode', `${place}: is not a file`);
  if (!found.size) throw new HalfclipError('input/decode', `${place}: is empty`);
  return { name: place, url: `file:${path}`, protocols: 'file', failed: () => null, close() {} };
}

const inputOf = ({ url, protocols }) => ['-protocol_whitelist', protocols, '-format_whitelist', CONTAINERS, '-i', url];

/** What ffprobe says of the first video that is no cover picture. */
async function probe(file, signal) {
  const entries =
    'stream=r_frame_rate,avg_frame_rate,nb_frames,duration,start_time,sample_aspect_ratio:stream_tags=DURATION:format=format_name,duration';
  const output = ['-v', 'error', '-select_streams', 'V:0', '-show_entries', entries, '-of', 'json'];
  const program = start('ffprobe', [...output, ...inputOf(file)], file, signal);
  const chunks = [];
  for await (const chunk of program.output) chunks.push(chunk);
  await program.finished();
  const {
    streams: [stream],
    format,
  } = JSON.parse(Buffer.concat(chunks).toString());
  if (!stream) throw new HalfclipError('input/decode', `${file.name}: has no video, only sound`);
  const begin = Number(stream.start_time) || 0;
  const lasts = Number(stream.duration) || seconds(stream.tags?.DURATION) - begin;
  const duration = lasts || Number(format.duration) || 0;
  const rate = steadyRate(ratio(stream.r_frame_rate), ratio(stream.avg_frame_rate));
  const count = Math.min(Math.round(duration * rate), Number(stream.nb_frames) || Infinity);
  const [wide, high] = (stream.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  return {
    begin,
    format: format.format_name,
    shape: wide > 0 && high > 0 && wide !== high ? wide / high : 1,
    rate,
    count,
    duration,
    certain: Boolean(lasts),
  };
}

const ratio = (text) => {
  const [over, under] = text.split('/').map(Number);
  return over / under || 0;
};

/** Of Matroska: hours, minutes and seconds. */
const seconds = (text = '') => text.split(':').reduce((sum, part) => 60 * sum + Number(part), 0);

/**
 * Frames a second: the least that all time stamps fit, or half of it where ffmpeg counts fields, if there are as many
 * frames on average; else 0.
 */
const steadyRate = (real, average) => [real, real / 2].find((rate) => Math.abs(rate / average - 1) < 1e-3) ?? 0;

/**
 * The pictures that are shown at moments, which are whole milliseconds of the file's own time: those of the next
 * process are decoded while the caller works on these.
 */
async function* decode(file, moments, { seek, shape, signal }) {
  const runs = runsOf(moments);
  const own = new AbortController();
  const abort = () => own.abort(signal.reason);
  signal.addEventListener('abort', abort);
  const launch = (run) => run && start('ffmpeg', argumentsFor(file, run, seek, shape), file, own.signal);
  try {
    signal.throwIfAborted();
    let next = launch(runs[0]);
    for (let i = 0; i < runs.length; i++) {
      const program = next;
      next = launch(runs[i + 1]);
      let found = 0;
      for await (const picture of pictures(program.output)) {
        found++;
        yield picture;
      }
      await program.finished();
      if (found < runs[i].length) return;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    own.abort();
  }
}

function runsOf(moments) {
  const runs = [];
  for (const moment of moments) {
    const run = runs.at(-1);
    const isNear = run && run.length < AT_ONCE && moment - run.at(-1) < NEAR * PER_SECOND;
    if (isNear) run.push(moment);
    else runs.push([moment]);
  }
  return runs;
}

/**
 * From the last key frame before, frames are held until the next one is shown (fps), and taken where they are wanted
 * (select). Frames that cannot be decoded whole are left out.
 */
function argumentsFor(file, moments, seek, shape) {
  const [first] = moments;
  const filters = [
    `fps=fps=${PER_SECOND}:round=down:start_time=${first / PER_SECOND}`,
    `select=${moments.map((moment) => `eq(n\\,${moment - first})`).join('+')}`,
    `setpts=N`,
    ...(shape === 1 ? [] : [`scale=iw*${shape}:ih`]),
  ];
  return [
    ...['-v', 'error', '-nostdin', '-fflags', '+discardcorrupt', '-flags', '-output_corrupt', '-copyts'],
    ...['-noaccurate_seek', '-seek_timestamp', '1', '-ss', String(first / PER_SECOND - seek)],
    ...inputOf(file),
    ...['-map', '0:V:0', '-vf', filters.join(','), '-frames:v', String(moments.length)],
    ...['-f', 'image2pipe', '-c:v', 'ppm', '-pix_fmt', 'rgb24', 'pipe:1'],
  ];
}

/** Runs a program; `finished()` throws what is wrong once its output was read. */
function start(name, args, file, signal) {
  // ffmpeg would finish its picture first, for which it may wait for ever.
  const options = { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL', windowsHide: true };
  const child = spawn(name, args, options);
  const ended = Promise.all([once(child, 'close'), lastLines(child.stderr)]);
  ended.catch(() => {}); // thrown by finished()
  // Of its own output, Node.js drops what nobody has read when the program ends.
  const output = child.stdout.pipe(new PassThrough({ highWaterMark: AHEAD }));
  child.stdout.once('close', () => output.end());
  return {
    output,
    async finished() {
      const [[code], complaint] = await ended.catch((error) => {
        throw signal.aborted ? signal.reason : notStarted(name, file, error);
      });
      if (code) throw file.failed() ?? unreadable(file.name, complaint || `${name} ended with ${code}`);
    },
  };
}

const notStarted = (name, file, error) =>
  new HalfclipError(
    'input/decode',
    error.code === 'ENOENT'
      ? `${file.name}: decoding videos in Node.js needs the programs ffmpeg and ffprobe on the PATH: install ffmpeg ` +
          '(apt-get, dnf, brew or winget install ffmpeg)'
      : `${file.name}: ${name} cannot be started: ${messageOf(error)}`,
    { cause: error },
  );

/** What a program says last is what it ends for; on one line. */
async function lastLines(stream) {
  let text = '';
  for await (const chunk of stream) text = (text + chunk).slice(-2000);
  const lines = text.trim().split('\n').slice(-2);
  return lines.map((line) => line.replace(/^\[[^\]]*\] /, '').replace(/^(file|http):[^]*: (?=[A-Z])/, '')).join('; ');
}

function unreadable(name, complaint) {
  const why = /whitelist/.test(complaint) ? 'its content is that of no video' : complaint;
  return new HalfclipError('input/decode', `${name}: cannot be read as a video: ${why}`);
}
