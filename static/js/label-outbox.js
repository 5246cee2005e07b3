// What somebody said of faces, until the server has it. Each answer is an item of its own in localStorage
// before anything else happens: closing the tab, a crash or a lost connection loses none. Answers carry a key,
// so that sending one twice keeps it once.

const RETRY_MS = [500, 1000, 2000, 5000, 10000];
const MOST_ROWS = 150; // some 40 kB: browsers keep at most 64 kB alive behind a closed tab

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

/** Answers on their way. Events: "change" (how many wait), "sent" ({fates, standing}), "trouble" ({status}). */
export class Outbox extends EventTarget {
  constructor({ batch, user, say }) {
    super();
    this.prefix = `mmfrm-review:${user}:${batch}:`;
    this.url = say;
    this.tries = 0;
    this.count = 0;
    this.isSending = false;
    this.timer = 0;
    this.unstored = new Map(); // where the browser's storage is full or forbidden
    addEventListener("online", () => this.flush());
    addEventListener("beforeunload", (event) => {
      if (this.unstored.size) event.preventDefault(); // these alone would be lost
    });
  }

  /** Keep an answer and send it; returns its key. */
  add(row) {
    const key = uuid();
    this.count += 1;
    const order = `${Date.now()}`.padStart(15, "0") + `${this.count}`.padStart(6, "0");
    const name = `${this.prefix}${order}:${key}`;
    const text = JSON.stringify({ key, said_at: new Date().toISOString(), ...row });
    try {
      localStorage.setItem(name, text);
    } catch {
      this.unstored.set(name, text);
    }
    this.changed();
    this.flush();
    return key;
  }

  /** Rows that wait, in the order they were said, by the name they are stored under. */
  waiting() {
    const stored = Object.keys(localStorage).filter((name) => name.startsWith(this.prefix));
    const rows = [...stored.map((name) => [name, localStorage.getItem(name)]), ...this.unstored];
    return rows.filter(([, text]) => text).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => [name, JSON.parse(text)]);
  }

  async flush() {
    if (this.isSending) return;
    clearTimeout(this.timer);
    const rows = this.waiting().slice(0, MOST_ROWS);
    if (!rows.length) return;
    this.isSending = true;
    let isEarly = false;
    try {
      const told = await post(this.url, { rows: rows.map(([, row]) => row) });
      for (const [name, row] of rows) {
        const fate = told.fates[row.key];
        if (!fate || fate === "early") isEarly = true;
        else this.forget(name);
      }
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
    else if (this.waiting().length) this.flush();
  }

  forget(name) {
    localStorage.removeItem(name);
    this.unstored.delete(name);
  }

  changed() {
    this.dispatchEvent(new CustomEvent("change", { detail: this.waiting().length }));
  }
}
