// What each chart of a run's page shows: a function of the series and of how the person looks at it
// (split, smoothing, scale, parts, step figure, hidden expressions) that answers traces and layout.
import { colours, expressionColour, expressionMark } from "../charts.js";
import { smoothed } from "./series.js";

const PERCENT = ".1%";
const SHARE = { tickformat: ".3~%" };
const FEW = 30; // epochs up to which each point has a marker

function line(x, y, { name, colour, dash = "solid", symbol = "circle", width = 2, weight = 0, format = ".4g" }) {
  const values = smoothed(y, weight);
  return {
    x, y: values, name, type: "scatter", connectgaps: false,
    mode: x.length > FEW ? "lines" : "lines+markers",
    line: { color: colour, width, dash }, marker: { color: colour, size: 5, symbol },
    hovertemplate: `%{y:${format}}<extra>${name}</extra>`,
  };
}

/** The raw values behind a smoothed line, faint. */
function shadow(x, y, colour) {
  return { x, y, type: "scatter", mode: "lines", line: { color: colour, width: 1 }, opacity: 0.25, hoverinfo: "skip", showlegend: false };
}

function withShadows(specs, x, weight) {
  const lines = specs.map((spec) => line(x, spec.y, { ...spec, weight }));
  return weight ? [...specs.map((spec) => shadow(x, spec.y, spec.colour)), ...lines] : lines;
}

function epochAxis(series) {
  const count = series.rows("epochs").length;
  const last = count ? series.x[count - 1] : 1;
  return {
    title: { text: "epoch" }, tickformat: "d", ...(last <= 12 ? { dtick: 1 } : { nticks: 8 }),
    ...(count <= 1 ? { range: [last - 1, last + 1] } : {}),
  };
}

function upright(x, line) {
  return { type: "line", xref: "x", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, layer: "below", line };
}

/** Where the best epoch ended on an axis: `at(row)` answers its x. */
function bestPin(series, at = (row) => row.epoch + 1) {
  const best = series.best();
  if (best === null) return { shapes: [], annotations: [] };
  const colour = colours();
  const x = at(best);
  return {
    shapes: [upright(x, { color: colour.soft, width: 1, dash: "dot" })],
    annotations: [{
      x, xref: "x", y: 1, yref: "paper", yanchor: "bottom", xanchor: "center", showarrow: false,
      text: `best ${best.epoch + 1}`, font: { size: 10, color: colour.soft },
    }],
  };
}

/** Notes and orders as lines with words along them; pointing at the words tells the whole. */
function markPins(series, axis) {
  const colour = colours();
  const marks = series.marks.filter((mark) => mark[axis] !== null);
  const tint = (mark) => (mark.is_note ? colour.caution : colour.accent);
  return {
    shapes: marks.map((mark) => upright(mark[axis], { color: tint(mark), width: 1, dash: "dash" })),
    annotations: marks.map((mark) => ({
      x: mark[axis], xref: "x", y: 0.02, yref: "paper", yanchor: "bottom", xanchor: "left", textangle: -90,
      showarrow: false, text: plain(mark.label), hovertext: plain(mark.text), font: { size: 10, color: tint(mark) },
    })),
  };
}

/** Plotly reads some HTML in texts; what people wrote is shown as they wrote it. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function pins(...kinds) {
  return { shapes: kinds.flatMap((kind) => kind.shapes), annotations: kinds.flatMap((kind) => kind.annotations) };
}

function epochLayout(series, yaxis, more = {}) {
  const marked = pins(bestPin(series), markPins(series, "epoch"));
  return { hovermode: "x unified", xaxis: epochAxis(series), yaxis, ...marked, ...more };
}

const LEGEND = { showlegend: true, margin: { l: 48, r: 12, t: 34, b: 40 },
  legend: { orientation: "h", y: 1.06, yanchor: "bottom", x: 0, traceorder: "normal" } };

/** A vertical axis on the chosen scale; `linear` is what it is like on the linear one (a range, from zero). */
function scaled(view, linear = {}, more = {}) {
  const isLog = view.scale === "log";
  return { type: view.scale, ...(isLog ? { dtick: "D2", exponentformat: "power" } : linear), ...more };
}

function loss(series, view) {
  const colour = colours();
  const parts = view.parts === "parts";
  const named = parts ? [["cross_entropy", "cross-entropy", "solid"], ["rfloss", "RFLoss", "dot"]] : [["loss", "loss", "solid"]];
  const specs = [];
  for (const [split, title, tint] of [["train", "training", colour.train], ["val", "validation", colour.val]]) {
    for (const [figure, word, dash] of named) {
      specs.push({ y: series.column(`${split}.${figure}`), name: parts ? `${word}, ${title}` : title, colour: tint, dash });
    }
  }
  return { traces: withShadows(specs, series.x, view.smoothing), layout: epochLayout(series, scaled(view), LEGEND) };
}

