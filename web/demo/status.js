// The line at the foot of the page: which tower is in memory, and what it costs.

import { formatBytes, formatTime } from './format.js';

const NOUNS = { image: 'picture', text: 'text' };

/** Texts by the names that the style sheet knows them by: a narrow screen leaves some out. */
function describe(towers, kind) {
  const { state, loaded, total, info } = towers.figures[kind];
  if (state === 'absent') return { state: 'not loaded yet' };
  if (state === 'failed') return { state: 'could not be loaded' };
  if (state === 'loading')
    return { state: total > 0 ? `loading, ${formatBytes(loaded)} of ${formatBytes(total)}` : 'loading' };
  const milliseconds = towers.milliseconds(kind);
  return {
    state: state === 'ready' ? `${formatBytes(info.memoryBytes)} in memory` : 'released',
    fetched: ` · ${formatBytes(info.fetchedBytes)} fetched`,
    time: milliseconds === undefined ? '' : ` · ${formatTime(milliseconds)} a ${NOUNS[kind]}`,
  };
}

function describeWhole({ image, text }) {
  const info = (image.state === 'ready' ? image : text).info ?? image.info;
  if (!info) return '';
  const parts = [info.dtype, info.simd === 'relaxed' ? 'relaxed SIMD' : 'SIMD'];
  if (info.threads > 1) parts.push(`${info.threads} threads`);
  if (image.info && text.info)
    parts.push(`both at fp32: ${formatBytes(4 * (image.info.parameters + text.info.parameters))}`);
  return parts.join(' · ');
}

/** @param {import('./towers.js').Towers} towers */
export function createStatus(towers) {
  const lines = ['image', 'text'].map((kind) => {
    const line = document.getElementById(`tower-${kind}`);
    return { kind, line, figures: line.querySelector('.figures') };
  });
  const whole = document.getElementById('whole');
  let scheduled = false;

  function render() {
    scheduled = false;
    for (const { kind, line, figures } of lines) {
      line.dataset.state = towers.figures[kind].state;
      figures.replaceChildren(
        ...Object.entries(describe(towers, kind)).map(([name, text]) => {
          const span = document.createElement('span');
          span.className = name;
          span.textContent = text;
          return span;
        }),
      );
    }
    whole.textContent = describeWhole(towers.figures);
  }

  towers.onChange(() => {
    if (!scheduled) requestAnimationFrame(render);
    scheduled = true;
  });
}
