// The account page's switches for notifications of this browser.
import { ask, canNotify, hasSound, isWanted, notify, setSound, sound, stop } from "./notify.js";
import { toast } from "./toast.js";

const card = document.querySelector("[data-notifications]");
const part = (name) => card.querySelector(`[data-notify-${name}]`);

function state() {
  if (!canNotify()) return "This browser allows notifications only over HTTPS or on the machine itself.";
  if (Notification.permission === "denied") return "This browser has been told to block notifications from here; its own settings can change that.";
  return isWanted() ? "This browser notifies you." : "This browser does not notify you.";
}

function show() {
  part("state").textContent = state();
  part("allow").hidden = !canNotify() || isWanted() || Notification.permission === "denied";
  part("stop").hidden = !isWanted();
  part("sound").checked = hasSound();
}

part("allow").addEventListener("click", async () => {
  await ask();
  show();
  (part("stop").hidden ? part("try") : part("stop")).focus();
});
part("stop").addEventListener("click", () => {
  stop();
  show();
  part("allow").focus();
});
part("try").addEventListener("click", () => {
  toast("A run has finished: so it is said here.", "success");
  if (isWanted()) notify("A run has finished", "So it is said while you look elsewhere.");
  if (hasSound()) sound();
});
part("sound").addEventListener("change", (event) => {
  setSound(event.target.checked);
  if (event.target.checked) sound();
});
show();
