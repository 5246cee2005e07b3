// Every chart of the house is drawn here: one look, expression colours, light and dark.
// Plotly is fetched when the first chart is drawn, and only then.

const PREFIXES = {
  neu: "neutral", hap: "happiness", joy: "happiness", sur: "surprise", sad: "sadness",
  ang: "anger", dis: "disgust", fea: "fear", con: "contempt", unk: "unknown",
};
const SYMBOLS = {
  neutral: "circle", happiness: "square", surprise: "diamond", sadness: "triangle-up",
  anger: "x", disgust: "cross", fear: "triangle-down", contempt: "star", unknown: "circle-open",
};
const DASHES = {
  neutral: "solid", happiness: "solid", surprise: "dash", sadness: "solid",
  anger: "solid", disgust: "dot", fear: "dashdot", contempt: "longdash", unknown: "dot",
};
const REVISION = "house"; // constant, so that zoom and hidden traces survive new points

let plotly = null;
const drawn = new Map(); // element -> what it shows, to draw it again in other colours

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The slot of a class name: one of the eight expressions, or "unknown". */
export function expressionSlot(name) {
  return PREFIXES[String(name).trim().toLowerCase().slice(0, 3)] ?? "unknown";
}

/** The fixed colour of an expression, the same as on badges; other classes get hues in turn. */
export function expressionColour(name, index = 0) {
  const slot = expressionSlot(name);
  if (slot !== "unknown" || /^unk/i.test(name)) return token(`--expression-${slot}`);
  return `oklch(0.62 0.11 ${(index * 137.5) % 360})`;
}

/** A second mark beside the colour, for those who tell colours badly and for print. */
export function expressionMark(name) {
  const slot = expressionSlot(name);
  return { symbol: SYMBOLS[slot], dash: DASHES[slot] };
}

/** Colours of the present theme. */
export function colours() {
  return {
    ink: token("--ink"), soft: token("--ink-soft"), line: token("--line"), surface: token("--surface"),
    accent: token("--accent"), good: token("--good"), caution: token("--caution"), bad: token("--bad"),
    train: token("--chart-train"), val: token("--chart-val"), sunken: token("--surface-sunken"),
  };
}

function axis(colour) {
  return {
    gridcolor: colour.line, zerolinecolor: colour.line, linecolor: colour.line, tickcolor: colour.line,
    automargin: true, ticks: "outside", ticklen: 4, title: { standoff: 8, font: { size: 12, color: colour.soft } },
    tickfont: { size: 11, color: colour.soft },
  };
}

function themed(layout) {
  const colour = colours();
  const base = {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: [colour.accent, colour.val, colour.soft],
    margin: { l: 48, r: 12, t: 12, b: 40 }, uirevision: REVISION, hovermode: "closest", showlegend: false,
    autosize: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11, color: colour.soft } },
    hoverlabel: { bgcolor: colour.surface, bordercolor: colour.line, font: { size: 12, color: colour.ink } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour.soft, activecolor: colour.accent },
  };
  return merge(withAxes(base, layout, colour), layout);
}

function withAxes(base, layout, colour) {
  const names = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))]);
  return { ...base, ...Object.fromEntries([...names].map((name) => [name, axis(colour)])) };
}

function merge(base, over) {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const isPlain = value && typeof value === "object" && !Array.isArray(value);
    result[key] = isPlain && result[key] && typeof result[key] === "object" ? merge(result[key], value) : value;
  }
  // Plotly takes a bare string as a title, but then the font above would be lost
  if (typeof over.title === "string" && base.title) result.title = { ...base.title, text: over.title };
  return result;
}

/** Plotly itself, fetched once. */
export function load() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset.plotly;
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("Plotly could not be loaded.")));
    document.head.append(script);
  });
  return plotly;
}

// showSendToCloud is Plotly's button that uploads a chart to its makers: nothing leaves the machine.
const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: "hover", scrollZoom: false,
  modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] };

/** Free charts that have left the page: Plotly would redraw each whenever the window changes its size. */
function forgetGone() {
  for (const element of drawn.keys()) {
    if (element.isConnected) continue;
    drawn.delete(element);
    window.Plotly?.purge(element);
  }
}

/**
 * Draw, or draw again with other data. `traces` and `layout` are Plotly's, or functions that answer
 * them: functions are called again when the theme changes, so that colours taken from `colours()` follow.
 */
export async function draw(element, traces, layout = {}, config = {}) {
  forgetGone();
  drawn.set(element, { traces, layout, config });
  const library = await load();
  forgetGone(); // this one too, perhaps
  const wanted = drawn.get(element);
  if (!wanted) return;
  const value = (thing) => (typeof thing === "function" ? thing() : thing);
  element.classList.remove("skeleton", "skeleton-chart");
  await library.react(element, value(wanted.traces), themed(value(wanted.layout)), { ...CONFIG, ...wanted.config });
}

document.addEventListener("theme-changed", () => {
  for (const [element, { traces, layout, config }] of drawn) draw(element, traces, layout, config);
});
