// What an encoder can be asked for. Each call is a function of an encoder on this thread; one in a worker is sent the
// call's name, its input and its options (../worker).

import { embedVideos as videosOf } from './videos.js';

/** The vector of each text. */
export const embedTexts = (encoder, texts, options) => encoder.texts.embed(texts, options);

/** Int32Array(contextLength) of each text. */
export const tokenize = (encoder, texts, options) => encoder.texts.tokenize(texts, options);

/** The vector of each Int32Array(contextLength). */
export const embedTokens = (encoder, ids, options) => encoder.texts.embedTokens(ids, options);

/** The vector of a picture that was captured. */
export const embedPicture = (encoder, picture, options) => encoder.pictures.embed(picture, options);

/** What the tower gets of a picture that was captured. */
export const preprocessPicture = (encoder, picture, options) => encoder.pictures.preprocess(picture, options);

/** The vector of each Float32Array [3, H, W]. */
export const embedPixels = (encoder, pixels, options) => encoder.pictures.embedPixels(pixels, options);

/** The vector of each video, of those of its frames, one after the other, not normalised. */
export const embedVideos = (encoder, videos, options) => videosOf(encoder.tower, videos, options);

/** All of them, by the names that they have in messages. */
export const CALLS = { embedTexts, tokenize, embedTokens, embedPicture, preprocessPicture, embedPixels, embedVideos };
