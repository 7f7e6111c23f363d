// Opens pictures and videos in the viewer of the system.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { HalfclipError } from '../node/index.js';
import { isFileOf } from './pictures.js';

const COMMANDS = { darwin: 'open', win32: 'explorer.exe' }; // of which none takes its argument for anything but a file
const OTHERWISE = 'xdg-open';

// What a system opens depends on a file's name: programs, whatever they begin with, have other ones.
const NAMES = {
  image: /\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|avif|hei[cf])$/i,
  video: /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|wmv|flv|ogv)$/i,
};

/**
 * Opens a file, if it is a picture or a video: what an index names may have become something else, or may always have been.
 * @param {string} file its whole path
 */
export async function openPicture(file) {
  const kind = Object.keys(NAMES).find((kind) => NAMES[kind].test(file));
  if (!kind || !(await isFileOf(file, kind)))
    throw new HalfclipError(
      'input/type',
      `${file}: is not opened, because it is no picture or video, or has not the name of one`,
    );
  const command = COMMANDS[process.platform] ?? OTHERWISE;
  const viewer = spawn(command, [file], { stdio: 'ignore', detached: true });
  try {
    await once(viewer, 'spawn');
  } catch (error) {
    throw new HalfclipError('input/type', `--open: ${command} cannot be started: ${error.message}`, { cause: error });
  }
  viewer.unref();
}
