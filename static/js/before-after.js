// What a further training was worth: each expression before and after, and both confusion matrices.
import { colours, draw, expressionColour } from "./charts.js";
import { showFigures } from "./run/confusion.js";

const element = document.getElementById("change-chart");
const rows = element && JSON.parse(document.getElementById("changes").textContent).filter((row) => row.count).reverse();
let figure = "recall";

const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

function points(share) {
  if (share === null) return "–";
  const size = Math.abs(100 * share).toFixed(1);
  return size === "0.0" ? size : `${share < 0 ? "−" : "+"}${size}`;
}

function traces() {
  const colour = colours();
  const names = rows.map((row) => row.name);
  const told = rows.map(({ [figure]: f }) =>
    `${percent(f.before)} → ${percent(f.after)}<br>${points(f.difference)} points (${points(f.low)} to ${points(f.high)})`);
  const lines = rows.map((row) => ({
    type: "scatter", mode: "lines", x: [row[figure].before, row[figure].after], y: [row.name, row.name],
    line: { color: expressionColour(row.name), width: 3 }, hoverinfo: "skip", showlegend: false,
  }));
  const dots = (side, marker, name) => ({
    type: "scatter", mode: "markers", name, x: rows.map((row) => row[figure][side]), y: names, text: told, marker,
    hovertemplate: "<b>%{y}</b> %{text}<extra></extra>",
  });
  return [
    ...lines,
    dots("before", { size: 11, color: colour.surface, line: { width: 2, color: colour.soft } }, "before"),
    { ...dots("after", { size: 12, color: rows.map((row) => expressionColour(row.name)) }, "after"),
      legendgroup: "after", showlegend: false },
    // Each expression has its own colour, so the legend's mark has none of them.
    { type: "scatter", mode: "markers", name: "after", x: [null], y: [names[0]], legendgroup: "after",
      marker: { size: 12, color: colour.soft } },
  ];
}

function show() {
  draw(element, traces, {
    showlegend: true, margin: { l: 80, r: 16, t: 24, b: 36 },
    xaxis: { range: [-0.02, 1.02], tickformat: ".0%", fixedrange: true }, yaxis: { fixedrange: true, ticks: "" },
  }, { displayModeBar: false });
}

if (rows) {
  element.style.height = `${2.1 * rows.length + 5}rem`;
  show();
  showFigures();
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-figure]");
    if (!button) return;
    figure = button.dataset.figure;
    for (const other of document.querySelectorAll("[data-figure]")) other.setAttribute("aria-pressed", String(other === button));
    show();
  });
}

// While both are being measured: the page comes again with what was found.
document.addEventListener("job-over", (event) => {
  if (String(event.detail.id) === document.querySelector("[data-comparing]")?.dataset.comparing) location.reload();
});
