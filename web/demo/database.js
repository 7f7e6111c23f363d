// What is known of pictures, folders and models, in IndexedDB; each write is one transaction, so that it is whole or not
// there. Where a browser has none (a private window), it lasts as long as the page.

const NAME = 'halfclip-pictures';
const STORES = { pictures: 'id', folders: 'id', models: 'key', settings: 'key' };

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @returns {Promise<Database | MemoryDatabase>} */
export async function openDatabase() {
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      for (const [store, keyPath] of Object.entries(STORES)) request.result.createObjectStore(store, { keyPath });
    };
    return new Database(await done(request));
  } catch {
    return new MemoryDatabase();
  }
}

class Database {
  #database;

  constructor(database) {
    this.#database = database;
    database.onversionchange = () => database.close(); // a newer page wants to change it
  }

  /** All entries of a store, in the order of their keys. */
  all(store) {
    return done(this.#database.transaction(store).objectStore(store).getAll());
  }

  /** @param {Record<string, { put?: object[], remove?: any[], clear?: boolean }>} changes by store */
  write(changes) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(Object.keys(changes), 'readwrite');
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      for (const [name, { put = [], remove = [], clear }] of Object.entries(changes)) {
        const store = transaction.objectStore(name);
        if (clear) store.clear();
        for (const entry of put) store.put(entry);
        for (const key of remove) store.delete(key);
      }
    });
  }
}

class MemoryDatabase {
  #stores = new Map(Object.keys(STORES).map((name) => [name, new Map()]));

  async all(store) {
    return [...this.#stores.get(store).values()];
  }

  async write(changes) {
    for (const [name, { put = [], remove = [], clear }] of Object.entries(changes)) {
      const store = this.#stores.get(name);
      if (clear) store.clear();
      for (const entry of put) store.set(entry[STORES[name]], entry);
      for (const key of remove) store.delete(key);
    }
  }
}
