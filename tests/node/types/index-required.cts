// A CommonJS module that requires the index.

import { VectorIndex } from 'halfclip/index';

export const count = async (path: string): Promise<number> => (await VectorIndex.load(path)).size;
