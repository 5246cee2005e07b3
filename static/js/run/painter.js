// Draws charts when they are in sight and have something new, each at most twice a second, one after
// another, so that the page never stops answering.
import { draw } from "../charts.js";

const PAUSE = 500; // ms between two drawings of one chart

export class Painter {
  /** `build(name)` answers {traces, layout} of the chart whose element has data-chart="name". */
  constructor(elements, build) {
    this.build = build;
    this.charts = new Map(elements.map((element) => [element, { isStale: false, isSeen: false, drawnAt: -PAUSE }]));
    this.timer = null;
    this.isDrawing = false;
    this.sight = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "300px" });
    for (const element of elements) this.sight.observe(element);
  }

  /** Something has changed for the charts that `isConcerned(name)` says. */
  mark(isConcerned = () => true) {
    for (const [element, chart] of this.charts) if (isConcerned(element.dataset.chart)) chart.isStale = true;
    this.soon();
  }

  seen(entries) {
    for (const entry of entries) this.charts.get(entry.target).isSeen = entry.isIntersecting;
    this.soon();
  }

  soon() {
    if (this.isDrawing || this.timer !== null) return;
    const due = this.nextDue();
    if (due === null) return;
    const wait = Math.max(0, due - performance.now());
    // A hidden tab has no animation frames, and nobody to look at it.
    this.timer = wait ? setTimeout(() => this.begin(), wait) : requestAnimationFrame(() => this.begin());
    this.isFrame = !wait;
  }

  nextDue() {
    let due = null;
    for (const chart of this.charts.values()) {
      if (chart.isStale && chart.isSeen) due = Math.min(due ?? Infinity, chart.drawnAt + PAUSE);
    }
    return due;
  }

  async begin() {
    this.timer = null;
    this.isDrawing = true;
    try {
      await this.drawNext();
    } finally {
      this.isDrawing = false;
    }
    this.soon();
  }

  async drawNext() {
    const now = performance.now();
    const due = [...this.charts].filter(([, chart]) => chart.isStale && chart.isSeen && chart.drawnAt + PAUSE <= now);
    if (!due.length) return;
    // the one that has waited longest; the next one gets the next frame
    const [element, chart] = due.reduce((a, b) => (b[1].drawnAt < a[1].drawnAt ? b : a));
    chart.isStale = false;
    chart.drawnAt = now;
    const name = element.dataset.chart;
    await draw(element, () => this.build(name).traces, () => this.build(name).layout);
    element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
  }
}
