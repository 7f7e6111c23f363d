// The third panel: which model is used, which others can be, and what is kept on this machine.

import { formatBytes, formatLoading, formatTime } from './format.js';
import { FILES } from './models.js';
import { estimateSpeed } from './speed.js';

const byId = (id) => document.getElementById(id);

function element(tag, text, className = '') {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

/**
 * @param {object} parts
 * @param {string} [parts.hub]  where names of models are looked up, in place of Hugging Face's
 * @param {() => Promise<void>} parts.removeEverything
 */
export function createModelPanel({ library, hub, notices, announce, removeEverything, mayWrite }) {
  let loading = null; // what is asked for: { key } of a model that is listed, or another one
  let stopped; // why nothing of it comes
  const progress = byId('model-progress');

  async function render() {
    const models = await library.models();
    byId('models').replaceChildren(...models.map((model) => cardOf(model, models)));
    placeProgress();
    const { usage, quota, isKept } = await library.storage();
    byId('storage').textContent = isKept
      ? `${formatBytes(usage ?? 0)} are used${quota ? `, of ${formatBytes(quota)} that this browser allows` : ''}: small copies of pictures, their vectors, and towers of models.`
      : 'This browser gives the page no place to keep things (a private window does not): all of it goes when the page is closed.';
  }

  function cardOf(model, models) {
    const { key, label, about, size, bytes, part, speed, chosen } = model;
    const card = element('li', '', 'model');
    card.dataset.key = key;
    const head = element('h3', label);
    const facts = [];
    if (size) facts.push(`${size[0]} + ${size[1]} million parameters`);
    if (bytes) facts.push(`${formatBytes(bytes)} kept on this machine`);
    else if (key === 'halfclip-emoji') facts.push('comes with the page');
    else if (size)
      facts.push(
        `about ${size[0] + size[1]} MB kept after a download of up to ${formatBytes(4e6 * (size[0] + size[1]))}`,
      );
    for (const [kind, noun] of [
      ['image', 'picture'],
      ['text', 'text'],
    ]) {
      const estimate = estimateSpeed(model, models, kind);
      if (speed?.[kind]) facts.push(`${formatTime(speed[kind])} a ${noun} on this machine`);
      else if (estimate) facts.push(`about ${formatTime(estimate)} a ${noun} on this machine`);
    }
    card.append(head);
    if (about) card.append(element('p', about));
    card.append(element('p', facts.join(' · '), 'hint'));
    if (part) {
      const come = `${formatBytes(part.loaded)} of ${formatBytes(part.total)} are here: the download was cut off.`;
      card.append(element('p', come, 'part'));
    }
    const buttons = element('p', '', 'toolbar');
    if (chosen) buttons.append(element('span', 'In use', 'in-use'));
    else if (part) buttons.append(button('Continue', `Continue with ${label}`, () => choose({ key })));
    else buttons.append(button('Use', `Use ${label}`, () => choose({ key })));
    if (!chosen && (bytes || part))
      buttons.append(button('Remove', `Remove what is kept of ${label}`, () => remove(key, label)));
    card.append(buttons);
    return card;
  }

  function button(text, label, action) {
    const node = element('button', text);
    node.type = 'button';
    node.ariaLabel = label;
    node.addEventListener('click', action);
    return node;
  }

  async function choose(given) {
    if (loading || !mayWrite()) return;
    loading = given;
    notices.clear('model');
    placeProgress();
    showLoading('Asking for the model', {});
    try {
      await library.chooseModel(given);
      announce('The model is there. Pictures are read again in the background.');
    } catch (error) {
      if (error.name !== 'AbortError') notices.show('model', explain(error), { retry: () => choose(given) });
    } finally {
      loading = null;
      await render();
    }
  }

  /** How much has come stands with the model. */
  function placeProgress() {
    const card = [...byId('models').children].find(({ dataset }) => dataset.key === loading?.key);
    card?.querySelector('.part')?.remove(); // which says how much had come
    (card ?? byId('model-form')).append(progress);
    progress.hidden = !loading;
  }

  function showLoading(text, { loaded, total, stopped: why }) {
    stopped = why;
    byId('model-text').textContent = text;
    byId('model-pause').textContent = why === 'paused' ? 'Continue' : 'Pause';
    if (total) Object.assign(byId('model-bar'), { max: total, value: loaded });
    else byId('model-bar').removeAttribute('value');
  }

  function explain({ message, code }) {
    if (message.includes(FILES))
      return 'The file of this model is not at hand any more, and nothing of it is kept: choose it again.';
    const hint =
      code === 'http/network' && blocked
        ? ` This page's policy does not let it ask ${blocked}: start it with halfclip serve --connect ${blocked}.`
        : '';
    return `The model could not be loaded. ${message}${hint}`;
  }

  // Whom the policy keeps the page from asking. Its worker has a policy of its own and tells what it refused.
  let blocked = '';

  async function remove(key, label) {
    await library.removeModel(key);
    announce(`What was kept of ${label} is removed.`);
    await render();
  }

  byId('model-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const [file] = byId('model-file').files;
    const model = byId('model-name').value.trim();
    const weights = byId('model-weights').value.trim();
    if (file || model || weights) choose({ model, weights, file, hub });
    else byId('model-name').focus();
  });
  byId('model-pause').addEventListener('click', () =>
    stopped === 'paused' ? library.resumeLoads() : library.pauseLoads(),
  );
  byId('model-cancel').addEventListener('click', () => library.cancelLoads());
  byId('remove-everything').addEventListener('click', async (event) => {
    // Asked once more in the same place: what is removed is gone.
    const { target } = event;
    if (target.dataset.sure) {
      delete target.dataset.sure;
      target.textContent = 'Remove everything';
      await removeEverything();
      await render();
    } else {
      target.dataset.sure = 'asked';
      target.textContent = 'Yes, remove pictures, vectors and models';
    }
  });
  byId('remove-everything').addEventListener('blur', ({ target }) => {
    delete target.dataset.sure;
    target.textContent = 'Remove everything';
  });

  return {
    render,
    showBlocked(origin) {
      blocked = origin;
    },
    showTower({ kind, ...tower }) {
      if (loading && tower.state === 'loading') showLoading(formatLoading(tower, `Loading the ${kind} half`), tower);
    },
  };
}
