// The form of a search: each setting shows the fields that it takes, and rows appear as they are needed.

const form = document.getElementById("search-form");
const settings = JSON.parse(document.getElementById("settings").textContent);
const presets = JSON.parse(document.getElementById("presets").textContent);
const rows = [...form.querySelectorAll("[data-space-row]")];
const more = form.querySelector("[data-more-settings]");
const SHOWN_AT_LEAST = 3;

function chosen(row) {
  return row.querySelector("select").value;
}

function show(row) {
  const name = chosen(row);
  const setting = settings[name];
  const isNamed = Boolean(setting?.choices.length);
  row.classList.toggle("takes-names", isNamed);
  row.querySelector('[data-part="range"]').hidden = isNamed;
  row.querySelector("[data-words-label]").textContent = isNamed ? "values" : "or values";
  const words = row.querySelector('[data-part="words"] input');
  words.placeholder = isNamed ? `${setting.choices.join(", ")} (all)` : "32, 64, 128";
  row.querySelector("[data-hint]").textContent = setting ? hint(name, setting) : "";
}

function hint(name, setting) {
  const preset = form.elements.preset.value;
  const parts = [setting.help, setting.range && `${setting.range}.`, `The preset has ${presets[preset][name]}.`];
  return parts.filter(Boolean).join(" ");
}

function isUsed(row) {
  return [...row.querySelectorAll("select, input:not([type=checkbox])")].some((input) => input.value !== "");
}

function fold() {
  const used = rows.findLastIndex(isUsed) + 1;
  rows.forEach((row, place) => { row.hidden = place >= Math.max(used, SHOWN_AT_LEAST); });
  more.hidden = rows.every((row) => !row.hidden);
}

form.addEventListener("change", (event) => {
  const row = event.target.closest("[data-space-row]");
  if (row && event.target.matches("select")) {
    for (const input of row.querySelectorAll("input")) { // what was said of another setting is no longer meant
      if (input.type === "checkbox") input.checked = false;
      else input.value = "";
    }
    show(row);
  }
  if (event.target === form.elements.preset) rows.forEach(show);
});

more.addEventListener("click", () => {
  const next = rows.find((row) => row.hidden);
  next.hidden = false;
  more.hidden = rows.every((row) => !row.hidden);
  next.querySelector("select").focus();
});

rows.forEach(show);
fold();
