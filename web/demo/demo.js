// The demo page: two panels that share two encoders, of which one at a time is in memory.
//
// `?model=ViT-B-32&weights=URL` runs another model; `imageWeights` and `textWeights` name a shard each where the two
// towers lie in different files, and `dtype` is passed through as well.

import { loadImageEncoder, loadTextEncoder } from '../index.js';
import { createComparePanel } from './compare.js';
import { createFindPanel } from './find.js';
import { createNotices } from './notices.js';
import { createStatus } from './status.js';
import { createTabs } from './tabs.js';
import { Towers } from './towers.js';

const parameters = new URLSearchParams(location.search);
const common = { model: parameters.get('model') ?? 'halfclip-emoji' };
if (parameters.has('dtype')) common.dtype = parameters.get('dtype');

function optionsFor(tower) {
  const weights = parameters.get(`${tower}Weights`) ?? parameters.get('weights');
  return weights === null ? common : { ...common, weights };
}

document.getElementById('bundled').hidden = common.model !== 'halfclip-emoji';

const towers = new Towers({
  image: (hooks) => loadImageEncoder({ ...optionsFor('image'), ...hooks }),
  text: (hooks) => loadTextEncoder({ ...optionsFor('text'), ...hooks }),
});
const notices = createNotices(document.getElementById('notices'));
const announcements = document.getElementById('announcements');
const announce = (message) => (announcements.textContent = message);

createStatus(towers);
createFindPanel({ towers, notices, announce });
const compare = createComparePanel({ towers, notices, announce });
createTabs(document.querySelector('[role=tablist]'), { 'tab-compare': () => compare.show() });
