// Dialogs: <button data-opens="id"> opens <dialog id="id">, [data-closes] inside it closes it.
// Questions: a form, link or htmx element with data-confirm="What will happen" (and data-confirm-title,
// data-confirm-label) asks before it goes on.

/** Ask, and answer whether the person agreed. */
export function confirmed(text, { title = "Are you sure?", label = "Go on" } = {}) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-confirm-title]").textContent = title;
  dialog.querySelector("[data-confirm-text]").textContent = text;
  dialog.querySelector("[data-confirm-yes]").textContent = label;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

let asking = null; // the form or element whose question is open
const held = new Map(); // part of the page -> the answer that would have replaced it meanwhile

/** Ask what `source` says; its part of the page stays until that is answered. */
async function agreed(source, element = source) {
  const { confirm, confirmTitle, confirmLabel } = source.dataset;
  asking = element;
  const isAgreed = await confirmed(confirm, { title: confirmTitle, label: confirmLabel });
  asking = null;
  if (!isAgreed) fetchHeld(); // otherwise what was asked for shows the page anew
  held.clear();
  return isAgreed;
}

// News must not take out the form that asks: browsers drop what a form outside the page sends, and say nothing.
function hold(event) {
  const { detail } = event;
  if (!asking || !detail.shouldSwap || !detail.target.contains(asking)) return;
  detail.shouldSwap = false;
  if (detail.requestConfig?.verb === "get") held.set(detail.target, detail);
}

document.addEventListener("htmx:beforeSwap", hold);
document.addEventListener("htmx:oobBeforeSwap", hold); // comes along with another part, and does again

function fetchHeld() {
  for (const [target, { requestConfig, etc }] of held) {
    const { path, elt: source } = requestConfig;
    window.htmx.ajax("GET", path, { source, target, swap: etc.swapOverride, select: etc.select });
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const source = event.submitter?.dataset.confirm ? event.submitter : form;
  if (!source.dataset?.confirm || form.dataset.agreed) return;
  event.preventDefault();
  event.stopPropagation();
  if (await agreed(source, form)) {
    form.dataset.agreed = "true";
    form.requestSubmit(event.submitter ?? undefined);
    delete form.dataset.agreed;
  }
}, true);

document.addEventListener("htmx:confirm", async (event) => {
  const element = event.target;
  if (element.matches("form") || !element.dataset.confirm) return;
  event.preventDefault();
  if (await agreed(element)) event.detail.issueRequest(true);
});

/** A click on the backdrop has the dialog itself as its target, as one in its padding has. */
function isOnBackdrop({ target, clientX, clientY }) {
  if (!target.matches?.("dialog.dialog:not(#confirm)")) return false;
  const { left, right, top, bottom } = target.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

let hasBegunOutside = false; // and not within, as a selection of text that ends outside
document.addEventListener("pointerdown", (event) => { hasBegunOutside = isOnBackdrop(event); });

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens).showModal();
  }
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  if (hasBegunOutside && isOnBackdrop(event)) event.target.close();
});
