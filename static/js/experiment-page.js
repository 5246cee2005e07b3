// An experiment's page: the curves of the chosen runs over each other, fetched anew when a run goes on.
import "./chart-tools.js";
import { colours, draw } from "./charts.js";
import { drawSwatch, runMark } from "./run-marks.js";

const card = document.querySelector("[data-curves]");
const chart = document.getElementById("curves");
const hidden = new Set(); // runs taken off the chart
let figure = "accuracy";
let curves = [];
let asked = 0; // times

/** Runs have no fixed colours: they get theirs, dash and symbol by their places in the table. */
function markOf(run) {
  const place = [...document.querySelectorAll("tr[data-run]")].findIndex((row) => row.dataset.run === String(run));
  return runMark(Math.max(0, place)); // one that is new is on its way into the table
}

/** A star where a run was at its best. */
function star(one) {
  const at = one.x.indexOf(one.best);
  return { x: [one.best], y: [one.y[at]], type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false,
    marker: { symbol: "star", size: 12, color: markOf(one.run).colour, line: { color: colours().surface, width: 1 } } };
}

function traces() {
  const shown = curves.filter((one) => !hidden.has(one.run));
  return [...shown.map(line), ...shown.filter((one) => one.x.includes(one.best)).map(star)];
}

function line(one) {
  const { colour, dash, symbol } = markOf(one.run);
  return {
    x: one.x, y: one.y, name: one.name, type: "scatter", mode: one.x.length > 30 ? "lines" : "lines+markers",
    line: { color: colour, width: 2, dash }, marker: { color: colour, size: 6, symbol },
    hovertemplate: `%{y:${figure === "loss" ? ".4g" : ".1%"}}<extra>${escaped(one.name)}</extra>`,
  };
}

/** Plotly reads a little HTML in texts; names are people's own words. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function layout() {
  const longest = Math.max(1, ...curves.map((one) => one.x.at(-1) ?? 1));
  return {
    hovermode: "x unified",
    xaxis: { title: { text: "epoch" }, tickformat: "d", ...(longest <= 12 ? { dtick: 1 } : { nticks: 10 }) },
    // one point alone would otherwise get an axis from -100 %
    yaxis: figure === "loss" ? {} : { tickformat: ".0%", autorangeoptions: { clipmin: 0, clipmax: 1 } },
  };
}

async function refresh() {
  asked += 1;
  const mine = asked;
  const answer = await fetch(`${card.dataset.curves}?figure=${figure}`);
  if (!answer.ok) return;
  const { runs } = await answer.json();
  if (mine !== asked) return; // overtaken, perhaps by one for another figure
  curves = runs;
  card.hidden = !curves.some((one) => one.x.length); // runs that have not ended an epoch have nothing to show
  showTable();
  await draw(chart, traces, layout);
}

function showTable() {
  for (const box of document.querySelectorAll("[data-curve]")) {
    const run = Number(box.dataset.curve);
    box.checked = !hidden.has(run);
    drawSwatch(box.parentElement.querySelector(".curve-swatch"), markOf(run));
  }
}

document.addEventListener("change", (event) => {
  if (!event.target.dataset.curve) return;
  const run = Number(event.target.dataset.curve);
  if (event.target.checked) hidden.delete(run);
  else hidden.add(run);
  draw(chart, traces, layout);
});

card.addEventListener("click", (event) => {
  const button = event.target.closest("[data-figure]");
  if (!button) return;
  figure = button.dataset.figure;
  chart.dataset.csv = `${chart.dataset.csv.split("?")[0]}?figure=${figure}`;
  for (const one of card.querySelectorAll("[data-figure]")) one.setAttribute("aria-pressed", String(one === button));
  refresh();
});

document.addEventListener("theme-changed", showTable);
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "runs") return;
  showTable(); // before it is seen
  refresh();
});
refresh();
