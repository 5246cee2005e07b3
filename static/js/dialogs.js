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

function question(element) {
  return [
    element.dataset.confirm,
    { title: element.dataset.confirmTitle, label: element.dataset.confirmLabel },
  ];
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const source = event.submitter?.dataset.confirm ? event.submitter : form;
  if (!source.dataset?.confirm || form.dataset.agreed) return;
  event.preventDefault();
  event.stopPropagation();
  if (await confirmed(...question(source))) {
    form.dataset.agreed = "true";
    form.requestSubmit(event.submitter ?? undefined);
    delete form.dataset.agreed;
  }
}, true);

document.addEventListener("htmx:confirm", async (event) => {
  const element = event.target;
  if (element.matches("form") || !element.dataset.confirm) return;
  event.preventDefault();
  if (await confirmed(...question(element))) event.detail.issueRequest(true);
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens).showModal();
  }
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  // a click on the backdrop has the dialog itself as its target
  if (event.target.matches?.("dialog.dialog:not(#confirm)")) event.target.close();
});
