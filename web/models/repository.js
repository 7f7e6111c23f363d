// Where the files of a model's repository are: on a hub, as `hf-hub:org/repo` names it, or in a folder.

import { HalfclipError, describe } from '../base/errors.js';
import { isNode, locate } from '../base/platform.js';

const DEFAULT_HUB = 'https://huggingface.co';

/**
 * The files of a repository on a hub.
 * @param {string} model `hf-hub:org/repo` or `hf-hub:org/repo@revision`
 * @param {string | URL} [hub]
 */
export function repository(model, hub = DEFAULT_HUB) {
  const { url } = locate(hub, 'option hub');
  if (!url)
    throw new HalfclipError(
      'input/type',
      `option hub is ${describe(hub)}, expected the URL of a hub, such as ${DEFAULT_HUB}`,
    );
  // No part may be empty or lead elsewhere: "." and ".." do, in a path, however they are encoded.
  const match = /^hf-hub:((?:[\w.-]{1,200}\/)?[\w.-]{1,200})(?:@([\w./-]{1,200}))?$/.exec(model);
  const parts = match?.slice(1).flatMap((name) => name?.split('/') ?? []);
  if (!parts || parts.some((part) => /^\.{0,2}$/.test(part))) {
    throw new HalfclipError(
      'model/unknown',
      `model is ${describe(model)}, which names no repository, expected hf-hub:org/repo or hf-hub:org/repo@revision`,
    );
  }
  const [, repo, revision = 'main'] = match;
  const base = `${url.replace(/\/+$/, '')}/${repo}/resolve/${encodeURIComponent(revision)}`;
  const file = (name) => ({ url: `${base}/${name}` });
  return { name: model, file, weights: (files) => ({ any: files.map(file) }) };
}

/**
 * The files of a folder.
 * @param {string} model `local-dir:folder`
 */
export function localFolder(model) {
  const folder = model.slice('local-dir:'.length);
  if (!isNode)
    throw new HalfclipError(
      'model/not-a-path',
      `model ${JSON.stringify(model)} is a folder, which only Node.js can read: give a URL as weights`,
    );
  if (!folder) throw new HalfclipError('model/unknown', 'model "local-dir:" names no folder');
  const file = (name) => ({ path: `${folder.replace(/\/+$/, '')}/${name}` });
  return { name: model, file, weights: (files) => ({ any: files.map(file) }) };
}
