// Sockets that outlive the connection. The server replays a job's events after the last seq that we
// have, so a reload, a reconnect and a lost message all end in the same state.

const NO_PERMISSION = 4403; // the server's word that this session, or whoever has it, may not listen
const SHORTEST = 500; // ms between tries, doubled up to
const LONGEST = 10_000;
const PATIENCE = 2_000; // ms without connection before the banner shows

const sockets = new Set();
let bannerTimer = null;

function showConnection() {
  const banner = document.getElementById("offline");
  const isLost = !navigator.onLine || [...sockets].some((socket) => socket.isLost);
  if (!isLost) {
    clearTimeout(bannerTimer);
    bannerTimer = null;
    banner.hidden = true;
  } else if (bannerTimer === null) {
    bannerTimer = setTimeout(() => { banner.hidden = false; }, PATIENCE);
  }
}

window.addEventListener("online", () => {
  for (const socket of sockets) socket.retryNow();
  showConnection();
});
window.addEventListener("offline", showConnection);

/** A WebSocket to `address()` that is opened again whenever it closes. */
class LastingSocket {
  constructor(address, onMessage, onRefused) {
    this.address = address;
    this.onMessage = onMessage;
    this.onRefused = onRefused;
    this.wait = SHORTEST;
    this.isLost = false;
    sockets.add(this);
    this.open();
  }

  open() {
    this.hasHeard = false; // anything, on this connection
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}${this.address()}`);
    this.socket.addEventListener("open", () => this.connected());
    this.socket.addEventListener("message", (event) => this.heard(event.data));
    this.socket.addEventListener("close", (event) => this.closed(event.code));
  }

  connected() {
    this.wait = SHORTEST;
    this.isLost = false;
    showConnection();
  }

  heard(data) {
    this.hasHeard = true;
    this.onMessage(JSON.parse(data));
  }

  closed(code) {
    if (!sockets.has(this)) return;
    if (code === NO_PERMISSION) {
      // A new password gives its browser another cookie, with which the other pages may listen again. Who is
      // refused before having heard anything is refused for good.
      if (this.hasHeard) {
        this.open();
        return;
      }
      this.end();
      this.onRefused?.();
      return;
    }
    this.isLost = true;
    showConnection();
    // a little chance, so that not every browser comes back in the same moment
    this.timer = setTimeout(() => this.open(), this.wait * (0.75 + 0.5 * Math.random()));
    this.wait = Math.min(2 * this.wait, LONGEST);
  }

  retryNow() {
    if (!this.isLost) return;
    clearTimeout(this.timer);
    this.wait = SHORTEST;
    this.open();
  }

  end() {
    sockets.delete(this);
    clearTimeout(this.timer);
    this.socket.close();
    showConnection();
  }
}

/**
 * Follow one job. `onSnapshot(job)` gets the head of its page whenever it changed, `onEvents(events)`
 * every event after `after`, in order and each seq once. Answers a function that ends it.
 */
export function follow(jobId, { onSnapshot, onEvents, onRefused, after = 0 } = {}) {
  let seq = after;
  const receive = ({ job, events }) => {
    const fresh = events.filter((event) => event.seq > seq);
    if (fresh.length) seq = fresh[fresh.length - 1].seq;
    if (fresh.length) onEvents?.(fresh);
    onSnapshot?.(job);
  };
  const socket = new LastingSocket(() => `/ws/jobs/${jobId}/?after=${seq}`, receive, onRefused);
  return () => socket.end();
}

/**
 * Call `onEnds({until, ended})` when jobs of one's own have finished or failed after the moment `after`;
 * without one, from now on. Answers a function that ends it.
 */
export function followEnds(onEnds, after) {
  let until = after;
  const receive = (message) => {
    until = message.until;
    onEnds(message);
  };
  const socket = new LastingSocket(() => `/ws/ends/?after=${encodeURIComponent(until)}`, receive);
  return () => socket.end();
}

/**
 * Call `onChange` when any job has changed, at most once a second; and once when the session has ended: what
 * a list then fetches leads to sign in. Answers a function that ends it.
 */
export function followAll(onChange) {
  const socket = new LastingSocket(() => "/ws/jobs/", onChange, onChange);
  return () => socket.end();
}
