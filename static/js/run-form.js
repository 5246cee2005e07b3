// The form of a new run: a preset fills it, what differs from the preset is marked and counted.

const form = document.getElementById("run-form");
const presets = JSON.parse(document.getElementById("presets").textContent);
const KEPT = new Set(["runtime.seed"]); // a preset does not decide on these

function settingOf(row) {
  const input = row.querySelector("input, select");
  return { name: row.dataset.setting, input };
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.type === "number") return input.value === "" ? null : Number(input.value);
  return input.value;
}

function write(input, value) {
  if (input.type === "checkbox") input.checked = value;
  else input.value = value;
}

function shown(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? String(value) : value || "none";
}

function rows() {
  return [...form.querySelectorAll("[data-setting]")];
}

function preset() {
  return presets[form.elements.preset.value];
}

/** Mark what differs from the preset, count it by group, and list it beside the button. */
function compare() {
  const list = form.querySelector("[data-differences]");
  const items = [];
  for (const row of rows()) {
    const { name, input } = settingOf(row);
    const usual = preset()[name];
    const value = valueOf(input);
    const differs = value !== null && value !== usual;
    row.classList.toggle("differs", differs);
    row.querySelector("[data-usual]").textContent = `${form.elements.preset.value}: ${shown(usual)}`;
    row.querySelector("[data-reset]").hidden = !differs;
    if (differs) items.push({ title: row.dataset.title, value: shown(value), id: input.id });
  }
  for (const group of form.querySelectorAll("[data-group]")) {
    const count = group.querySelectorAll(".differs").length;
    const badge = group.querySelector("[data-count]");
    badge.hidden = !count;
    badge.textContent = `${count} changed`;
  }
  list.replaceChildren(...items.map(item));
  form.querySelector("[data-no-differences]").hidden = items.length > 0;
}

function item({ title, value, id }) {
  const element = document.createElement("li");
  const link = document.createElement("a");
  link.href = `#${id}`;
  link.textContent = title;
  const figure = document.createElement("span");
  figure.textContent = value;
  element.append(link, figure);
  return element;
}

function choose(name) {
  form.elements.preset.value = name;
  for (const card of form.querySelectorAll("[data-preset]")) {
    if (card.dataset.preset === name) card.setAttribute("aria-current", "true");
    else card.removeAttribute("aria-current");
  }
  for (const row of rows()) {
    const { name: setting, input } = settingOf(row);
    if (!KEPT.has(setting)) write(input, preset()[setting]);
  }
  announce(form);
}

/** What a script writes changes nothing by itself: the comparison and the estimate wait for the event. */
function announce(element) {
  element.dispatchEvent(new Event("change", { bubbles: true }));
}

form.addEventListener("input", compare);
form.addEventListener("change", compare);
form.addEventListener("click", (event) => {
  const card = event.target.closest("[data-preset]");
  if (card && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault(); // without this script the link asks the server for the same
    choose(card.dataset.preset);
  }
  const reset = event.target.closest("[data-reset]");
  if (reset) {
    const { name, input } = settingOf(reset.closest("[data-setting]"));
    write(input, preset()[name]);
    input.focus();
    announce(input);
  }
  const link = event.target.closest("[data-differences] a");
  if (link) {
    event.preventDefault();
    const input = document.getElementById(link.getAttribute("href").slice(1));
    for (let fold = input.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    input.focus();
    input.scrollIntoView({ block: "center" });
  }
});

compare();
