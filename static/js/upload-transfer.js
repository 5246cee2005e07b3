// One parcel on its way to the server, by tus-js-client (window.tus): goes on after a reload, a lost
// connection or a pause. Says "change" whenever something about it changed.

const WAITS = [200, 1000, 2000, 5000]; // ms between tries, the last for as long as it takes
const WINDOW = 5000; // ms over which the rate is taken

function csrfToken() {
  return document.cookie.match(/(?:^|; )mmfrm_csrf=([^;]+)/)?.[1] ?? "";
}

export class Transfer extends EventTarget {
  constructor(parcel, { endpoint, chunk, user }) {
    super();
    this.parcel = parcel;
    this.sent = 0;
    this.state = "sending"; // sending | paused | waiting | failed | done
    this.text = "";
    this.marks = [];
    this.tries = 0; // since bytes last arrived
    this.source = null;
    this.tus = new window.tus.Upload(parcel.file ?? parcel, {
      endpoint,
      chunkSize: chunk,
      retryDelays: null, // tried again here: two clocks would send the same bytes side by side
      metadata: { filename: parcel.name },
      removeFingerprintOnSuccess: true,
      fingerprint: async () => `mmfrm|${user}|${parcel.fingerprint}`,
      ...(parcel.file ? {} : { fileReader: { openFile: async () => this.opened() }, uploadSize: parcel.size }),
      onBeforeRequest: (request) => request.setHeader("X-CSRFToken", csrfToken()),
      onUploadUrlAvailable: () => { this.url = this.tus.url; this.say(); },
      onProgress: (sent) => this.progressed(sent),
      onSuccess: () => this.become("done"),
      onError: (error) => this.stumbled(error),
    });
    window.addEventListener("online", this.online = () => { if (this.state === "waiting") this.goOn(); });
  }

  get id() {
    return this.url?.split("/").pop() ?? null;
  }

  /** Bytes a second over the last few seconds; null while unknown. */
  get rate() {
    const [first] = this.marks;
    const last = this.marks[this.marks.length - 1];
    if (!first || last.at - first.at < 300) return null;
    return (1000 * (last.sent - first.sent)) / (last.at - first.at);
  }

  get secondsLeft() {
    return this.rate ? (this.parcel.size - this.sent) / this.rate : null;
  }

  async start() {
    try {
      const [earlier] = await this.tus.findPreviousUploads();
      if (earlier) {
        this.tus.resumeFromPreviousUpload(earlier);
        this.url = earlier.uploadUrl;
      }
      this.tus.start();
    } catch (error) {
      this.stumbled(error);
    }
  }

  pause() {
    clearTimeout(this.timer);
    this.tus.abort();
    this.become("paused");
  }

  goOn() {
    clearTimeout(this.timer);
    this.marks = [];
    if (this.state !== "waiting") this.become("sending"); // a try that may fail again is no news
    this.tus.abort(); // a try that is on its way
    if (this.url) this.tus.url = this.url; // tus-js-client forgets it when it is refused, as when signed out
    this.tus.start();
  }

  /** Stop, and have the server forget it. */
  async discard() {
    clearTimeout(this.timer);
    window.removeEventListener("online", this.online);
    await this.tus.abort();
    await this.forget();
    if (this.url) await discard(this.url);
  }

  /** Have the browser forget where this upload is. */
  async forget() {
    const { fingerprint, urlStorage } = this.tus.options;
    for (const earlier of await urlStorage.findUploadsByFingerprint(await fingerprint())) {
      await urlStorage.removeUpload(earlier.urlStorageKey);
    }
  }

  /** Have the browser know again where this upload is: tus-js-client forgets it when it is refused. */
  async remember() {
    if (!this.url) return;
    const { fingerprint, metadata, urlStorage } = this.tus.options;
    const mark = await fingerprint();
    const known = await urlStorage.findUploadsByFingerprint(mark);
    if (known.some(({ uploadUrl }) => uploadUrl === this.url)) return;
    const { size } = this.parcel;
    await urlStorage.addUpload(mark, { size, metadata, creationTime: String(new Date()), uploadUrl: this.url });
  }

  opened() {
    this.source ??= this.parcel.open();
    return this.source;
  }

  progressed(sent) {
    const now = performance.now();
    if (sent > this.sent) this.tries = 0;
    this.sent = sent;
    this.marks.push({ at: now, sent });
    while (this.marks.length > 2 && now - this.marks[0].at > WINDOW) this.marks.shift();
    if (this.state === "waiting") this.become("sending");
    else this.say();
  }

  stumbled(error) {
    if (this.state === "paused") return;
    if (isWorthAnotherTry(error)) {
      this.become("waiting");
      this.timer = setTimeout(() => this.goOn(), WAITS[Math.min(this.tries, WAITS.length - 1)]);
      this.tries += 1;
      return;
    }
    // somebody signed out signs in again, and the page with this transfer may be gone by then
    if ([401, 403].includes(error.originalResponse?.getStatus())) this.remember().catch(() => {});
    this.become("failed", reasonOf(error));
  }

  become(state, text = "") {
    this.state = state;
    this.text = text;
    if (state === "done") {
      this.sent = this.parcel.size;
      window.removeEventListener("online", this.online);
      this.forget().catch(() => {}); // also what `remember` noted
    }
    this.say();
  }

  say() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A cut connection, a server that restarts, or another connection that has not ended yet. */
function isWorthAnotherTry(error) {
  if (!error.originalRequest) return false; // not the connection: a file that cannot be read
  const status = error.originalResponse?.getStatus() ?? 0;
  return status === 0 || [408, 409, 423, 429].includes(status) || (status >= 500 && status !== 507);
}

function reasonOf(error) {
  const response = error.originalResponse;
  if (response && /^text\/plain/.test(response.getHeader("Content-Type") ?? "")) return response.getBody();
  if (response) return `The server refused it (${response.getStatus()}). Reload the page and try again.`;
  if (error.name === "NotReadableError" || error.name === "NotFoundError") {
    return "A file was changed or moved while it was sent. Choose it again.";
  }
  return `It could not be sent (${error.message}).`;
}

/** Have the server forget an upload. True where it did, or had already. */
export async function discard(url) {
  const headers = { "Tus-Resumable": "1.0.0", "X-CSRFToken": csrfToken() };
  const response = await fetch(url, { method: "DELETE", headers });
  return response.ok || [404, 410].includes(response.status);
}
