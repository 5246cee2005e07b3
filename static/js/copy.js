// <button data-copies="#id"> puts the text or value of that element on the clipboard.
import { toast } from "./toast.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copies);
  const text = source.value ?? source.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.", "success");
  } catch {
    // the clipboard is closed to pages without TLS: select it instead, for the keyboard
    source.select?.();
    toast("Press Ctrl+C to copy the selected text.");
  }
});
