// How far a review is, how fast, and how long the rest takes.

const PACE_OF = 20; // the last answers, whose pace is shown
const PAUSE_MS = 60_000; // longer between two answers is a pause, and no pace

const count = (number) => number.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

export class Figures {
  constructor(root) {
    this.part = (name) => root.querySelector(`[data-review-${name}]`);
    this.bar = root.querySelector("[role=progressbar]");
    this.gaps = []; // milliseconds between answers
    this.last = 0;
    this.left = 0;
  }

  /** What the server says of the whole batch. */
  show({ faces, reviewed, changed, accuracy, wanted, answers, conflicts, mine }) {
    const isShared = wanted > 1;
    const share = isShared ? Math.min(1, answers / (wanted * faces)) : reviewed / faces;
    this.left = isShared ? 0 : faces - reviewed; // others answer too: one's own share is not known
    this.part("done").textContent = count(reviewed);
    this.part("all").textContent = count(faces);
    this.part("changed").textContent = count(changed);
    if (isShared) {
      this.part("mine").textContent = count(mine);
      this.part("conflicts").textContent = count(conflicts);
    }
    this.part("bar").style.width = `${faces ? 100 * share : 0}%`;
    this.bar.setAttribute("aria-valuenow", reviewed);
    this.part("accuracy").textContent = accuracy
      ? `The model is right on ${percent(accuracy.share)} (${percent(accuracy.low)} to ${percent(accuracy.high)}, ${count(accuracy.of)} random ${accuracy.of === 1 ? "face" : "faces"})`
      : "";
    this.pace();
  }

  /** An answer was given now. */
  answered() {
    const now = performance.now();
    if (this.last && now - this.last < PAUSE_MS) this.gaps.push(now - this.last);
    if (this.gaps.length > PACE_OF) this.gaps.shift();
    this.last = now;
    this.pace();
  }

  pace() {
    if (this.gaps.length < 3) return;
    const mean = this.gaps.reduce((sum, gap) => sum + gap, 0) / this.gaps.length;
    const minutes = (this.left * mean) / 60_000;
    const left = minutes < 1 ? "less than a minute" : minutes < 90 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
    this.part("pace").textContent = `${Math.round(60_000 / mean)} a minute${this.left ? `, ${left} left` : ""}`;
  }
}
