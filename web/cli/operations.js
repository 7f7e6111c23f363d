// A profile as people and programs read it: figures of each operation, those of layers that are alike together.

/** 10^9 multiplications and additions a second. */
const speedOf = ({ multiplications, milliseconds }) => (milliseconds ? (2 * multiplications) / milliseconds / 1e6 : 0);

const sum = (operations, key) => operations.reduce((total, operation) => total + operation[key], 0);

/**
 * A profile as one object.
 * @param {object} info of the encoder
 * @param {{ runs: number, frames?: number, operations: object[] }} profile from profileTower()
 */
export function summarize({ model, tower, dtype, simd, threads }, { runs, frames, operations }) {
  const total = { multiplications: sum(operations, 'multiplications'), milliseconds: sum(operations, 'milliseconds') };
  const complete = (operation) => {
    const share = total.milliseconds ? operation.milliseconds / total.milliseconds : 0;
    return { ...operation, gops: speedOf(operation), share };
  };
  return {
    model,
    tower,
    dtype,
    simd,
    threads,
    runs,
    ...(frames && { frames }),
    ...total,
    gops: speedOf(total),
    operations: operations.map(complete),
  };
}

/**
 * Operations of the same kind and shape, whose names differ in nothing but numbers, as one with their sums.
 * @returns {object[]} with `count`, how many each stands for; in the order of the first of each
 */
export function foldLayers(operations) {
  const groups = new Map();
  for (const operation of operations) {
    const { kind, name, rows, height, width, n, k } = operation;
    const key = [kind, name.replace(/\d+/g, '*'), rows, height, width, n, k].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), operation]);
  }
  return [...groups.values()].map((group) => {
    const [multiplications, milliseconds, share] = ['multiplications', 'milliseconds', 'share'].map((key) =>
      sum(group, key),
    );
    const folded = { ...group[0], name: commonName(group), count: group.length, multiplications, milliseconds, share };
    return { ...folded, gops: speedOf(folded) };
  });
}

/** Their name, with * for the numbers in which they differ. */
function commonName(group) {
  const split = group.map(({ name }) => name.split(/(\d+)/));
  return split[0].map((part, i) => (split.every((parts) => parts[i] === part) ? part : '*')).join('');
}

/** The lines of a table. */
export function tableOf(operations) {
  const figure = (number, digits) => (number ? number.toFixed(digits) : '');
  const rows = operations.map(({ name, kind, count = 1, multiplications, milliseconds, gops, share, ...shape }) => [
    name.replace(/[._]+$/, ''),
    count > 1 ? `${count} ×` : '',
    kind,
    shapeOf(shape),
    figure(multiplications / 1e6, 1),
    milliseconds.toFixed(3),
    figure(gops, 1),
    `${(100 * share).toFixed(1)} %`,
  ]);
  return [['operation', '', 'kind', 'rows × n × k', '10⁶ mult.', 'ms', 'GOP/s', 'share'], ...rows];
}

const shapeOf = ({ rows, height, width, n, k }) =>
  [height ? `(${height} × ${width})` : String(rows), n, k].filter(Boolean).join(' × ');
