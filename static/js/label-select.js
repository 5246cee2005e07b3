// Select many faces of a batch's grid and set them at once: ticks, Shift for a range, then one key.
import { refreshFaces } from "./label-faces.js";
import { Outbox, SIGNED_OUT, refused } from "./label-outbox.js";
import { toast } from "./toast.js";

const settings = JSON.parse(document.getElementById("review-settings").textContent);
const bar = document.querySelector("[data-select-bar]");
const outbox = new Outbox(settings);
let last = null;
let undoable = []; // what the latest setting said: [{index, key}]

const ticks = () => [...document.querySelectorAll("[data-select]")];
const ticked = () => ticks().filter((box) => box.checked);

function count() {
  const chosen = ticked().length;
  bar.hidden = !chosen && !undoable.length;
  bar.toggleAttribute("data-idle", !chosen); // then there is only something to undo
  bar.querySelector("[data-select-done]").textContent = `${undoable.length} set`;
  bar.querySelector("[data-select-count]").textContent = chosen;
}

function all(isOn) {
  for (const box of ticks()) box.checked = isOn;
  count();
}

function none() {
  if (!ticked().length) undoable = [];
  all(false);
}

function set(verdict, label) {
  const faces = ticked().map((box) => Number(box.dataset.select));
  if (!faces.length) return toast("Select faces first.");
  undoable = faces.map((index) => ({ index, key: outbox.add({ index, verdict, label }).key }));
  all(false);
}

function undo() {
  if (!undoable.length) return toast("There is nothing to undo.");
  for (const { index, key } of undoable) outbox.add({ index, undoes: key });
  undoable = [];
  count();
}

function press(button) {
  if ("selectAll" in button.dataset) all(true);
  else if ("selectNone" in button.dataset) none();
  else if ("selectUndo" in button.dataset) undo();
  else set(button.dataset.verdict, "label" in button.dataset ? Number(button.dataset.label) : null);
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-select]");
  if (box) {
    const boxes = ticks();
    if (event.shiftKey && last?.isConnected) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
    }
    last = box;
    count();
  }
  const button = event.target.closest("[data-select-key]");
  if (button) press(button);
});

document.addEventListener("keydown", (event) => {
  if (bar.hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("select, textarea, dialog, input:not([data-select])")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = bar.querySelector(`[data-select-key="${CSS.escape(key)}"]`);
  if (!button) return;
  event.preventDefault();
  press(button);
});

// What the grid shows follows once all has arrived.
outbox.addEventListener("change", (event) => {
  if (!event.detail) refreshFaces();
});
outbox.addEventListener("sent", (event) => {
  const lost = refused(event.detail);
  if (!lost.size) return;
  undoable = undoable.filter(({ key }) => !lost.has(key));
  toast("Somebody else has spoken of some of these faces since; what they said holds.", "warning");
  count();
});
outbox.addEventListener("trouble", (event) => {
  toast(event.detail.status === 401 ? SIGNED_OUT : "Not sent yet; trying again.", "warning");
});
document.body.addEventListener("htmx:afterSettle", count);
