// Reviewing faces by keyboard: one key an answer, and the next face is on the screen before it can be missed.
import { Outbox, post, uuid } from "./label-outbox.js";
import { toast } from "./toast.js";

const AHEAD = 12; // faces that are fetched and decoded before they are needed
const RENEW_MS = 30_000;
const PACE_OF = 20; // the last answers, whose pace is shown

const root = document.querySelector("[data-review]");
const settings = JSON.parse(document.getElementById("review-settings").textContent);
const part = (name) => root.querySelector(`[data-review-${name}]`);
const outbox = new Outbox(settings);
const page = (sessionStorage.reviewPage ??= uuid()); // a tab's name: a reload goes on with the same faces

const shown = []; // faces in the order they were seen; the last ones are still to come
let at = 0;
let isOver = false;
let isFetching = false;
const undoable = []; // {face, key}, the latest last
const moments = [];

const present = () => shown[at];

/** Fetch faces until enough wait behind the present one; renews the loan of those that do. */
async function fetchMore() {
  if (isFetching) return;
  isFetching = true;
  const unsaid = shown.filter((face) => !face.said && !face.isLost);
  const answered = outbox.waiting().map(([, row]) => row.index);
  const ahead = shown.slice(at).filter((face) => !face.said).length;
  try {
    const holding = [...new Set([...unsaid.map((face) => face.index), ...answered])];
    const told = await post(settings.next, { page, order: root.dataset.order, holding, count: Math.max(0, AHEAD - ahead) });
    take(told, unsaid.filter((face) => !answered.includes(face.index))); // an undo may be on its way
  } catch (error) {
    trouble(error.status ?? 0);
  } finally {
    isFetching = false;
  }
}

function take(told, unsaid) {
  for (const face of unsaid) face.isLost = !face.said && !told.kept.includes(face.index);
  const known = new Set([...shown.filter((face) => !face.isLost).map((face) => face.index), ...outbox.waiting().map(([, row]) => row.index)]);
  const fresh = told.faces.filter((face) => !known.has(face.index));
  for (const face of fresh) {
    face.image = new Image();
    face.image.alt = `Face of ${face.file}`;
    face.image.src = face.url;
    face.image.decode().catch(() => {}); // a picture that is gone shows its text
    shown.push(face);
  }
  isOver = !told.faces.length;
  figures(told.standing);
  dropLost();
  show();
}

/** Faces whose loan ran out while nobody looked are somebody else's now. */
function dropLost() {
  const here = present();
  for (let i = shown.length - 1; i >= at; i -= 1) if (shown[i].isLost && !shown[i].said) shown.splice(i, 1);
  if (here && !shown.includes(here)) toast("Somebody else reviews that face now.");
}

let onScreen = null;

function show() {
  const face = present();
  part("end").hidden = Boolean(face) || !isOver;
  root.querySelector(".review-stage").hidden = !face && isOver;
  if (!face) {
    onScreen = null;
    return;
  }
  if (face !== onScreen) part("picture").replaceChildren(face.image);
  onScreen = face;
  part("stage").dataset.index = face.index;
  part("file").textContent = face.file;
  part("file").title = face.file;
  const words = { not_a_face: "not a face", unsure: "unsure", skipped: "skipped" };
  part("said").textContent = face.said ? `You said: ${face.said.verdict === "label" ? settings.classes[face.said.label] : words[face.said.verdict]}` : "";
  for (const button of root.querySelectorAll("[data-label]")) {
    const label = Number(button.dataset.label);
    const share = face.probabilities[label] ?? 0;
    button.style.setProperty("--share", share.toFixed(4));
    button.querySelector("[data-share]").textContent = `${(100 * share).toFixed(1)} %`;
    button.classList.toggle("is-models", label === face.label);
    button.setAttribute("aria-pressed", String(face.said?.verdict === "label" && face.said.label === label));
  }
}

