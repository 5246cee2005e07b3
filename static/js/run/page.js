// The page of a run: it opens with what the server has, and then follows.
import { duration, number, percent, size } from "../format.js";
import { show } from "../job.js";
import { follow } from "../live.js";
import "../chart-tools.js";
import { ask, canNotify, isWanted } from "../notify.js";
import { fetchPart } from "../parts.js";
import { toast } from "../toast.js";
import { CHARTS } from "./charts.js";
import { showChosenFigures } from "./confusion.js";
import { Painter } from "./painter.js";
import { Series } from "./series.js";
import { watchView } from "./view.js";

const page = document.getElementById("run");
const series = new Series();
const view = watchView(page, { onChange: (concerned) => painter.mark(concerned), series });
const painter = new Painter([...page.querySelectorAll("[data-chart]")], (name) => CHARTS[name].build(series, view));

// --- parts of the page that the server renders, fetched anew when they have changed ---------------

const waiting = new Map();
const ON_SHOWN = { results: () => showChosenFigures(), head: () => afterHead() };

/** Fetch a part of the page soon, once for many reasons. */
function refetch(part, selector, delay) {
  if (waiting.has(part)) return;
  waiting.set(part, setTimeout(() => {
    waiting.delete(part);
    fetchPart(selector, () => page.dataset[part], ON_SHOWN[part]);
  }, delay));
}

/** Offered until the browser has been asked once; the account page has the rest. */
function showOffer() {
  const offer = head().querySelector("[data-notify-offer]");
  if (offer) offer.hidden = !canNotify() || isWanted() || Notification.permission === "denied";
}

page.addEventListener("click", async (event) => {
  if (!event.target.closest("[data-notify-offer]")) return;
  await ask();
  showOffer();
  if (isWanted()) toast("This browser tells you when work of yours ends.", "success");
});

function afterHead() {
  showOffer();
  applyShares();
  showEpochs();
}

function applyShares() {
  for (const bar of page.querySelectorAll("#run-head [data-share]")) bar.style.width = `${bar.dataset.share}%`;
}

// --- the head ---------------------------------------------------------------------------------------

let known = { state: head().dataset.state, attempt: head().dataset.attempt, worker: head().dataset.worker };
let heartbeat = { at: null, changed: performance.now() };

function head() {
  return document.getElementById("run-head");
}

function write(name, text) {
  const element = head().querySelector(`[data-live="${name}"]`);
  if (element && element.textContent !== text) element.textContent = text;
}

function onSnapshot(job) {
  show(job);
  const now = { state: job.state, attempt: String(job.attempt), worker: job.worker };
  if (Object.keys(now).some((key) => now[key] !== known[key])) {
    known = now;
    showMachine();
    refetch("head", "#run-head", 0);
    refetch("log", "#history", 300);
    if (!["queued", "starting", "running"].includes(job.state)) refetch("results", "#results", 600);
  }
  write("rate", job.rate ? number(job.rate, 1) : "–");
  write("left", duration(job.seconds_left));
  if (job.heartbeat_at !== heartbeat.at) heartbeat = { at: job.heartbeat_at, changed: performance.now() };
  const time = head().querySelector('[data-live="heartbeat"] time');
  if (time && job.heartbeat_at) time.setAttribute("datetime", job.heartbeat_at);
}

function showEpochs() {
  const rows = series.rows("epochs");
  const bar = head().querySelector('[data-live="run-bar"]');
  if (!rows.length || !bar) return;
  const done = rows[rows.length - 1].epoch + 1;
  write("epoch", String(done));
  bar.style.width = `${Math.min(100, (100 * done) / Number(bar.dataset.epochs))}%`;
}

// Nothing tells a run that waits how far the others are: its head is asked for, and says why it waits.
// A worker that has gone says nothing: its silence is what shows it. The server puts it in words.
setInterval(() => {
  if (known.state === "queued" && !document.hidden) refetch("head", "#run-head", 0);
  if (!["starting", "running", "pausing", "stopping"].includes(known.state) || heartbeat.at === null) return;
  const isSilent = performance.now() - heartbeat.changed > 500 * Number(page.dataset.lostSeconds);
  if (isSilent || head().querySelector("[data-truth]")) refetch("head", "#run-head", 0);
}, 3000);

