// The faces of a batch's page, fetched anew: not while somebody ticks or filters them, for what was ticked, typed
// or opened would be gone.
import { fetchPart } from "./parts.js";

const AGAIN_MS = 1000;
const page = document.querySelector("[data-batch]");
let opened = null; // a filter that somebody is about to choose from
let timer = 0;

function isInUse() {
  const isTyped = document.activeElement?.id === "face-text";
  const isAsking = document.querySelector("#faces form.htmx-request"); // its answer would find no place any more
  return isTyped || Boolean(opened?.isConnected || isAsking || document.querySelector("[data-select]:checked"));
}

/** Show what the server has now, as soon as nobody is at it. */
export function refreshFaces() {
  clearTimeout(timer);
  if (isInUse()) timer = setTimeout(refreshFaces, AGAIN_MS);
  else fetchPart("#faces", () => page.dataset.faces + location.search);
}

// Nothing tells whether a list is open. A filter that keeps the focus after a choice is at rest.
for (const kind of ["pointerdown", "keydown"]) {
  document.addEventListener(kind, (event) => {
    const filter = event.target.closest?.("#faces select");
    if (filter && event.key !== "Escape" && event.key !== "Tab") opened = filter;
  });
}
for (const kind of ["change", "focusout"]) {
  document.addEventListener(kind, (event) => {
    if (event.target === opened) opened = null;
  });
}

/** Whether somebody has typed on since the form of the filters sent what is answered now. */
function isOvertaken({ elt, formData }) {
  const text = document.getElementById("face-text");
  return Boolean(text) && elt === text.form && formData.get("text") !== text.value;
}

// Somebody may have begun while they were on their way. A filter's own answer comes from its form, which goes with
// the faces: what was typed since is asked for by the form that is there, and by no other.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  if (target.id !== "faces") return;
  if (isOvertaken(requestConfig)) event.detail.shouldSwap = false;
  if (requestConfig.elt !== target || !isInUse()) return;
  event.detail.shouldSwap = false;
  refreshFaces();
});
