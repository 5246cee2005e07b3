// templates/components/upload.html: choosing, dropping, and the rows that show what is on its way.
import { duration, number, size } from "./format.js";
import { icon } from "./icons.js";
import { dropped, parcels, picked } from "./upload-pack.js";
import { discard, Transfer } from "./upload-transfer.js";

const ICONS = {
  sending: "upload", paused: "player-pause", waiting: "wifi-off", failed: "alert-triangle", done: "circle-check",
};
const WORDS = {
  sending: "Sending", paused: "Paused", waiting: "The connection is lost; trying again…", done: "Arrived whole",
};

class UploadBox {
  constructor(root) {
    this.root = root;
    this.form = root.closest("form");
    this.zone = root.querySelector("[data-upload-zone]");
    this.list = root.querySelector("[data-upload-list]");
    this.template = root.querySelector("template[data-upload-row]");
    this.transfers = new Map(); // row -> transfer
    this.settings = { endpoint: root.dataset.endpoint, chunk: Number(root.dataset.chunk), user: root.dataset.user };
    this.isMultiple = "multiple" in root.dataset;
    this.listen();
    this.update();
    for (const input of root.querySelectorAll("input[type=file]")) this.pick(input); // before this script came
  }

  listen() {
    for (const kind of ["files", "folder"]) {
      const input = this.root.querySelector(`[data-upload-${kind}-input]`);
      this.root.querySelector(`[data-upload-${kind}]`).addEventListener("click", () => input.click());
      input.addEventListener("change", () => this.pick(input));
    }
    this.zone.addEventListener("click", (event) => {
      if (!event.target.closest("button")) this.root.querySelector("[data-upload-files-input]").click();
    });
    this.listenToDrops();
    this.root.addEventListener("click", (event) => this.clicked(event));
  }

  /** Take the files of an input, and empty it: the same file may be chosen again. */
  pick(input) {
    if (!input.files.length) return;
    this.add(picked(input));
    input.value = "";
  }

