// Answers on the disk of this browser. IndexedDB says when a write is done: what it has then survives a killed
// browser, and with "strict" durability a power cut too; localStorage is written to disk seconds later.

const NAME = "mmfrm-review";
const ANSWERS = "answers";

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(ANSWERS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
  return opened;
}

async function transaction(mode, use, durability = "default") {
  const database = await open();
  return new Promise((resolve, reject) => {
    const running = database.transaction(ANSWERS, mode, { durability });
    const request = use(running.objectStore(ANSWERS));
    running.oncomplete = () => resolve(request.result);
    running.onabort = running.onerror = () => reject(running.error);
  });
}

/** Write a row under a name; settles when it is on the disk, rejects where the browser keeps nothing. */
export const write = (name, row) => transaction("readwrite", (store) => store.put(row, name), "strict");

export const remove = (name) => transaction("readwrite", (store) => store.delete(name), "relaxed");

/** Rows whose names begin so, as [name, row] by name. */
export async function read(prefix) {
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  const [names, rows] = await Promise.all([
    transaction("readonly", (store) => store.getAllKeys(range)),
    transaction("readonly", (store) => store.getAll(range)),
  ]);
  return names.map((name, at) => [name, rows[at]]);
}
