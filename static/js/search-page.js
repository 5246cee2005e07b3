// A search's page: its charts, drawn anew whenever its table is replaced.
import { colours, draw } from "./charts.js";

const section = document.getElementById("search-charts");
const slices = section.querySelector("[data-slices]");
const SYMBOLS = { complete: "circle", pruned: "x", failed: "triangle-down", stopped: "square-open", open: "circle-open" };
const TITLES = { complete: "complete", pruned: "pruned", failed: "failed", stopped: "stopped", open: "open" };
let points = null;

/** Plotly reads a little HTML in texts. */
function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function colourOf(outcome) {
  const colour = colours();
  return { complete: colour.accent, pruned: colour.caution, failed: colour.bad, stopped: colour.soft, open: colour.soft }[outcome];
}

function figureAxis() {
  return { title: { text: points.figure.toLowerCase() }, ...(points.is_share ? { tickformat: ".0%" } : {}) };
}

/** One trace an outcome, so that the legend tells them apart by colour and shape. */
function dots(x, isLegend) {
  const format = points.is_share ? ".1%" : ".3f";
  return Object.keys(SYMBOLS).map((outcome) => {
    const at = points.outcome.flatMap((one, i) => (one === outcome && points.value[i] !== null ? [i] : []));
    return {
      x: at.map((i) => x[i]), y: at.map((i) => points.value[i]), customdata: at.map((i) => [points.run[i], points.number[i]]),
      name: TITLES[outcome], type: "scatter", mode: "markers", showlegend: isLegend && at.length > 0,
      marker: { symbol: SYMBOLS[outcome], size: 8, color: colourOf(outcome), opacity: 0.85 },
      hovertemplate: `trial %{customdata[1]}: %{y:${format}}<br>%{x}<extra>${TITLES[outcome]}</extra>`,
    };
  });
}

function bestSoFar() {
  const better = points.is_maximised ? Math.max : Math.min;
  const x = [];
  const y = [];
  points.number.forEach((number, i) => {
    if (points.outcome[i] !== "complete") return;
    x.push(number);
    y.push(y.length ? better(y.at(-1), points.value[i]) : points.value[i]);
  });
  if (x.length) { // the line goes on to the latest trial
    x.push(points.number.at(-1));
    y.push(y.at(-1));
  }
  const line = { x, y, name: "best so far", type: "scatter", mode: "lines", line: { shape: "hv", color: colours().good, width: 2 }, hoverinfo: "skip" };
  return [line, ...dots(points.number, true)];
}

function bars() {
  const sorted = [...points.importance].sort((a, b) => a.share - b.share);
  return [{
    x: sorted.map((one) => one.share), y: sorted.map((one) => escaped(one.title)), type: "bar", orientation: "h",
    marker: { color: colours().accent }, hovertemplate: "%{y}: %{x:.0%}<extra></extra>",
  }];
}

function sliceElement(place) {
  let figure = slices.children[place];
  if (!figure) {
    figure = document.createElement("div");
    figure.className = "chart";
    figure.setAttribute("role", "figure");
    figure.setAttribute("aria-label", `${points.figure} by ${points.settings[place].title}`);
    slices.append(figure);
  }
  return figure;
}

async function drawSlice(setting, place) {
  const element = sliceElement(place);
  const axis = setting.choices.length ? { type: "category", categoryorder: "array", categoryarray: setting.choices } : setting.is_log ? { type: "log", exponentformat: "power", dtick: 1 } : { nticks: 5 };
  await draw(element, () => dots(points.settings[place].values, false),
    () => ({ xaxis: { title: { text: escaped(setting.title) }, ...axis }, yaxis: figureAxis(), margin: { l: 56 } }));
  if (element.dataset.opens) return;
  element.dataset.opens = "runs";
  element.on("plotly_click", ({ points: [point] }) => {
    location.href = section.dataset.runUrl.replace("/0/", `/${point.customdata[0]}/`);
  });
}

async function refresh() {
  for (const bar of document.querySelectorAll("#search-head [data-share]")) bar.style.width = `${bar.dataset.share}%`;
  const answer = await fetch(section.dataset.points);
  if (!answer.ok) return;
  points = await answer.json();
  section.hidden = points.value.every((value) => value === null); // axes without a dot say nothing
  if (section.hidden) return;
  const isKnown = points.importance.length > 0;
  const chart = section.querySelector("[data-chart=importance]");
  chart.hidden = !isKnown;
  section.querySelector("[data-importance-empty]").hidden = isKnown;
  if (isKnown) {
    section.querySelector("[data-importance-note]").textContent = `share of being among the best, from ${points.importance_of} trials`;
    await draw(chart, bars, { xaxis: { tickformat: ".0%", range: [0, 1] }, yaxis: { ticks: "" } });
  }
  await draw(section.querySelector("[data-chart=best]"), bestSoFar,
    () => ({ xaxis: { title: { text: "trial" }, tickformat: "d", nticks: 10 }, yaxis: figureAxis(), showlegend: true }));
  for (const [place, setting] of points.settings.entries()) await drawSlice(setting, place);
}

document.addEventListener("htmx:afterSettle", (event) => { if (event.target.id === "search-head") refresh(); });
refresh();
