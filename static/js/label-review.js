// Reviewing faces by keyboard: one key an answer. The next face is shown when the answer cannot be lost any more.
import { fetchPhoto, photoOf } from "./label-around.js";
import { Figures } from "./label-figures.js";
import { Outbox, SIGNED_OUT, post, refused, uuid } from "./label-outbox.js";
import { drawStrip } from "./label-strip.js";
import { toast } from "./toast.js";

const AHEAD = 12; // faces that are fetched and decoded before they are needed
const RENEW_MS = 30_000;
const SEEK_MS = 3000; // between tries while there is no face to show
const VERDICTS = { not_a_face: "not a face", unsure: "unsure", skipped: "skipped" };

const root = document.querySelector("[data-review]");
const settings = JSON.parse(document.getElementById("review-settings").textContent);
const part = (name) => root.querySelector(`[data-review-${name}]`);
const outbox = new Outbox(settings);
const figures = new Figures(root);
const page = (sessionStorage.reviewPage ??= uuid()); // a tab's name: a reload goes on with the same faces

const shown = []; // faces in the order they were seen; the last ones are still to come
let at = 0;
let isOver = false;
let isFetching = false;
let lentUntil = "";
let undoable = []; // {face, key, before}, the latest last

const present = () => shown[at];
// What is shown while the next faces are on their way: the last one has its answer, and keys are for none.
const NONE = { index: "", image: part("picture").firstElementChild, file: "Fetching faces…", probabilities: [], answers: [],
  second: { says: "…", shares: [] } };
const nameOf = (said) => (said.verdict === "label" ? settings.classes[said.label] : VERDICTS[said.verdict]);

/** Fetch faces until enough wait behind the present one; renews the loan of those that do. */
async function fetchMore() {
  if (isFetching) return;
  isFetching = true;
  const unsaid = shown.filter((face) => !face.said && !face.isLost);
  const answered = outbox.waiting().map((row) => row.index);
  const ahead = shown.slice(at).filter((face) => !face.said).length;
  try {
    const holding = [...new Set([...unsaid.map((face) => face.index), ...answered])];
    const count = Math.max(0, AHEAD - ahead);
    const told = await post(settings.next, { page, order: root.dataset.order, deciding: settings.deciding, holding, count });
    take(told, unsaid.filter((face) => !answered.includes(face.index)), count); // an undo may be on its way
  } catch (error) {
    trouble(error.status ?? 0);
  } finally {
    isFetching = false;
  }
}

/** Ask again where no face has come: a lost connection may be back. */
function seek() {
  if (!present() && !isOver) fetchMore();
}

function take(told, unsaid, asked) {
  lentUntil = told.until;
  for (const face of unsaid) face.isLost = !face.said && !told.kept.includes(face.index);
  const known = new Set([...shown.filter((face) => !face.isLost).map((face) => face.index), ...outbox.waiting().map((row) => row.index)]);
  for (const face of told.faces.filter((each) => !known.has(each.index))) {
    face.image = new Image();
    face.image.alt = `Face of ${face.file}`;
    face.image.src = face.url;
    face.image.decode().catch(() => {}); // a picture that is gone shows its text
    if (isAround) fetchPhoto(face);
    shown.push(face);
  }
  isOver = asked > 0 && !told.faces.length;
  figures.show(told.standing);
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
let isAround = false; // whether faces are shown in their photos

/** The face's picture; in its photo where that is wished and was kept. */
function picture(face) {
  if (face === onScreen) return;
  const inPhoto = isAround && Boolean(face.photo);
  part("picture").toggleAttribute("data-around", inPhoto);
  part("picture").replaceChildren(inPhoto ? photoOf(face) : face.image);
  onScreen = face;
}

/** Where the next face without an answer is, from a place on and then from the start; -1 where none is. */
function openFrom(place) {
  const isOpen = (face) => !face.said && !face.isLost;
  const later = shown.findIndex((face, i) => i >= place && isOpen(face));
  return later < 0 ? shown.findIndex(isOpen) : later;
}

function show() {
  // The end has come when none is left: faces that were passed over wait here for an answer, lent to nobody else.
  if (at === shown.length && isOver && openFrom(0) >= 0) at = openFrom(0);
  part("end").hidden = Boolean(present()) || !isOver;
  part("body").hidden = !present() && isOver;
  drawStrip(part("strip"), shown, at, { name: nameOf, go: (place) => go(place - at) });
  const face = present() ?? NONE;
  picture(face);
  part("stage").dataset.index = face.index;
  part("file").textContent = face.file;
  part("file").title = face.file;
  part("said").textContent = face.said ? `You said: ${nameOf(face.said)}` : "";
  for (const name of ["around", "photo"]) part(name).hidden = !face.photo;
  part("photo").href = face.photo?.page ?? "";
  for (const button of root.querySelectorAll("[data-label]")) {
    const label = Number(button.dataset.label);
    const share = face.probabilities[label] ?? 0;
    button.style.setProperty("--share", share.toFixed(4));
    if (face.second) button.style.setProperty("--second", (face.second.shares[label] ?? 0).toFixed(4));
    button.querySelector("[data-share]").textContent = face === NONE ? "" : `${(100 * share).toFixed(1)} %`;
    button.classList.toggle("is-models", label === face.label);
    button.setAttribute("aria-pressed", String(face.said?.verdict === "label" && face.said.label === label));
  }
  if (face.answers) part("answers")?.replaceChildren(...face.answers.map(answer));
  if (face.second && part("second")) part("second").textContent = face.second.says;
}

function answer({ by, said }) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = by;
  const word = document.createElement("b");
  word.textContent = said.toLowerCase();
  item.append(name, word);
  return item;
}

