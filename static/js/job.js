// Keeps {% state_badge %} and {% job_progress %} true while a job goes on, and tells the page:
//   "job-snapshot" on the component, with the snapshot, at each change;
//   "job-over" on the component, once, when the job has finished, failed or stopped.
// Lists that fetch themselves anew use hx-trigger="jobs-changed from:body" (sent at most once a second).
import { duration, number, rate } from "./format.js";
import { icon } from "./icons.js";
import { follow, followAll } from "./live.js";

const ICONS = {
  queued: "clock", starting: "loader", running: "player-play", pausing: "player-pause", paused: "player-pause",
  stopping: "player-stop", stopped: "player-stop", finished: "check", failed: "alert-triangle",
};
const OVER = new Set(["stopped", "finished", "failed"]);
const following = new Map(); // job id -> the function that ends it

/** Write a snapshot into every component of that job. */
export function show(job) {
  for (const badge of document.querySelectorAll(`[data-job-state="${job.id}"]`)) showState(badge, job);
  for (const element of document.querySelectorAll(`[data-job="${job.id}"]`)) {
    const was = element.dataset.state;
    showProgress(element, job);
    element.dispatchEvent(new CustomEvent("job-snapshot", { bubbles: true, detail: job }));
    if (!OVER.has(was) && OVER.has(job.state)) {
      element.dispatchEvent(new CustomEvent("job-over", { bubbles: true, detail: job }));
    }
  }
}

function showState(badge, job) {
  if (badge.dataset.state === job.state) return;
  badge.dataset.state = job.state;
  badge.querySelector(".icon").replaceWith(icon(ICONS[job.state]));
  badge.querySelector("[data-job-label]").textContent = job.label;
}

function showProgress(element, job) {
  const share = job.total ? Math.min(100, (100 * job.done) / job.total) : 0;
  element.dataset.state = job.state;
  element.querySelector("[data-job-bar]").style.width = `${share.toFixed(1)}%`;
  element.querySelector("[role=progressbar]").setAttribute("aria-valuenow", share.toFixed(1));
  const write = (name, text) => { element.querySelector(`[data-job-${name}]`).textContent = text; };
  write("phase", job.phase);
  write("count", job.total ? `${number(job.done)} of ${number(job.total)} ${job.unit}` : "");
  write("rate", job.rate ? `${rate(job.rate)}/s` : "");
  write("left", job.seconds_left === null ? "" : `${duration(job.seconds_left)} left`);
  const reason = element.querySelector("[data-job-reason]");
  reason.textContent = job.reason;
  reason.hidden = !job.reason;
}

function followWhatIsShown() {
  const wanted = new Set();
  for (const element of document.querySelectorAll("[data-job][data-follow]")) wanted.add(element.dataset.job);
  for (const id of wanted) {
    if (following.has(id)) continue;
    const after = document.querySelector(`[data-job="${id}"]`).dataset.seq ?? 0;
    following.set(id, follow(id, { after: Number(after), onSnapshot: show }));
  }
  for (const [id, end] of following) {
    if (wanted.has(id)) continue;
    end();
    following.delete(id);
  }
}

let endLists = null;

function followLists() {
  const isWanted = document.querySelector('[hx-trigger*="jobs-changed"]') !== null;
  if (isWanted && !endLists) {
    endLists = followAll(() => document.body.dispatchEvent(new CustomEvent("jobs-changed")));
  } else if (!isWanted && endLists) {
    endLists();
    endLists = null;
  }
}

function start() {
  followWhatIsShown();
  followLists();
}

start();
document.addEventListener("htmx:afterSettle", start);
