// The figures of a run, keyed by epoch and step, so that whatever is told again replaces itself.
// A row has the same names as the columns of webapp/experiments/points.py.

const EPOCH = ["epoch", "step", "learning_rate", "gradient_norm", "images_per_second", "seconds", "memory_bytes", "best", "data_wait"];
const SPLIT = ["loss", "cross_entropy", "rfloss", "accuracy", "accuracy_low", "accuracy_high",
  "mean_class_accuracy", "macro_f1", "calibration_error", "alpha_mean"];
const CLASS = ["p_true_variance", "p_true_mean", "recall"];
const STEP = ["step", "epoch", "loss", "learning_rate", "gradient_norm", "images_per_second", "data_wait"];
const HARDWARE = ["cpu", "machine_cpu", "memory_bytes", "machine_memory"];
const MOST_STEPS = 6000; // kept in the browser; above, they are thinned as the server does
const SHOWN_STEPS = 2000;

/** An epoch event as a flat row: {"epoch": 3, "val.accuracy": 0.8, "val.recall": [a value a class], …}. */
export function epochRow(event) {
  const row = Object.fromEntries(EPOCH.map((name) => [name, event[name] ?? null]));
  for (const split of ["train", "val"]) {
    const figures = event[split] ?? {};
    for (const name of SPLIT) row[`${split}.${name}`] = figures[name] ?? null;
    for (const name of CLASS) row[`${split}.${name}`] = (figures.classes ?? []).map((one) => one[name] ?? null);
  }
  row.at = Date.parse(event.at) / 1000;
  return row;
}

/** A hardware event as a row; several GPUs are one, as in hardware_columns of points.py. */
function hardwareRow(event) {
  const told = (name) => (event.gpus ?? []).map((gpu) => gpu[name]).filter((value) => value !== null);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const [uses, memory] = [told("use"), told("memory_bytes")];
  return {
    at: Date.parse(event.at) / 1000, ...Object.fromEntries(HARDWARE.map((name) => [name, event[name] ?? null])),
    gpu: uses.length ? sum(uses) / uses.length : null, gpu_memory: memory.length ? sum(memory) : null,
  };
}

function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns[names[0]].map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
}

export class Series {
  constructor() {
    this.classes = [];
    this.epochs = new Map();
    this.steps = new Map();
    this.hardware = new Map();
    this.sorted = {};
    this.marks = []; // notes and orders: {epoch, step, label, text, is_note}
  }

  /** Take the epochs that the server had when the page was opened. */
  loadEpochs({ classes, epochs }) {
    this.classes = classes;
    for (const row of rowsOf(epochs)) this.epochs.set(row.epoch, row);
    delete this.sorted.epochs;
  }

  /** Take the steps that the server had; those that have come meanwhile are newer. */
  loadSteps(columns) {
    for (const row of rowsOf(columns)) if (!this.steps.has(row.step)) this.steps.set(row.step, row);
    delete this.sorted.steps;
  }

  /** Take the readings of the machine that the server had. */
  loadHardware(columns) {
    for (const row of rowsOf(columns)) this.hardware.set(row.at, row);
    delete this.sorted.hardware;
  }

  /** Take new events; answers which kinds of charts have something to draw: "epochs", "steps", "hardware". */
  take(events) {
    const news = new Set();
    for (const event of events) {
      if (event.kind === "epoch") {
        this.epochs.set(event.epoch, epochRow(event));
        if (event.val?.classes?.length) this.classes = event.val.classes.map((one) => one.name);
        news.add("epochs");
      } else if (event.kind === "step") {
        this.steps.set(event.step, Object.fromEntries(STEP.map((name) => [name, event[name] ?? null])));
        news.add("steps");
      } else if (event.kind === "hardware") {
        const row = hardwareRow(event);
        this.hardware.set(row.at, row);
        news.add("hardware");
      }
    }
    for (const kind of news) delete this.sorted[kind];
    if (this.steps.size > MOST_STEPS) this.thinSteps();
    return news;
  }

  /** Rows in order: of "epochs", "steps" or "hardware". */
  rows(kind) {
    const key = { epochs: "epoch", steps: "step", hardware: "at" }[kind];
    this.sorted[kind] ??= [...this[kind].values()].sort((a, b) => a[key] - b[key]);
    return this.sorted[kind];
  }

  /** The row of the best epoch so far, or null. A later one that says so is the better one. */
  best() {
    return this.rows("epochs").findLast((row) => row.best) ?? null;
  }

  /** One figure of every epoch. */
  column(name) {
    return this.rows("epochs").map((row) => row[name]);
  }

  /** Epoch numbers as people count them. */
  get x() {
    return this.rows("epochs").map((row) => row.epoch + 1);
  }

  thinSteps() {
    const rows = this.rows("steps");
    const width = Math.ceil((4 * rows.length) / SHOWN_STEPS);
    const kept = new Set([rows[0], rows[rows.length - 1]]);
    for (let start = 0; start < rows.length; start += width) {
      const stretch = rows.slice(start, start + width);
      for (const name of ["loss", "gradient_norm"]) {
        const told = stretch.filter((row) => row[name] !== null);
        if (!told.length) continue;
        kept.add(told.reduce((a, b) => (b[name] < a[name] ? b : a)));
        kept.add(told.reduce((a, b) => (b[name] > a[name] ? b : a)));
      }
    }
    this.steps = new Map(rows.filter((row) => kept.has(row)).map((row) => [row.step, row]));
    delete this.sorted.steps;
  }
}

/** An exponential moving average, corrected for its start; gaps stay gaps. 0 changes nothing. */
export function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    mean = weight * mean + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}