async function say(verdict, label) {
  const face = present();
  if (!face) return;
  const { key, safe } = outbox.add({ index: face.index, verdict, label, ...(settings.deciding && { decides: true }) });
  undoable.push({ face, key, before: face.said });
  face.said = { verdict, label };
  figures.answered();
  await safe;
  if (present() !== face) return;
  const open = openFrom(at);
  go(isOver ? (open < 0 ? shown.length : open) - at : 1); // past those that were answered before
}

function undo() {
  const last = undoable.pop();
  if (!last) return toast("There is nothing to undo.");
  outbox.add({ index: last.face.index, undoes: last.key });
  last.face.said = last.before;
  at = shown.indexOf(last.face);
  show();
}

/** What the server did not keep cannot be taken back, and the face is somebody else's now. */
function letGo(keys) {
  const latest = new Map(undoable.map(({ face, key }) => [face, key]));
  for (const [face, key] of latest) if (keys.has(key)) Object.assign(face, { said: undefined, isLost: true });
  undoable = undoable.filter(({ key }) => !keys.has(key));
  show();
}

function go(by) {
  at = Math.max(0, Math.min(shown.length, at + by));
  if (at === shown.length && by > 0 && isOver && openFrom(0) < 0) fetchMore();
  show();
  if (shown.length - at < AHEAD / 2) fetchMore();
}

let troubled = "";

function trouble(status) {
  const texts = { 401: SIGNED_OUT, 403: "You may no longer correct these labels.", 404: "This batch is no longer there." };
  troubled = texts[status] ?? "";
  waiting(outbox.waiting().length);
}

function waiting(count) {
  const wait = count ? `${count} ${count === 1 ? "answer waits" : "answers wait"} to be sent` : "";
  part("sending").textContent = [troubled, outbox.tries || troubled ? wait : ""].filter(Boolean).join(" ");
  root.dataset.waiting = count;
}

/** Hide or show what the model says, so that it leads nobody. */
function hideModel(isHidden) {
  root.toggleAttribute("data-blind", isHidden);
  part("blind").setAttribute("aria-pressed", String(isHidden));
  root.querySelector("[data-agree]").disabled = isHidden;
  localStorage.reviewBlind = isHidden ? "yes" : "";
}

/** Show the faces in their photos from now on, or alone again; those that come next are fetched ahead. */
function showAround(isWished) {
  isAround = isWished;
  part("around").setAttribute("aria-pressed", String(isAround));
  if (isAround) for (const face of shown.slice(at)) fetchPhoto(face);
  onScreen = null;
  if (present()) picture(present());
  part("stage").scrollIntoView({ block: "nearest" }); // on a phone the button is below
}

function press(button) {
  if (button.disabled || button.hidden) return null;
  if ("reviewAround" in button.dataset) return showAround(!isAround);
  if ("undo" in button.dataset) return undo();
  if ("back" in button.dataset) return go(-1);
  if ("forward" in button.dataset) return go(1);
  if ("reviewBlind" in button.dataset) return hideModel(!root.hasAttribute("data-blind"));
  if ("agree" in button.dataset) return present() && say("label", present().label);
  return say(button.dataset.verdict, "label" in button.dataset ? Number(button.dataset.label) : null);
}

// One press after the other: what is typed while an answer is being kept is for the face that comes then.
let pressing = Promise.resolve();

function inTurn(button) {
  pressing = pressing.then(() => press(button)).catch((error) => console.error(error));
  return pressing;
}

document.addEventListener("keydown", async (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea, dialog, a, .side, .toasts")) return;
  if (event.key === "Enter" && event.target.closest("button, summary")) return; // it presses that
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = root.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!button) return;
  event.preventDefault();
  await inTurn(button);
  // How long a reviewer waits for the next face, for whoever measures (User Timing): the second frame begins
  // when the first, which shows it, is done.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.measure("key to next face", { start: event.timeStamp, end: performance.now() });
  }));
});
root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-key]");
  if (!button) return;
  inTurn(button);
  button.blur(); // or Enter would press it again
});
document.getElementById("review-order")?.addEventListener("change", (event) => {
  location.search = new URLSearchParams({ order: event.target.value });
});
outbox.addEventListener("change", (event) => waiting(event.detail));
outbox.addEventListener("trouble", (event) => trouble(event.detail.status));
outbox.addEventListener("sent", (event) => {
  troubled = "";
  figures.show(event.detail.standing);
  const lost = refused(event.detail);
  if (lost.size) letGo(lost);
  const fates = Object.values(event.detail.fates);
  if (fates.includes("overtaken")) toast("Somebody else has spoken of that face since; what they said holds.", "warning");
  if (fates.includes("gone")) toast("A face that you answered for is gone.", "warning");
  seek();
});
// A picture that did not come while the connection was lost is asked for again.
addEventListener("online", () => {
  for (const { image, url } of shown.slice(at)) if (image.complete && !image.naturalWidth) image.src = url;
  fetchMore();
});
setInterval(() => document.hidden || fetchMore(), RENEW_MS);
setInterval(() => document.hidden || seek(), SEEK_MS);
document.addEventListener("visibilitychange", () => document.hidden || fetchMore());
// Faces that wait here are for others, or for another tab, as soon as nobody looks at this one.
addEventListener("pagehide", () => {
  if (lentUntil) post(settings.back, { page, until: lentUntil }).catch(() => {}); // then they are free in two minutes
});
addEventListener("pageshow", (event) => event.persisted && fetchMore());
hideModel(localStorage.reviewBlind === "yes");
await outbox.ready;
fetchMore();
