// How a person looks at the curves: split, smoothing, scale, parts, hidden expressions. Kept in the
// address, so that a link shows what its sender saw.

const CHOICES = { scale: ["linear", "log"], parts: ["total", "parts"], split: ["val", "train"],
  stepFigure: ["loss", "gradient_norm", "learning_rate", "images_per_second", "data_wait"] };
const CONCERNS = {
  scale: () => true,
  parts: (name) => name === "loss",
  split: (name) => ["variance", "mean", "recall"].includes(name),
  stepFigure: (name) => name === "steps",
  smoothing: () => true,
  hidden: (name) => ["variance", "mean", "recall"].includes(name),
};

function fromAddress() {
  const said = new URLSearchParams(location.search);
  const view = { smoothing: Math.min(0.95, Math.max(0, Number(said.get("smoothing")) || 0)) };
  for (const [name, values] of Object.entries(CHOICES)) view[name] = values.includes(said.get(name)) ? said.get(name) : values[0];
  view.hidden = new Set((said.get("hidden") ?? "").split(",").filter(Boolean));
  return view;
}

function toAddress(view) {
  const said = new URLSearchParams(location.search);
  const set = (name, value, usual) => (value === usual ? said.delete(name) : said.set(name, value));
  set("smoothing", String(view.smoothing), "0");
  for (const [name, values] of Object.entries(CHOICES)) set(name, view[name], values[0]);
  set("hidden", [...view.hidden].join(","), "");
  const query = said.size ? `?${said}` : "";
  history.replaceState(null, "", location.pathname + query + location.hash);
}

/** Wire the page's switches to a view. `onChange` is told which charts are concerned. */
export function watchView(page, { onChange }) {
  const view = fromAddress();

  const showState = () => {
    for (const name of Object.keys(CHOICES)) {
      const attribute = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      for (const button of page.querySelectorAll(`button[data-${attribute}]`)) {
        button.setAttribute("aria-pressed", String(button.dataset[name] === view[name]));
      }
    }
    for (const chip of page.querySelectorAll("[data-expression-name]")) {
      chip.setAttribute("aria-pressed", String(!view.hidden.has(chip.dataset.expressionName)));
    }
    for (const all of page.querySelectorAll("[data-chips-all]")) all.hidden = !view.hidden.size;
    for (const slider of page.querySelectorAll("[data-view=smoothing]")) slider.value = view.smoothing;
    for (const said of page.querySelectorAll("[data-smoothing]")) said.textContent = view.smoothing ? view.smoothing.toFixed(2) : "off";
  };

  const changed = (what) => {
    showState();
    toAddress(view);
    onChange(CONCERNS[what]);
    page.dispatchEvent(new CustomEvent("view-changed"));
  };

  page.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const name of Object.keys(CHOICES)) {
      if (button.dataset[name] === undefined) continue;
      view[name] = button.dataset[name];
      changed(name);
    }
    if (button.dataset.expressionName) {
      toggle(view.hidden, button.dataset.expressionName);
      changed("hidden");
    } else if (button.dataset.chipsAll !== undefined) {
      view.hidden.clear();
      changed("hidden");
      button.parentElement.querySelector("[data-expression-name]").focus();
    }
  });
  // Two clicks: this one alone, as in Plotly's own legends.
  page.addEventListener("dblclick", (event) => {
    const chip = event.target.closest("[data-expression-name]");
    if (!chip) return;
    const others = [...page.querySelectorAll("[data-expression-name]")].map((one) => one.dataset.expressionName);
    view.hidden = new Set(others.filter((name) => name !== chip.dataset.expressionName));
    changed("hidden");
  });
  page.addEventListener("input", (event) => {
    if (!event.target.matches("[data-view=smoothing]")) return;
    view.smoothing = Number(event.target.value);
    changed("smoothing");
  });
  showState();
  return view;
}

function toggle(set, value) {
  if (!set.delete(value)) set.add(value);
}