function accuracy(series, view) {
  const colour = colours();
  const x = series.x;
  const band = { x, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  const low = smoothed(series.column("val.accuracy_low"), view.smoothing);
  const high = smoothed(series.column("val.accuracy_high"), view.smoothing);
  const shade = [{ ...band, y: low }, { ...band, y: high, fill: "tonexty", fillcolor: translucent(colour.val, 0.14) }];
  const specs = [
    { y: series.column("train.accuracy"), name: "training accuracy", colour: colour.train, format: PERCENT },
    { y: series.column("val.accuracy"), name: "accuracy", colour: colour.val, format: PERCENT },
    { y: series.column("val.mean_class_accuracy"), name: "mean-class", colour: colour.caution, dash: "dash", format: PERCENT },
    { y: series.column("val.macro_f1"), name: "macro-F1", colour: colour.soft, dash: "dot", format: PERCENT },
  ];
  return {
    traces: [...shade, ...withShadows(specs, x, view.smoothing)],
    layout: epochLayout(series, scaled(view, {}, { tickformat: ".3~%" }), LEGEND),
  };
}

/** "#0f7285" as rgba: Plotly does not know color-mix(). */
function translucent(hex, opacity) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

function byExpression(figure, linear, format, more = {}) {
  return (series, view) => {
    const x = series.x;
    const rows = series.column(`${view.split}.${figure}`);
    const traces = series.classes.map((name, k) => ({
      ...line(x, rows.map((values) => values[k] ?? null), {
        name, colour: expressionColour(name, k), ...expressionMark(name), width: 1.75, weight: view.smoothing, format,
      }),
      visible: !view.hidden.has(name),
    }));
    return { traces, layout: epochLayout(series, scaled(view, linear, more)) };
  };
}

function single(figure, name, { linear = { rangemode: "tozero" }, format = ".4g", more = {} } = {}) {
  return (series, view) => {
    const specs = [{ y: series.column(figure), name, colour: colours().val, format }];
    return { traces: withShadows(specs, series.x, view.smoothing), layout: epochLayout(series, scaled(view, linear, more)) };
  };
}

const STEP_AXES = { images_per_second: { rangemode: "tozero" }, data_wait: { range: [0, 1] } };

function steps(series, view) {
  const rows = series.rows("steps");
  const colour = colours();
  const x = rows.map((row) => row.step + 1);
  const y = rows.map((row) => row[view.stepFigure]);
  const specs = [{ y, name: view.stepFigure.replaceAll("_", " "), colour: colour.val, width: 1.25 }];
  const traces = withShadows(specs, x, view.smoothing);
  for (const trace of traces) trace.mode = "lines";
  return {
    traces,
    layout: { hovermode: "x unified", xaxis: { title: { text: "step" }, tickformat: ",d" },
      yaxis: scaled(view, STEP_AXES[view.stepFigure], view.stepFigure === "data_wait" ? SHARE : {}),
      ...pins(bestPin(series, (row) => row.step), markPins(series, "step")) },
  };
}

const PAUSE = 60; // s between two readings from which on the machine did something else meanwhile

/** Series over the time of day. A line breaks where the run was paused or its worker gone. */
function overTime(named, linear, more, format) {
  return (series, view) => {
    const rows = series.rows("hardware");
    const broken = rows.flatMap((row, i) => (i && row.at - rows[i - 1].at > PAUSE ? [null, row] : [row]));
    const x = broken.map((row, i) => new Date((row?.at ?? broken[i - 1].at + 1) * 1000));
    const specs = named().map(([figure, name, colour, dash]) => ({
      y: broken.map((row) => row?.[figure] ?? null), name, colour, dash, format, width: 1.5,
    }));
    const traces = withShadows(specs, x, view.smoothing);
    for (const trace of traces) trace.mode = rows.length > 1 ? "lines" : "lines+markers";
    const layout = { hovermode: "x unified", xaxis: { type: "date", nticks: 5 }, yaxis: scaled(view, linear, more),
      ...bestPin(series, (row) => new Date(row.at * 1000)) };
    return { traces, layout: named().length > 1 ? { ...layout, ...LEGEND } : layout };
  };
}

const processor = () => [["cpu", "this run", colours().val], ["machine_cpu", "all together", colours().train, "dot"]];
const memory = () => [["memory_bytes", "this run", colours().val]];
const gpu = () => [["gpu", "in use", colours().val]];
const gpuMemory = () => [["gpu_memory", "memory", colours().val]];
const BYTES = { tickformat: ".3~s", ticksuffix: "B" };

/** Every chart by the name in its data-chart, and what it is drawn from. */
export const CHARTS = {
  loss: { from: "epochs", build: loss },
  accuracy: { from: "epochs", build: accuracy },
  variance: { from: "epochs", build: byExpression("p_true_variance", { rangemode: "tozero" }, ".4f") },
  mean: { from: "epochs", build: byExpression("p_true_mean", { range: [0, 1] }, ".3f") },
  recall: { from: "epochs", build: byExpression("recall", { range: [0, 1] }, PERCENT, SHARE) },
  learning_rate: { from: "epochs", build: single("learning_rate", "learning rate", { linear: {} }) },
  gradient_norm: { from: "epochs", build: single("gradient_norm", "gradient norm", { linear: {} }) },
  images_per_second: { from: "epochs", build: single("images_per_second", "images a second", { format: ".1f" }) },
  steps: { from: "steps", build: steps },
  data_wait: { from: "epochs", build: single("data_wait", "of the time", { linear: { range: [0, 1] }, format: PERCENT, more: SHARE }) },
  processor: { from: "hardware", build: overTime(processor, { range: [0, 1.02] }, SHARE, PERCENT) },
  memory: { from: "hardware", build: overTime(memory, { rangemode: "tozero" }, BYTES, ".4s") },
  gpu: { from: "hardware", build: overTime(gpu, { range: [0, 1.02] }, SHARE, PERCENT) },
  gpu_memory: { from: "hardware", build: overTime(gpuMemory, { rangemode: "tozero" }, BYTES, ".4s") },
};
