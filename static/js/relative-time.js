// Keeps every <time data-ago> true while the page stays open.
import { ago } from "./format.js";

function refresh() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    time.textContent = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
  }
}

setInterval(refresh, 20_000);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
