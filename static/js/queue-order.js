// The queue's page: a waiting job is dragged to another place. By keyboard, its two buttons do the same.

const queue = document.getElementById("queue");
let dragged = null;
let moved = Promise.resolve(); // moves go one after another: htmx would forget one that waits when the next comes

/** Where it would be put: before which row (null: at the end); undefined outside its own list. */
function target(event) {
  const list = event.target.closest?.("[data-waiting-list]");
  if (!dragged || list !== dragged.parentElement) return undefined;
  const rows = [...list.querySelectorAll("[data-waiting]")];
  return rows.find((row) => { const box = row.getBoundingClientRect(); return event.clientY < box.top + box.height / 2; }) ?? null;
}

function unmark() {
  for (const one of queue.querySelectorAll(".drops-before, .drops-last")) one.classList.remove("drops-before", "drops-last");
}

queue.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-place]");
  if (!dragged) return;
  dragged.classList.add("is-dragged");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.waiting);
});

queue.addEventListener("dragover", (event) => {
  const before = target(event);
  if (before === undefined) return;
  event.preventDefault(); // says that it may be dropped here
  unmark();
  if (before) before.classList.add("drops-before");
  else dragged.parentElement.classList.add("drops-last");
});

queue.addEventListener("drop", (event) => {
  const before = target(event);
  if (before === undefined) return;
  event.preventDefault();
  const { place } = dragged.dataset;
  const csrfmiddlewaretoken = queue.querySelector("[name=csrfmiddlewaretoken]").value;
  finish();
  const values = { before: before?.dataset.waiting ?? "", csrfmiddlewaretoken };
  moved = moved.then(() => window.htmx.ajax("POST", place, { target: queue, values })).catch(() => {});
});

queue.addEventListener("dragend", finish);

function finish() {
  unmark();
  dragged?.classList.remove("is-dragged");
  dragged = null;
}

// A refresh in the middle of a drag would take the row out of the hand.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (dragged && event.detail.target === queue) event.detail.shouldSwap = false;
});