// --- events -----------------------------------------------------------------------------------------

const LOGGED = new Set(["state", "notice", "started", "stopped", "failed", "evaluated", "finished", "moved",
  "steering", "steered"]);

function onEvents(events) {
  const news = series.take(events);
  // A new best epoch moves the pin on every chart.
  const movesPin = events.some((event) => event.kind === "epoch" && event.best);
  if (news.size) painter.mark((name) => movesPin || news.has(CHARTS[name].from));
  if (news.has("hardware") || news.has("steps")) showMachine();
  if (news.has("epochs")) {
    showEpochs();
    showChips();
    refetch("symptoms", "#symptoms", 1500);
    refetch("results", "#results", 2500);
    if (events.some((event) => event.kind === "epoch" && event.best)) refetch("head", "#run-head", 500);
  }
  if (events.some((event) => event.kind === "steering" || event.kind === "steered")) refetch("head", "#run-head", 0);
  if (events.some((event) => event.kind === "evaluated")) {
    refetch("head", "#run-head", 0);
    refetch("results", "#results", 300);
  }
  if (events.some((event) => LOGGED.has(event.kind))) refetch("log", "#history", 700);
}

function showChips() {
  const last = series.rows("epochs").at(-1);
  for (const chip of page.querySelectorAll("[data-expression-name]")) {
    const k = series.classes.indexOf(chip.dataset.expressionName);
    const recall = last?.[`${view.split}.recall`]?.[k];
    chip.querySelector("[data-chip-figure]").textContent = recall === undefined ? "" : percent(recall, 0);
  }
}

/** The latest readings in figures, and the GPU's charts where there is one. */
function showMachine() {
  const row = series.rows("hardware").at(-1);
  const step = series.rows("steps").at(-1);
  const isGoing = ["starting", "running", "pausing", "stopping"].includes(known.state);
  const put = (name, text) => { page.querySelector(`[data-machine="${name}"]`).textContent = text; };
  put("cpu", row && isGoing ? percent(row.cpu, 0) : "–");
  put("memory", row && isGoing ? size(row.memory_bytes) : "–");
  put("gpu", row && isGoing && row.gpu !== null ? percent(row.gpu, 0) : "–");
  put("wait", step && isGoing ? percent(step.data_wait, 0) : "–");
  put("rate", step && isGoing ? number(step.images_per_second, 1) : "–");
  const hasGpu = series.rows("hardware").some((one) => one.gpu !== null || one.gpu_memory !== null);
  for (const part of page.querySelectorAll("[data-gpu]")) part.hidden = !hasGpu;
}

let marksText = "[]";

/** Notes and orders, which the server sends with the history. */
function takeMarks() {
  const text = document.getElementById("run-marks").textContent;
  if (text === marksText) return;
  marksText = text;
  series.marks = JSON.parse(text);
  painter.mark();
}

document.addEventListener("htmx:afterSettle", takeMarks);

document.body.addEventListener("steered", () => document.getElementById("steer").close());
page.addEventListener("view-changed", showChips);
page.querySelector("[data-only-differences]").addEventListener("change", (event) => {
  page.querySelector(".settings-groups").classList.toggle("only-differences", event.target.checked);
});

async function start() {
  applyShares();
  showOffer();
  showChosenFigures();
  takeMarks();
  const points = await fetched(page.dataset.points);
  series.loadEpochs(points);
  showChips();
  painter.mark((name) => CHARTS[name].from === "epochs");
  follow(page.dataset.jobId, { after: points.seq, onSnapshot, onEvents, onRefused: () => location.reload() });
  // After the epochs, so that no step falls between these and what the socket replays from points.seq.
  const [steps, hardware] = await Promise.all([fetched(page.dataset.steps), fetched(page.dataset.hardware)]);
  series.loadSteps(steps);
  series.loadHardware(hardware);
  showMachine();
  painter.mark((name) => CHARTS[name].from !== "epochs");
}

async function fetched(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`The run's figures could not be fetched (${answer.status}).`);
  return answer.json();
}

start();
