// Draws the benchmark as SVG: for each figure the peer's time as a full bar, ours on top of it at the same scale.

const WIDTH = 800;
const LEFT = 270;
const RIGHT = 240;
const ROW = 26;
const TOP = 44;

const escape = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
const time = (ms) => (ms >= 100 ? ms.toFixed(0) : ms.toFixed(1));

/**
 * @param {string} title
 * @param {{ label: string, ours: number, peer: number }[]} rows in ms
 */
function plot(title, rows) {
  const bar = WIDTH - LEFT - RIGHT;
  const height = TOP + rows.length * ROW + 12;
  const drawn = rows.map(({ label, ours, peer }, i) => {
    const y = TOP + i * ROW;
    const scale = bar / Math.max(ours, peer);
    return `  <text x="${LEFT - 10}" y="${y + 14}" text-anchor="end">${escape(label)}</text>
  <rect class="peer" x="${LEFT}" y="${y}" width="${(peer * scale).toFixed(1)}" height="18" rx="2"/>
  <rect class="ours" x="${LEFT}" y="${y}" width="${(ours * scale).toFixed(1)}" height="18" rx="2"/>
  <text x="${WIDTH - RIGHT + 10}" y="${y + 14}">${time(ours)} ms against ${time(peer)} ms, ${(peer / ours).toFixed(1)} ×</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
  <style>
    text { fill: #222 } .peer { fill: #ccc } .ours { fill: #1668c7 }
    @media (prefers-color-scheme: dark) { text { fill: #ddd } .peer { fill: #555 } .ours { fill: #58a6ff } }
  </style>
  <text x="10" y="22" font-size="14" font-weight="bold">${escape(title)}</text>
${drawn.join('\n')}
</svg>
`;
}

const PLOTTED = /^(image|text, (8|77) tokens|(image|text): load.*)$/;

/**
 * The rows of bench.json that say most: on one thread, in Chromium or else where there are any; loads of the first
 * model.
 * @param {object[]} rows
 * @param {string} version of onnxruntime
 */
export function plotRows(rows, version) {
  const usable = rows.filter(
    (row) =>
      row.unit === 'ms' &&
      row.threads === Math.min(...rows.map(({ threads }) => threads)) &&
      row['onnxruntime-web'] &&
      PLOTTED.test(row.what),
  );
  const place = usable.some((row) => row.place === 'chromium') ? 'chromium' : usable[0]?.place;
  const models = [...new Set(rows.map(({ model }) => model))];
  const drawn = usable
    .filter((row) => row.place === place && (row.model === models[0] || !/load/.test(row.what)))
    .map((row) => ({
      label: `${models.length > 1 ? `${row.model}, ` : ''}${row.dtype} ${row.what}`,
      ours: row.halfclip.best,
      peer: row['onnxruntime-web'].best,
    }));
  const where = { node: 'Node.js', chromium: 'Chromium' }[place];
  return plot(`${models.join(', ')} in ${where}: halfclip (blue) and onnxruntime-web ${version}, one thread`, drawn);
}
