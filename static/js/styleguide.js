// The live parts of the style guide.
import { colours, draw, expressionColour, expressionMark } from "./charts.js";
import { toast } from "./toast.js";

const NAMES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"];
const epochs = Array.from({ length: 20 }, (_, epoch) => epoch + 1);

function traces() {
  return NAMES.map((name, index) => ({
    name, x: epochs, y: epochs.map((epoch) => (0.02 + 0.012 * index) * (1 + 2 / epoch)),
    mode: "lines+markers", line: { color: expressionColour(name), width: 2, dash: expressionMark(name).dash },
    marker: { symbol: expressionMark(name).symbol, size: 6 },
  }));
}

draw(document.getElementById("guide-chart"), traces, () => ({
  showlegend: true, height: 300, xaxis: { title: "Epoch" }, yaxis: { title: "Variance of p(true)" },
  shapes: [{ type: "line", x0: 12, x1: 12, yref: "paper", y0: 0, y1: 1, line: { color: colours().soft, dash: "dot", width: 1 } }],
}));

for (const button of document.querySelectorAll("[data-guide-toast]")) {
  button.addEventListener("click", () => toast("The run was queued.", button.dataset.guideToast));
}