  listenToDrops() {
    let depth = 0; // dragenter and dragleave come for every child
    const over = (isOver) => this.zone.classList.toggle("is-over", isOver);
    // anywhere on the page: a file that misses the zone would otherwise replace the page
    window.addEventListener("dragenter", (event) => { depth += 1; if (hasFiles(event)) over(true); });
    window.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) over(false); });
    window.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
    window.addEventListener("drop", async (event) => {
      depth = 0;
      over(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      try {
        this.add(await dropped(event.dataTransfer, (n) => this.speak(`Looking through the folder: ${number(n)} files`)));
      } catch (error) {
        this.complain(`That could not be read (${error.message}).`);
      }
    });
  }

  /** Take what was chosen: check it, make its rows, send it. */
  add(chosen) {
    this.complain("");
    try {
      const found = parcels(chosen, { multiple: this.isMultiple });
      if (!this.isMultiple && this.rows().length) {
        throw new Error("Remove the file below first, then choose another.");
      }
      for (const parcel of found) this.check(parcel);
      for (const parcel of found) this.send(parcel);
    } catch (error) {
      this.complain(error.message);
    }
  }

  check(parcel) {
    const largest = Number(this.root.dataset.largest);
    if (parcel.size > largest && !this.isWaiting(parcel)) {
      throw new Error(`${parcel.name} has ${size(parcel.size)}; there is room for ${size(largest)}.`);
    }
    const isThere = [...this.transfers.values()].some((t) => t.parcel.fingerprint === parcel.fingerprint);
    if (isThere) throw new Error(`${parcel.name} is there already.`);
  }

  /** Whether a row "from earlier" waits for this very file: room for it was taken when it was begun. */
  isWaiting(parcel) {
    const rows = this.root.querySelectorAll("[data-upload-waiting] .upload-row[data-state=paused]");
    return [...rows].some((row) => Number(row.dataset.uploadSize) === parcel.size
      && row.querySelector(".upload-name").textContent === parcel.name);
  }

  send(parcel) {
    const row = this.template.content.firstElementChild.cloneNode(true);
    row.querySelector(".upload-name").textContent = parcel.name;
    row.querySelector(".upload-name").title = parcel.name;
    row.querySelector("[role=progressbar]").setAttribute("aria-label", `Sending ${parcel.name}`);
    this.list.append(row);
    const transfer = new Transfer(parcel, this.settings);
    this.transfers.set(row, transfer);
    transfer.addEventListener("change", () => this.show(row, transfer));
    this.show(row, transfer);
    transfer.start();
  }

  show(row, transfer) {
    if (!row.isConnected) return;
    const was = row.dataset.state;
    const { parcel, sent, state } = transfer;
    const share = parcel.size ? sent / parcel.size : 1;
    row.querySelector(".progress-bar").style.width = `${(100 * share).toFixed(1)}%`;
    row.querySelector("[role=progressbar]").setAttribute("aria-valuenow", (100 * share).toFixed(0));
    const write = (name, text) => { row.querySelector(`[data-upload-${name}]`).textContent = text; };
    const isMoving = state === "sending";
    write("status", state === "failed" ? transfer.text : WORDS[state]);
    write("amount", state === "done" ? size(parcel.size) : `${size(sent)} of ${size(parcel.size)}`);
    write("rate", isMoving && transfer.rate ? `${size(transfer.rate)}/s` : "");
    write("left", isMoving && transfer.secondsLeft !== null ? `${duration(transfer.secondsLeft)} left` : "");
    this.forgetWaiting(transfer.id);
    if (was === state && row.dataset.shown) return;
    this.showState(row, transfer);
  }

  showState(row, transfer) {
    const { state, parcel } = transfer;
    row.dataset.state = state;
    row.dataset.shown = "true";
    row.querySelector(".upload-icon").replaceChildren(icon(ICONS[state]));
    const pause = row.querySelector("[data-upload-pause]");
    const word = state === "sending" ? "Pause" : "Go on";
    pause.hidden = state === "done";
    pause.title = word;
    pause.replaceChildren(icon(state === "sending" ? "player-pause" : "player-play"), hiddenText(`${word} ${parcel.name}`));
    if (state === "done") this.take(row, transfer.id);
    if (state !== "sending") this.speak(`${parcel.name}: ${transfer.text || WORDS[state]}`);
    this.update();
  }

  /** The file has arrived: its id goes along with the form. */
  take(row, id) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name: this.root.dataset.name, value: id });
    row.append(input);
  }

  async clicked(event) {
    const row = event.target.closest(".upload-row");
    if (!row) return;
    const transfer = this.transfers.get(row);
    if (event.target.closest("[data-upload-pause]")) {
      if (transfer.state === "sending") transfer.pause();
      else transfer.goOn();
    } else if (event.target.closest("[data-upload-use]")) {
      this.use(row);
    } else if (event.target.closest("[data-upload-remove]")) {
      await this.remove(row, transfer);
    }
  }

  /** Take a file that arrived earlier. */
  use(row) {
    if (!this.isMultiple && this.rows().length) {
      this.complain("Remove the file above first, then use this one.");
      return;
    }
    row.querySelector("[data-upload-use]").remove();
    row.dataset.state = "done";
    this.list.append(row);
    this.take(row, row.dataset.uploadId);
    this.hideEmptyWaiting();
    this.update();
  }

  async remove(row, transfer) {
    const url = `${this.settings.endpoint}${row.dataset.uploadId}`;
    row.remove();
    this.transfers.delete(row);
    this.hideEmptyWaiting();
    this.update();
    this.complain("");
    this.root.querySelector("[data-upload-files]").focus();
    try {
      if (transfer) await transfer.discard();
      else await discard(url);
    } catch {
      // it stays on the server, is listed next time, and swept in the end
    }
  }

  /** A row "from earlier" that goes on now is no longer waiting. */
  forgetWaiting(id) {
    if (!id) return;
    this.root.querySelector(`[data-upload-waiting] [data-upload-id="${id}"]`)?.remove();
    this.hideEmptyWaiting();
  }

  hideEmptyWaiting() {
    const waiting = this.root.querySelector("[data-upload-waiting]");
    if (waiting && !waiting.querySelector(".upload-row")) waiting.hidden = true;
  }

  rows() {
    return [...this.list.querySelectorAll(".upload-row")];
  }

  update() {
    const rows = this.rows();
    const isReady = rows.length > 0 && rows.every((row) => row.dataset.state === "done");
    this.root.classList.toggle("has-rows", rows.length > 0);
    for (const button of this.form?.querySelectorAll("[data-needs-upload]") ?? []) button.disabled = !isReady;
    this.suggestName(rows.map((row) => row.querySelector(".upload-name").textContent));
  }

  /** What it is called if nobody says otherwise. One name for several would tell nobody which is which. */
  suggestName(filenames) {
    const field = this.form?.querySelector("input[name=name]");
    if (!field) return;
    const [first = ""] = filenames;
    field.disabled = filenames.length > 1;
    field.placeholder = field.disabled ? "each like its file"
      : first.replace(/(\.tar)?\.\w{1,4}$/, "").replaceAll("_", " ");
  }

  complain(text) {
    const place = this.root.querySelector("[data-upload-error]");
    place.hidden = !text;
    place.querySelector("span").textContent = text;
    this.root.classList.toggle("has-error", Boolean(text));
  }

  speak(text) {
    this.root.querySelector("[data-upload-spoken]").textContent = text;
  }
}

function hasFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

function hiddenText(text) {
  const span = document.createElement("span");
  span.className = "visually-hidden";
  span.textContent = text;
  return span;
}

for (const root of document.querySelectorAll("[data-upload]")) new UploadBox(root);
