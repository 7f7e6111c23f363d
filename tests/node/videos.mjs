// Videos for tests, made with ffmpeg: each frame has its number in its pixels.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { numbered } from './numbered.mjs';

export { numberIn } from './numbered.mjs';

/** Runs ffmpeg, and gives its standard input what `feed` writes. */
export async function ffmpeg(args, feed = () => {}) {
  const child = spawn('ffmpeg', ['-v', 'error', '-y', ...args], { stdio: ['pipe', 'inherit', 'inherit'] });
  const closed = once(child, 'close');
  await feed(child.stdin);
  child.stdin.end();
  const [code] = await closed;
  if (code) throw new Error(`ffmpeg ${args.join(' ')} ended with ${code}`);
}

/**
 * Makes a video whose frames show their numbers.
 * @param {string} file
 * @param {{ frames: number, rate: string | number, args?: string[], turned?: 0 | 90 | 180, kept?: boolean }}
 *   options args: how ffmpeg encodes; kept: with the time stamps that its filters leave; turned: the file says that a player has to turn its frames clockwise so far, to show the number upright
 */
export async function makeVideo(file, { frames, rate, args = [], turned = 0, kept = false }) {
  const { width, height } = numbered(0, turned);
  const input = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${width}x${height}`, '-r', String(rate), '-i', 'pipe:0'];
  const made = kept ? `${file}.mkv` : file; // into other containers, ffmpeg would fill gaps
  await ffmpeg([...input, ...args, `file:${made}`], async (stream) => {
    for (let i = 0; i < frames; i++) if (!stream.write(numbered(i, turned).data)) await once(stream, 'drain');
  });
  if (kept) await ffmpeg(['-i', `file:${made}`, '-c', 'copy', `file:${file}`]);
  if (turned) writeFileSync(file, turn(readFileSync(file), turned, width, height));
}

/** Writes into an MP4 file how far its pictures are to be turned (ISO 14496-12, 8.3.2, the matrix of tkhd). */
function turn(bytes, degrees, width, height) {
  const at = bytes.indexOf('tkhd') + 44;
  const [one, minus] = [0x10000, -0x10000];
  const matrix = {
    90: [0, one, 0, minus, 0, 0, height * one, 0],
    180: [minus, 0, 0, 0, minus, 0, width * one, height * one],
  }[degrees];
  matrix.forEach((value, i) => bytes.writeInt32BE(value, at + 4 * i));
  return bytes;
}

const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-pix_fmt', 'yuv420p'];
const VP9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-pix_fmt', 'yuv420p'];
/** From second 3 on, every seventh frame alone. */
const THINNED = ['-vf', 'select=lt(n\\,90)+not(mod(n\\,7))'];
const thinned = [...Array(10)].map((_, second) => (second < 3 ? 30 * second : 30 * second - ((30 * second) % 7)));
thinned[3] = 89;

/**
 * Kinds of files, and the frames that one a second is, after CLIP4Clip, or what is shown then (of the variable ones to
 * second 9: how long the last frame is shown is a matter of opinion).
 */
export const KINDS = {
  'ntsc.mp4': {
    frames: 299,
    rate: '30000/1001',
    args: H264,
    expected: [0, 29, 58, 87, 116, 145, 174, 203, 232, 261, 290],
  },
  'ntsc.ts': {
    frames: 299,
    rate: '30000/1001',
    args: H264,
    expected: [0, 29, 58, 87, 116, 145, 174, 203, 232, 261, 290],
  },
  'film.mp4': { frames: 60, rate: '24000/1001', args: H264, expected: [0, 23, 46] },
  'film.webm': { frames: 60, rate: '24000/1001', args: VP9, expected: [0, 23, 46] },
  'thirty.webm': { frames: 100, rate: 30, args: VP9, expected: [0, 30, 60, 90] },
  'variable.mp4': { frames: 300, rate: 30, args: [...THINNED, ...H264], kept: true, end: 9, expected: thinned },
  'variable.webm': { frames: 300, rate: 30, args: [...THINNED, ...VP9], kept: true, end: 9, expected: thinned },
  'turned-90.mp4': { frames: 31, rate: 30, args: H264, turned: 90, expected: [0, 30] },
  'turned-180.mp4': { frames: 31, rate: 30, args: H264, turned: 180, expected: [0, 30] },
  'late.mp4': { frames: 61, rate: 30, args: [...H264, '-output_ts_offset', '2.5'], expected: [0, 30, 60] },
  'late.webm': { frames: 61, rate: 30, args: [...VP9, '-output_ts_offset', '2.5'], expected: [0, 30, 60] },
  'one.mp4': { frames: 1, rate: 25, args: H264, expected: [0] },
  'one.webm': { frames: 1, rate: 25, args: VP9, expected: [0] },
  'ten-bit.mp4': { frames: 50, rate: 25, args: [...H264.slice(0, -1), 'yuv420p10le'], expected: [0, 25] },
  'slow.mp4': { frames: 3, rate: '1/2', args: H264, expected: [0, 0, 1, 1, 2, 2] },
};

/** Makes one of them in a folder; returns its path. */
export async function makeKind(folder, name) {
  const file = path.join(folder, name);
  await makeVideo(file, KINDS[name]);
  return file;
}
