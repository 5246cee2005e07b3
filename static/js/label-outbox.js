// What somebody said of faces, until the server has it. Each answer is sent at once and written to the browser's
// disk meanwhile; `add` tells when either has it, and only then does a page go on. So closing the tab, a killed
// browser or a lost connection loses none. Answers carry a key: sending one twice keeps it once.
import { read, remove, write } from "./label-store.js";

const SERVER_MS = 50; // how long the server is waited for, where the disk has the answer already
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
const MOST_ROWS = 150; // some 40 kB: browsers keep at most 64 kB alive behind a closed tab

export const SIGNED_OUT = "You were signed out. Sign in again in another tab; your answers wait here.";

export function csrfToken() {
  return document.cookie.match(/(?:^|; )mmfrm_csrf=([^;]+)/)?.[1] ?? "";
}

/** A UUID; crypto.randomUUID exists only where the page came over HTTPS or from this machine. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** POST JSON, get JSON. An answer that is none (a sign-in page, an error) is an Error with a `status`. */
export async function post(url, data) {
  const answer = await fetch(url, {
    method: "POST",
    keepalive: true, // what is on its way arrives, also when the tab is closed meanwhile
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(data),
  });
  const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
  if (!answer.ok || answer.redirected || !isJson) {
    throw Object.assign(new Error(`answered ${answer.status}`), { status: answer.redirected ? 401 : answer.status });
  }
  return answer.json();
}

/** The keys of answers that the server did not keep, and never will. */
export function refused({ fates }) {
  return new Set(Object.keys(fates).filter((key) => ["overtaken", "gone"].includes(fates[key])));
}

/** Answers on their way. Events: "change" (how many wait), "sent" ({fates, standing}), "trouble" ({status}). */
export class Outbox extends EventTarget {
  constructor({ batch, user, say }) {
    super();
    this.prefix = `${user}:${batch}:`;
    this.url = say;
    this.tries = 0;
    this.count = 0;
    this.isSending = false;
    this.timer = 0;
    this.rows = new Map(); // by names that sort in the order of saying
    this.arrived = new Map(); // what to call when the server has a row
    this.unstored = new Set(); // where the browser's storage is full or forbidden
    this.ready = this.load();
    addEventListener("online", () => this.flush());
    addEventListener("beforeunload", (event) => {
      if (this.unstored.size) event.preventDefault(); // these alone would be lost
    });
  }

  /** What an earlier page could not send. */
  async load() {
    try {
      for (const [name, row] of await read(this.prefix)) this.rows.set(name, row);
    } catch {
      // no storage: nothing waits
    }
    if (this.rows.size) this.changed();
    this.flush();
  }

  /** Keep an answer and send it: its key, and a promise that settles when it cannot be lost any more. */
  add(said) {
    const key = uuid();
    this.count += 1;
    const name = this.prefix + `${Date.now()}`.padStart(15, "0") + `${this.count}`.padStart(6, "0") + key;
    const row = { key, said_at: new Date().toISOString(), ...said };
    this.rows.set(name, row);
    this.unstored.add(name);
    const stored = write(name, row).then(() => {
      this.unstored.delete(name);
      if (!this.rows.has(name)) remove(name).catch(() => {}); // it arrived before it was written
    }, () => {});
    const arrived = new Promise((resolve) => this.arrived.set(name, resolve));
    const isReached = navigator.onLine && !this.tries; // or waiting for the server would only cost time
    const waited = isReached ? new Promise((resolve) => setTimeout(resolve, SERVER_MS)) : null;
    this.changed();
    this.flush();
    return { key, safe: Promise.race([arrived, Promise.all([stored, waited])]) };
  }

  /** Rows that wait, in the order they were said. */
  waiting() {
    return [...this.rows.keys()].sort().map((name) => this.rows.get(name));
  }

  async flush() {
    if (this.isSending) return;
    clearTimeout(this.timer);
    const names = [...this.rows.keys()].sort().slice(0, MOST_ROWS);
    if (!names.length) return;
    const rows = names.map((name) => this.rows.get(name));
    this.isSending = true;
    let isEarly = false;
    try {
      const told = await post(this.url, { rows, sent_at: new Date().toISOString() }); // its clock may be wrong
      names.forEach((name, at) => {
        const fate = told.fates[rows[at].key];
        if (!fate || fate === "early") isEarly = true;
        else this.forget(name);
      });
      this.forgetUndone(refused(told));
      this.tries = isEarly ? this.tries + 1 : 0;
      this.dispatchEvent(new CustomEvent("sent", { detail: told }));
    } catch (error) {
      this.tries += 1;
      this.dispatchEvent(new CustomEvent("trouble", { detail: { status: error.status ?? 0 } }));
    } finally {
      this.isSending = false;
    }
    this.changed();
    if (this.tries) this.timer = setTimeout(() => this.flush(), RETRY_MS[Math.min(this.tries, RETRY_MS.length) - 1]);
    else if (this.rows.size) this.flush();
  }

  forget(name) {
    this.rows.delete(name);
    if (!this.unstored.delete(name)) remove(name).catch(() => {});
    this.arrived.get(name)?.();
    this.arrived.delete(name);
  }

  /** What would take back something that was refused, and so is nowhere to be taken back. */
  forgetUndone(keys) {
    for (const [name, row] of this.rows) if (keys.has(row.undoes)) this.forget(name);
  }

  changed() {
    this.dispatchEvent(new CustomEvent("change", { detail: this.rows.size }));
  }
}
