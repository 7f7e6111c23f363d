// The module `halfclip/exif`.

export { takenAt } from './taken.js';
