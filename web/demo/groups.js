// Groups out of pairs: what is alike by way of others is of one group.

/**
 * @template T
 * @param {{ ids: [T, T] }[]} pairs
 * @param {T[]} [all]  also those that are like nothing else, each a group of its own
 * @returns {T[][]} the largest first
 */
export function grouped(pairs, all = []) {
  const groups = new Map(all.map((id) => [id, [id]]));
  for (const {
    ids: [a, b],
  } of pairs) {
    const one = groups.get(a) ?? [a];
    const other = groups.get(b) ?? [b];
    if (one === other) continue;
    const [large, small] = one.length < other.length ? [other, one] : [one, other];
    large.push(...small);
    for (const id of [a, b, ...small]) groups.set(id, large);
  }
  return [...new Set(groups.values())].sort((a, b) => b.length - a.length);
}
