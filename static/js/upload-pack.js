// Many files as one stored zip, made while it is sent: nothing is held but the piece on its way.
import { makeZip, predictLength } from "../vendor/client-zip/client-zip.js";

const CLUTTER = /(^|\/)(\.[^/]*|__MACOSX|@eaDir|Thumbs\.db|desktop\.ini)(\/|$)/i;
const ARCHIVE = /\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$/i;
const NOT_READ = /\.(7z|rar)$/i;

/** Something to send: a file as it is, or many as one zip. `source` is what tus reads. */
class Parcel {
  constructor({ name, size, mark, file = null, files = null }) {
    Object.assign(this, { name, size, mark, file, files });
  }

  /** What tells this parcel from others, also after a reload. */
  get fingerprint() {
    return `${this.name}|${this.size}|${this.mark}`;
  }

  open() {
    return this.file ? null : new ZipSource(this.files, this.size);
  }
}

/**
 * Files as people chose them -> parcels. `chosen` is [{ file, path }].
 * Throws an Error whose text is for people.
 */
export function parcels(chosen, { multiple = false } = {}) {
  const files = chosen.filter(({ path }) => !CLUTTER.test(path));
  if (!files.length) throw new Error("There are no files in what you chose.");
  const unread = files.find(({ path }) => NOT_READ.test(path));
  if (unread && files.length === 1) {
    throw new Error(`${unread.path} is of a kind that is not read here. Unpack it, and drop the folder or a zip.`);
  }
  if (files.every(({ path }) => ARCHIVE.test(path))) {
    if (files.length > 1 && !multiple) throw new Error("Choose one archive at a time, or photos.");
    return files.map(({ file }) => asItIs(file));
  }
  return [packed(files)];
}

function asItIs(file) {
  return new Parcel({ name: file.name, size: file.size, mark: file.lastModified, file });
}

function packed(files) {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const size = Number(predictLength(sorted.map(({ file, path }) => ({ name: path, size: file.size }))));
  const mark = digest(sorted.map(({ file, path }) => `${path}|${file.size}|${file.lastModified}`).join("\n"));
  return new Parcel({ name: nameOf(sorted), size, mark, files: sorted });
}

function nameOf(files) {
  const top = new Set(files.map(({ path }) => (path.includes("/") ? path.split("/")[0] : "")));
  const [folder] = top;
  if (top.size === 1 && folder) return `${folder}.zip`;
  return files.length === 1 ? `${files[0].path.replace(/\.\w+$/, "")}.zip` : `${files.length} files.zip`;
}

/** A 53-bit digest (cyrb53). Not for safety: crypto.subtle is missing on plain http in a lab's network. */
function digest(text) {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}

/** The zip of some files as tus-js-client reads a source: any slice, going back by making it again. */
class ZipSource {
  constructor(files, size) {
    this.files = files;
    this.size = size;
    this.begin();
  }

  begin() {
    const entries = this.files.map(({ file, path }) => ({
      name: path, input: file, lastModified: new Date(file.lastModified),
    }));
    this.reader = makeZip(entries).getReader();
    this.parts = [];
    this.from = 0; // where the first held byte is in the zip
    this.held = 0;
  }

  async slice(start, end) {
    const stop = Math.min(end, this.size);
    if (start < this.from) {
      this.close();
      this.begin();
    }
    this.forget(start);
    while (this.from + this.held < stop) {
      const { value, done } = await this.reader.read();
      if (done) break;
      this.parts.push(value);
      this.held += value.length;
      this.forget(start);
    }
    const value = new Blob(this.parts).slice(start - this.from, stop - this.from);
    return { value, done: stop >= this.size };
  }

  /** Let go of what lies before `start`. */
  forget(start) {
    while (this.parts.length && this.from + this.parts[0].length <= start) {
      const { length } = this.parts.shift();
      this.from += length;
      this.held -= length;
    }
  }

  close() {
    this.reader.cancel().catch(() => {}); // a file that could not be read has ended it already
  }
}

/** What was dropped -> [{ file, path }], folders walked through. `onCount` hears how many were found. */
export async function dropped(dataTransfer, onCount) {
  // entries must be taken before the first wait: the list is empty afterwards
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...dataTransfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await walk(entry, found, onCount);
  return found;
}

async function walk(entry, found, onCount) {
  const path = entry.fullPath.replace(/^\//, "");
  if (CLUTTER.test(path)) return;
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    if (found.length % 500 === 0) onCount(found.length);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // a hundred at a time, until none come
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await walk(child, found, onCount);
  }
}

/** What an <input type="file"> holds -> [{ file, path }]. */
export function picked(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}
