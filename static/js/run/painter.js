// Draws charts when they are in sight and have something new, each at most twice a second, one after
// another, so that the page never stops answering.
import { draw } from "../charts.js";

const PAUSE = 500; // ms between two drawings of one chart
const BREATH = 8; // ms between two drawings at all

export class Painter {
  /** `build(name)` answers {traces, layout} of the chart whose element has data-chart="name". */
  constructor(elements, build) {
    this.build = build;
    this.charts = new Map(elements.map((element) => [element, { isStale: false, isSeen: false, drawnAt: -PAUSE }]));
    this.timer = null; // of the next drawing,
    this.dueAt = Infinity; // which is due then
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
    const due = this.nextDue();
    if (this.isDrawing || due >= this.dueAt) return;
    clearTimeout(this.timer);
    this.dueAt = due;
    // A frame's time for the browser between two drawings, so that it answers clicks.
    this.timer = setTimeout(() => this.begin(), Math.max(BREATH, due - performance.now()));
  }

  nextDue() {
    const waiting = [...this.charts.values()].filter((chart) => chart.isStale && chart.isSeen);
    return Math.min(Infinity, ...waiting.map((chart) => chart.drawnAt + PAUSE));
  }

  async begin() {
    this.dueAt = Infinity;
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
