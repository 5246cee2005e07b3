// One label batch: the summary chart, and the faces that come in while the job runs.
import { draw, expressionColour } from "./charts.js";
import { refreshFaces } from "./label-faces.js";
import { follow } from "./live.js";

const page = document.querySelector("[data-batch]");
const REFRESH_MS = 2000;
let seen = -1;
let pending = 0;

function drawCounts() {
  const data = document.getElementById("class-counts");
  const chart = document.getElementById("class-chart");
  if (!data || !chart) return;
  const counts = JSON.parse(data.textContent);
  const trace = {
    type: "bar",
    x: counts.map((c) => c.name),
    y: counts.map((c) => c.count),
    marker: { color: counts.map((c) => expressionColour(c.name)) },
    hovertemplate: "%{x}: %{y} faces<extra></extra>",
  };
  draw(chart, [trace], { showlegend: false, yaxis: { title: { text: "Faces" } } });
}

function refresh() {
  pending = 0;
  refreshFaces();
}

document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "faces") drawCounts();
});
drawCounts();

if (page?.dataset.live === "true") {
  let state = page.querySelector("[data-state]")?.dataset.state;
  follow(page.dataset.batch, {
    onSnapshot(job) {
      const changed = job.state !== state;
      if (changed) {
        window.htmx.trigger("#batch-head", "refresh");
        clearTimeout(pending);
        refresh();
      } else if (job.done !== seen && !pending) pending = setTimeout(refresh, REFRESH_MS);
      state = job.state;
      seen = job.done;
    },
  });
}
