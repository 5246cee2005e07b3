// What every page has.
import "./toast.js";
import "./dialogs.js";
import "./menus.js";
import "./relative-time.js";
import "./clock-time.js";
import "./scrolled.js";
import "./copy.js";
import "./job.js";
import "./notify.js";

const toggle = document.querySelector("[data-side-toggle]");
toggle?.addEventListener("click", () => {
  const isOpen = document.getElementById("side").classList.toggle("is-open");
  toggle.setAttribute("aria-expanded", String(isOpen));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || toggle?.getAttribute("aria-expanded") !== "true") return;
  toggle.click();
  toggle.focus();
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  const button = event.submitter;
  if (event.target.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (event.target.method !== "post" || event.target.matches("[hx-post], [hx-boost] form, [data-again]")) return;
  event.target.dataset.sent = "true";
  button?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
});

// Filters that apply as soon as they are chosen: <form data-applies-at-once>.
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-applies-at-once]");
  if (form) form.requestSubmit();
});

// The offline page needs a service worker, which browsers allow on localhost and over TLS.
if ("serviceWorker" in navigator && window.isSecureContext) {
  navigator.serviceWorker.register("/service-worker.js").catch(() => {
    // private windows may forbid it; then the browser shows its own page
  });
}
