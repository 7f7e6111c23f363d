// How far indexing is: how many pictures, how fast, for how long still; and pause and cancel.

import { formatDuration, formatLoading, plural } from './format.js';

const byId = (id) => document.getElementById(id);

export function createProgress({ library, announce }) {
  let figures = { state: 'idle' };
  let loading = null; // the image tower, while it is loaded

  function render() {
    const { state, done, total, milliseconds } = figures;
    byId('progress').hidden = state === 'idle';
    if (state === 'idle') return;
    byId('pause').textContent = state === 'paused' ? 'Continue' : 'Pause';
    const bar = byId('progress-bar');
    if (loading && state === 'running') {
      bar.max = loading.total || 1;
      bar.value = loading.loaded;
      byId('progress-text').textContent = formatLoading(loading, 'Loading the image half');
      return;
    }
    bar.max = total;
    bar.value = done;
    const parts = [`${done.toLocaleString('en')} of ${plural(total, 'picture')}`];
    if (state === 'paused') parts.push('paused');
    else if (done > 0) {
      parts.push(`${(1000 / milliseconds).toFixed(milliseconds < 100 ? 0 : 1)} a second`);
      parts.push(`${formatDuration((total - done) * milliseconds)} left`);
    }
    byId('progress-text').textContent = parts.join(' · ');
  }

  byId('pause').addEventListener('click', () => (figures.state === 'paused' ? library.resume() : library.pause()));
  byId('cancel').addEventListener('click', async () => {
    const { removed } = await library.cancel();
    announce(`Cancelled. ${plural(removed, 'picture')} left out.`);
    byId('query').focus();
  });

  return {
    show(next) {
      if (figures.state === 'running' && next.state === 'idle') announce('All pictures are read. Type to find some.');
      figures = next;
      render();
    },
    showTower({ kind, ...tower }) {
      if (kind !== 'image') return;
      loading = tower.state === 'loading' ? tower : null;
      render();
    },
  };
}
