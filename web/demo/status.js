// The line at the foot of the page: which tower is in memory, and what it costs.

import { formatBytes, formatLoading, formatTime } from './format.js';

const NOUNS = { image: 'picture', text: 'text' };

/** Texts by the names that the style sheet knows them by: a narrow screen leaves some out. */
function describe(kind, tower) {
  const { state, info, milliseconds } = tower;
  if (state === 'absent') return { state: 'not loaded yet' };
  if (state === 'failed') return { state: 'could not be loaded' };
  if (state === 'loading') return { state: formatLoading(tower) };
  return {
    state: state === 'ready' ? `${formatBytes(info.memoryBytes)} in memory` : 'released',
    fetched: ` · ${info.cached ? 'kept from before' : `${formatBytes(info.fetchedBytes)} fetched`}`,
    time: milliseconds === undefined ? '' : ` · ${formatTime(milliseconds)} a ${NOUNS[kind]}`,
  };
}

function describeWhole({ image, text }) {
  const info = (image?.state === 'ready' ? image : text)?.info ?? image?.info;
  if (!info) return '';
  const parts = [info.dtype, info.simd === 'relaxed' ? 'relaxed SIMD' : 'SIMD'];
  if (info.threads > 1) parts.push(`${info.threads} threads`);
  if (image?.info && text?.info)
    parts.push(`both at fp32: ${formatBytes(4 * (image.info.parameters + text.info.parameters))}`);
  return parts.join(' · ');
}

export function createStatus() {
  let figures = {};
  let drawing;

  function render() {
    drawing = undefined;
    for (const kind of ['image', 'text']) {
      const line = document.getElementById(`tower-${kind}`);
      const tower = figures[kind] ?? { state: 'absent' };
      line.dataset.state = tower.state;
      line.querySelector('.figures').replaceChildren(
        ...Object.entries(describe(kind, tower)).map(([name, text]) => {
          const span = document.createElement('span');
          span.className = name;
          span.textContent = text;
          return span;
        }),
      );
    }
    document.getElementById('whole').textContent = describeWhole(figures);
  }

  const soon = () => (drawing ??= requestAnimationFrame(render));
  return {
    show({ kind, ...tower }) {
      figures[kind] = tower;
      soon();
    },
    /** Another model: nothing of it is loaded. */
    reset() {
      figures = {};
      soon();
    },
  };
}
