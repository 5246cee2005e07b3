// Short messages in a corner. From JavaScript, toast("Saved"); from a view answering htmx, the header
// HX-Trigger: {"toast": {"text": "Saved", "level": "success"}}.
import { icon } from "./icons.js";

const SECONDS = { info: 5, success: 4, warning: 8, error: 12 };
const ICONS = { info: "info-circle", success: "circle-check", warning: "alert-circle", error: "alert-circle" };

/**
 * Show a message; it leaves by itself. `level` is info, success, warning or error. With a `url` a link
 * follows the words.
 */
export function toast(text, level = "info", { url = "", label = "" } = {}) {
  const note = document.createElement("div");
  note.className = `note note-${level}`;
  note.dataset.dismissible = "";
  const words = document.createElement("div");
  words.textContent = text;
  if (url) {
    const link = document.createElement("a");
    link.href = url;
    link.textContent = label;
    words.append(" ", link);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "note-close";
  close.setAttribute("aria-label", "Dismiss");
  close.append(icon("x"));
  note.append(icon(ICONS[level] ?? "info-circle"), words, close);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), (SECONDS[level] ?? 5) * 1000);
}

document.addEventListener("click", (event) => {
  const close = event.target.closest(".note-close");
  if (close) close.closest("[data-dismissible]")?.remove();
});

document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.level));

const REASONS = {
  403: "You may not do this.",
  404: "This is no longer there.",
  413: "That is too large.",
  429: "Too many tries; wait a little.",
};

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  toast(REASONS[status] ?? `The server answered with an error (${status}).`, "error");
});
document.addEventListener("htmx:sendError", ({ detail }) => {
  const isSaid = detail.requestConfig.verb === "get" && document.getElementById("offline")?.hidden === false;
  if (!isSaid) toast("The server cannot be reached.", "error"); // else the page fetches by itself, and the banner tells
});
