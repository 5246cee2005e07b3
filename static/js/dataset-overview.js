// Images by class, stacked by split, each class in its expression's colour. A bar leads to its faces.
import "./chart-tools.js";
import { colours, draw, expressionColour } from "./charts.js";

const chart = document.getElementById("classes");
const SHADES = { train: 1, val: 0.62, test: 0.36, "": 1 };

const nameOf = (label) => label || "no label";

function traces({ classes, bars }) {
  const shown = bars.map(({ split, name, counts }) => ({
    type: "bar",
    orientation: "h",
    name,
    y: classes.map(nameOf),
    x: counts,
    customdata: classes.map(() => split),
    showlegend: false,
    opacity: SHADES[split],
    marker: { color: classes.map((label, i) => expressionColour(label || "unknown", i)), line: { width: 0 } },
    hovertemplate: `%{y}, ${name.toLowerCase()}: <b>%{x:,}</b><extra></extra>`,
  }));
  return bars.length > 1 ? [...shown, ...legend(bars)] : shown;
}

/** What the shades mean, in grey: the colours are the classes'. */
function legend(bars) {
  return bars.map(({ split, name }) => ({
    type: "bar", orientation: "h", name, x: [null], y: [null], hoverinfo: "skip", showlegend: true,
    opacity: SHADES[split], marker: { color: colours().soft },
  }));
}

if (chart) {
  const data = JSON.parse(document.getElementById("classes-data").textContent);
  chart.style.height = `${Math.max(9, 2.1 * data.classes.length + 4.5)}rem`;
  draw(chart, () => traces(data), {
    barmode: "stack", bargap: 0.32, showlegend: data.bars.length > 1, margin: { l: 84, r: 16, t: 8, b: 34 },
    legend: { traceorder: "normal" },
    xaxis: { tickformat: ",d", fixedrange: true },
    yaxis: { autorange: "reversed", fixedrange: true, ticks: "", showgrid: false },
  }, { displayModeBar: false }).then(() => {
    chart.on("plotly_click", ({ points: [point] }) => {
      const label = point.y === nameOf("") ? "none" : point.y;
      const query = new URLSearchParams({ split: point.customdata || "none", label });
      location.assign(`${chart.dataset.faces}?${query}`);
    });
  });
}
