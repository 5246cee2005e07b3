// Selecting faces of the grid with mouse and keyboard. What is done with them is a form's own business.

const form = () => document.querySelector("#faces form.selecting");
const links = () => [...document.querySelectorAll("#faces .sample-grid a")];
const box = (link) => link.parentElement.querySelector(".sample-check");
let anchor = null; // the face that a range begins with

function count() {
  const here = form();
  if (!here) return;
  const chosen = here.querySelectorAll(".sample-check:checked").length;
  const all = here.querySelector("[name=all]")?.checked;
  const n = all ? Number(here.dataset.total) : chosen;
  here.querySelector(".select-count").textContent = n ? `${n.toLocaleString("en")} selected` : "None selected";
  here.toggleAttribute("data-chosen", n > 0);
}

function range(from, to, isChosen) {
  const row = links();
  const [a, b] = [row.indexOf(from), row.indexOf(to)].sort((x, y) => x - y);
  if (a >= 0) row.slice(a, b + 1).forEach((link) => { box(link).checked = isChosen; });
}

function columns(row) {
  const top = row[0].getBoundingClientRect().top;
  const n = row.findIndex((link) => link.getBoundingClientRect().top > top + 4);
  return n < 1 ? row.length : n;
}

function move(key, extends_) {
  const row = links();
  if (!row.length) return;
  const at = row.indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(row), ArrowDown: columns(row) }[key];
  const next = at < 0 ? row[0] : row[at + step];
  if (!next) return;
  if (extends_ && at >= 0 && form()) {
    anchor ??= row[at];
    range(anchor, next, true);
  } else {
    anchor = next;
  }
  next.focus();
}

function all(isChosen) {
  for (const link of links()) box(link).checked = isChosen;
  const every = form()?.querySelector("[name=all]");
  if (every) every.checked = false;
}

function act(key) {
  const digit = Number(key);
  if (digit >= 1) {
    const select = form()?.querySelector("[name=to]");
    if (!select || digit >= select.options.length) return false;
    select.selectedIndex = digit;
    form().querySelector("[value=relabel]").click();
    return true;
  }
  if (key === "t" && !form()?.querySelector("[name=tag]").value) {
    form()?.querySelector("[name=tag]").focus();
    return true;
  }
  const button = document.querySelector(`#faces [data-key="${CSS.escape(key)}"]`);
  button?.click();
  return Boolean(button);
}

document.addEventListener("click", (event) => {
  if (event.target.matches(".sample-check")) {
    const link = event.target.parentElement.querySelector("a");
    if (event.shiftKey && anchor) range(anchor, link, event.target.checked);
    anchor = link;
  }
  const wish = event.target.closest("[data-select]")?.dataset.select;
  if (wish) all(wish === "page");
  count();
});
document.addEventListener("change", count);

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input:not(.sample-check), textarea, select, dialog")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const focused = document.activeElement.closest?.(".sample-grid a");
  let done = true;
  if (key.startsWith("Arrow")) move(key, event.shiftKey);
  else if (!form()) done = act(key === "z" ? "z" : "");
  else if ((key === "x" || key === " ") && focused) {
    box(focused).checked = !box(focused).checked;
    anchor = focused;
  } else if (key === "a") all(true);
  else if (key === "Escape") all(false);
  else if (/^[1-9ertz]$/.test(key)) done = act(key);
  else done = false;
  if (done) {
    event.preventDefault();
    count();
  }
});
