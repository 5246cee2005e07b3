// Confusion matrices: the share of each row as colour, count and share as text. Also the intervals
// of the table beside them, and the tabs between figures of test, best and last epoch.
import { colours, draw } from "../charts.js";

function isDark() {
  return document.documentElement.dataset.bsTheme === "dark";
}

function matrix(data) {
  const shares = data.confusion.map((row) => {
    const total = row.reduce((a, b) => a + b, 0);
    return row.map((count) => (total ? count / total : 0));
  });
  const text = data.confusion.map((row, i) => row.map((count, j) => (count ? `${count}<br>${Math.round(100 * shares[i][j])} %` : "")));
  const answers = data.answers ?? data.classes;
  const hover = data.confusion.map((row, i) => row.map((count, j) =>
    `${count} ${data.classes[i]} answered ${answers[j]} (${(100 * shares[i][j]).toFixed(1)} %)`));
  return { shares, text, hover };
}

function traces(data) {
  const colour = colours();
  const { shares, text, hover } = matrix(data);
  return [{
    type: "heatmap", x: data.answers ?? data.classes, y: data.classes, z: shares, text, hovertext: hover,
    texttemplate: "%{text}", textfont: { size: data.classes.length > 9 ? 9 : 10.5 }, hovertemplate: "%{hovertext}<extra></extra>",
    zmin: 0, zmax: 1, showscale: false, xgap: 2, ygap: 2,
    colorscale: [[0, colour.sunken], [0.05, isDark() ? "#173b44" : "#d5ebef"], [1, isDark() ? "#2f9fb4" : "#0f7285"]],
  }];
}

function layout() {
  return {
    hovermode: "closest", dragmode: false, margin: { l: 70, r: 8, t: 8, b: 60 },
    xaxis: { title: { text: "answer" }, showgrid: false, ticks: "", fixedrange: true, tickangle: -35 },
    yaxis: { title: { text: "truth" }, showgrid: false, ticks: "", autorange: "reversed", fixedrange: true },
  };
}

// A matrix is the dearest thing to draw, and each epoch brings new ones: they wait until they come into sight,
// and are drawn one after another in tasks of their own, so that the page answers between them.
const BREATH = 8; // ms
let last = Promise.resolve();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    last = last.then(() => drawOne(target)).catch(reportError).then(breathe);
  }
}, { rootMargin: "200px" });

function breathe() {
  return new Promise((resume) => { setTimeout(resume, BREATH); });
}

async function drawOne(element) {
  const source = document.getElementById(element.dataset.confusion);
  if (!element.isConnected || !source) return; // htmx has brought a newer one meanwhile
  const data = JSON.parse(source.textContent);
  await draw(element, () => traces(data), layout, { displayModeBar: false });
}

/** Draw the matrices when they are seen, and place the intervals. Call again after htmx has brought new ones. */
export function showFigures(root = document) {
  for (const element of root.querySelectorAll("[data-confusion]")) {
    sight.unobserve(element); // else it would not be told of one that is in sight already
    sight.observe(element);
  }
  for (const element of root.querySelectorAll(".interval")) {
    const { low, high, at } = element.dataset;
    element.querySelector("i").style.left = `${100 * low}%`;
    element.querySelector("i").style.width = `${100 * (high - low)}%`;
    element.querySelector("b").style.left = `${100 * at}%`;
  }
}

let chosen = null;

function choose(key, root) {
  const tabs = [...root.querySelectorAll("[data-figures]")];
  if (!tabs.some((tab) => tab.dataset.figures === key)) return;
  for (const tab of tabs) {
    const isChosen = tab.dataset.figures === key;
    tab.setAttribute("aria-selected", String(isChosen));
  }
  for (const panel of root.querySelectorAll("[data-figures-panel]")) panel.hidden = panel.dataset.figuresPanel !== key;
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-figures]");
  if (!tab) return;
  chosen = tab.dataset.figures;
  const root = document.getElementById("results");
  choose(chosen, root);
  showFigures(root);
});

/** After new figures have come: the same tab as before, if it is still there. */
export function showChosenFigures() {
  const root = document.getElementById("results");
  if (chosen) choose(chosen, root);
  showFigures(root);
}
