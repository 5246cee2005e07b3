// Says when work of this person has ended: in a corner of every open page, and, where they have asked for it,
// as a notification of the browser and with a sound. Kept in this browser only.
import { followEnds } from "./live.js";
import { toast } from "./toast.js";

const WANTED = "notify"; // "yes" once somebody has pressed the button
const SOUND = "notify-sound";
const UNTIL = "ends-until"; // up to which moment this browser has been told
const TOLD = "ends-told"; // what it has been told lately: a moment is not exact enough
const REMEMBERED = 200; // more than end within the seconds that the server tells twice
const DELAY = 1000; // ms: pages that are only passed through need no socket

function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is forbidden: toasts still come
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // as above
  }
}

/** Whether this browser offers notifications here at all: not over plain http from another machine. */
export const canNotify = () => "Notification" in window && window.isSecureContext;
export const isWanted = () => canNotify() && Notification.permission === "granted" && kept(WANTED) === "yes";
export const hasSound = () => kept(SOUND) === "yes";
export const setSound = (isOn) => keep(SOUND, isOn ? "yes" : "no");
export const stop = () => keep(WANTED, "no");

/** Ask the browser; only ever after a press of a button. */
export async function ask() {
  if ((await Notification.requestPermission()) === "granted") keep(WANTED, "yes");
}

/** Two short tones. Browsers stay silent on a page that nobody has touched yet. */
export function sound() {
  const context = new AudioContext();
  const gain = context.createGain();
  gain.gain.setValueAtTime(0.08, context.currentTime);
  gain.connect(context.destination);
  for (const [at, pitch] of [[0, 660], [0.16, 880]]) {
    const tone = context.createOscillator();
    tone.frequency.value = pitch;
    tone.connect(gain);
    tone.start(context.currentTime + at);
    tone.stop(context.currentTime + at + 0.14);
  }
  setTimeout(() => context.close(), 600);
}

/** Show a notification of the browser. The same tag shows once, however many pages are open. */
export async function notify(title, body, { url = "/account", tag = "try" } = {}) {
  const options = { body, tag, data: { url }, icon: document.querySelector("link[rel=icon]").href };
  try {
    const shown = new Notification(title, options);
    shown.addEventListener("click", () => { window.focus(); location.href = url; shown.close(); });
  } catch { // phones allow it to service workers only
    (await navigator.serviceWorker?.getRegistration())?.showNotification(title, options);
  }
}

function say(end) {
  const words = end.state === "finished" ? "has finished" : "has failed";
  if (location.pathname !== end.url) {
    toast(`${end.title} ${words}.`, end.state === "finished" ? "success" : "error", { url: end.url, label: "Look" });
  }
  return words;
}

/** Of several pages of one browser, one notifies and sounds; the lock lets them take turns. */
async function tellOnce(end, words) {
  const first = async () => {
    const told = JSON.parse(kept(TOLD) ?? "[]");
    if (told.includes(end.key)) return false;
    keep(TOLD, JSON.stringify([...told, end.key].slice(-REMEMBERED)));
    return true;
  };
  const isFirst = navigator.locks ? await navigator.locks.request("ends", first) : await first();
  if (!isFirst) return;
  if (isWanted()) notify(`${end.title} ${words}`, end.reason || end.kind, { url: end.url, tag: end.key });
  if (hasSound()) sound();
}

const shown = new Set(JSON.parse(kept(TOLD) ?? "[]"));

function onEnds({ until, ended }) {
  for (const end of ended) {
    if (shown.has(end.key)) continue;
    shown.add(end.key);
    tellOnce(end, say(end));
  }
  keep(UNTIL, until);
}

if (document.getElementById("side")) setTimeout(() => followEnds(onEnds, kept(UNTIL) ?? ""), DELAY);
