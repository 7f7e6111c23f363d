// The fields of a record in formats with columns: those that the first record has.

/** What a format cannot hold of one item. */
export class Unfit extends Error {}

/** What travels along with a vector; one of an earlier run does not. */
export function fieldsOf({ embedding: _, ...fields }) {
  return fields;
}

/** Throws if there are fields for which there is no column. */
export function checkColumns(fields, columns) {
  const name = Object.keys(fields).find((name) => !columns.includes(name));
  if (name !== undefined)
    throw new Unfit(
      `has the field ${JSON.stringify(name)}, which the first one had not: expected ${columns.join(', ')}`,
    );
}