function say(verdict, label) {
  const face = present();
  if (!face) return;
  const key = outbox.add({ index: face.index, verdict, label });
  undoable.push({ face, key, before: face.said });
  face.said = { verdict, label };
  pace();
  go(1);
}

function undo() {
  const last = undoable.pop();
  if (!last) return toast("There is nothing to undo.");
  outbox.add({ index: last.face.index, undoes: last.key });
  last.face.said = last.before;
  at = shown.indexOf(last.face);
  show();
}

function go(by) {
  at = Math.max(0, Math.min(shown.length, at + by));
  if (at === shown.length && by > 0 && isOver && !shown.some((face) => !face.said)) fetchMore();
  show();
  if (shown.length - at < AHEAD / 2) fetchMore();
}

function pace() {
  moments.push(performance.now());
  if (moments.length > PACE_OF) moments.shift();
  if (moments.length < 3) return;
  const minutes = (moments.at(-1) - moments[0]) / 60_000;
  part("pace").textContent = `${Math.round((moments.length - 1) / minutes)} a minute`;
}

function figures({ faces, reviewed, changed, accuracy }) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  part("done").textContent = reviewed.toLocaleString("en");
  part("all").textContent = faces.toLocaleString("en");
  part("changed").textContent = changed.toLocaleString("en");
  part("bar").style.width = `${faces ? (100 * reviewed) / faces : 0}%`;
  root.querySelector("[role=progressbar]").setAttribute("aria-valuenow", reviewed);
  part("accuracy").textContent = accuracy
    ? `The model is right on ${percent(accuracy.share)} (${percent(accuracy.low)} to ${percent(accuracy.high)}, ${accuracy.of.toLocaleString("en")} random faces)`
    : "";
}

let troubled = "";

function trouble(status) {
  const texts = { 401: "You were signed out. Sign in again in another tab; your answers wait here.", 403: "You may no longer correct these labels.", 404: "This batch is no longer there." };
  troubled = texts[status] ?? "";
  waiting(outbox.waiting().length);
}

function waiting(count) {
  const wait = count ? `${count} ${count === 1 ? "answer waits" : "answers wait"} to be sent` : "";
  part("sending").textContent = [troubled, outbox.tries || troubled ? wait : ""].filter(Boolean).join(" ");
  root.dataset.waiting = count;
}

function press(button) {
  if ("undo" in button.dataset) undo();
  else if ("back" in button.dataset) go(-1);
  else if ("forward" in button.dataset) go(1);
  else if ("agree" in button.dataset) present() && say("label", present().label);
  else say(button.dataset.verdict, "label" in button.dataset ? Number(button.dataset.label) : null);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea, dialog, a, .side, .toasts")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = root.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!button) return;
  event.preventDefault();
  press(button);
  // How long a reviewer waits for the next face, for whoever measures (User Timing): the second frame begins
  // when the first, which shows it, is done.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.measure("key to next face", { start: event.timeStamp, end: performance.now() });
  }));
});
root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-key]");
  if (!button) return;
  press(button);
  button.blur(); // or Enter would press it again
});
outbox.addEventListener("change", (event) => waiting(event.detail));
outbox.addEventListener("trouble", (event) => trouble(event.detail.status));
outbox.addEventListener("sent", (event) => {
  troubled = "";
  figures(event.detail.standing);
  const fates = Object.values(event.detail.fates);
  if (fates.includes("overtaken")) toast("Somebody else has spoken of that face since; it was not undone.", "warning");
  if (fates.includes("gone")) toast("A face that you answered for is gone.", "warning");
});
// A picture that did not come while the connection was lost is asked for again.
addEventListener("online", () => {
  for (const { image, url } of shown.slice(at)) if (image.complete && !image.naturalWidth) image.src = url;
  fetchMore();
});
setInterval(() => document.hidden || fetchMore(), RENEW_MS);
document.addEventListener("visibilitychange", () => document.hidden || fetchMore());
outbox.flush();
fetchMore();
