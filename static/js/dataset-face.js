// One face: how people voted, and the arrow keys to its neighbours.
import { colours, draw, expressionColour, expressionSlot } from "./charts.js";

const chart = document.getElementById("votes");
if (chart) {
  const votes = JSON.parse(document.getElementById("votes-data").textContent);
  const colour = (name) => (expressionSlot(name) === "unknown" ? colours().soft : expressionColour(name));
  chart.style.height = `${1.75 * votes.length + 2.5}rem`;
  draw(chart, () => [{
    type: "bar", orientation: "h", y: votes.map((v) => v.name), x: votes.map((v) => v.votes),
    marker: { color: votes.map((v) => colour(v.name)) }, text: votes.map((v) => v.votes || ""),
    textposition: "outside", cliponaxis: false, hovertemplate: "%{y}: <b>%{x}</b> votes<extra></extra>",
  }], {
    bargap: 0.3, margin: { l: 78, r: 24, t: 4, b: 28 },
    xaxis: { fixedrange: true, dtick: 2, range: [0, Math.max(...votes.map((v) => v.votes), 1) + 0.6] },
    yaxis: { autorange: "reversed", fixedrange: true, ticks: "", showgrid: false },
  }, { displayModeBar: false });
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  document.querySelector(rel ? `a[rel=${rel}]` : "none")?.click();
});
