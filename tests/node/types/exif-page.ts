// When photographs were taken, in a page.

import { takenAt } from 'halfclip/exif';

export const dates = (files: File[]): Promise<(string | null)[]> => Promise.all(files.map((file) => takenAt(file)));
