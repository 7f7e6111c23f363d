// What is shown as a file: names, a table, or an index that halfclip/index and `halfclip search` read.

const byId = (id) => document.getElementById(id);

/** A field of CSV (RFC 4180). */
export const csvField = (value) =>
  /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);

export const csv = (rows) => rows.map((row) => row.map(csvField).join(',')).join('\r\n') + '\r\n';

/** Hands a file to the visitor. */
export function download(name, ...parts) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function createExport({ library, album, finder, grid, notices }) {
  /** What is selected, else all that is shown. */
  function pictures() {
    const selected = grid.selection();
    if (selected.length > 0) return selected.map(({ id, score }) => ({ ...album.get(id), score }));
    return Array.from(finder.shown.ids, (id, i) => ({ ...album.get(id), score: finder.shown.scores?.[i] }));
  }

  byId('export-names').addEventListener('click', () => {
    download(
      'pictures.txt',
      pictures()
        .map(({ path }) => `${path}\n`)
        .join(''),
    );
  });
  byId('export-csv').addEventListener('click', () => {
    const date = (modified) => (modified ? new Date(modified).toISOString() : '');
    const rows = pictures().map(({ path, name, size, modified, score }) => [
      path,
      name,
      size,
      date(modified),
      score ?? '',
    ]);
    download('pictures.csv', csv([['path', 'name', 'bytes', 'modified', 'score'], ...rows]));
  });
  byId('export-index').addEventListener('click', async () => {
    try {
      const entries = pictures().map(({ id, path, size, modified }) => ({
        id,
        name: path,
        data: { size, time: modified },
      }));
      download('pictures.index', await library.exportIndex(entries));
    } catch (error) {
      notices.show('export', error.message);
    }
  });
}
