// <time data-clock>, or data-clock="seconds", tells the time of day where the reader is, with the zone on hover.
// The server, which does not know where that is, writes its own zone beside it.
const CLOCK = { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" };

function show(root = document) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString("en-GB", { ...CLOCK, ...(time.dataset.clock && { second: "2-digit" }) });
    time.title = at.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "long" });
  }
}

show();
document.addEventListener("htmx:afterSwap", ({ target }) => show(target));
