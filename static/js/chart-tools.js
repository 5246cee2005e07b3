// What every chart has beside it: full screen, and itself as a picture or as its figures. A chart says what
// it is called in data-title, and where its figures are in data-csv.
import { colours, load } from "./charts.js";
import { icon } from "./icons.js";

const PICTURE = { width: 1200, height: 675 };

function button(label, symbol, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "icon-button";
  made.title = label;
  const words = document.createElement("span");
  words.className = "visually-hidden";
  words.textContent = label;
  made.append(icon(symbol), words);
  made.addEventListener("click", onClick);
  return made;
}

function save(address, filename = "") {
  const link = document.createElement("a");
  link.href = address;
  link.download = filename;
  link.click();
}

function stemOf(chart) {
  const page = chart.closest("[data-stem]")?.dataset.stem ?? "chart";
  return `${page}-${chart.dataset.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}`;
}

/** The layout for a picture that is looked at alone: with a ground, a title, and a name for every line. */
function pictureLayout(chart) {
  const { layout, data } = chart;
  const isNamed = layout.showlegend || data.length < 2;
  return {
    ...layout, autosize: false, paper_bgcolor: colours().surface, plot_bgcolor: colours().surface,
    title: { text: chart.dataset.title, x: 0.02, xanchor: "left", y: 0.98, yanchor: "top", font: { size: 15 } },
    margin: { ...layout.margin, t: (layout.margin?.t ?? 12) + 34, r: isNamed ? 24 : 150 },
    ...(isNamed ? {} : { showlegend: true, legend: { ...layout.legend, orientation: "v", x: 1.02, y: 1, yanchor: "top" } }),
  };
}

async function picture(chart, format) {
  if (!chart.data) return;
  const plotly = await load();
  const what = { data: chart.data, layout: pictureLayout(chart) };
  const address = await plotly.toImage(what, { ...PICTURE, format, scale: format === "png" ? 2 : 1 });
  save(address, `${stemOf(chart)}.${format}`);
}

function choices(chart) {
  const said = [["PNG", () => picture(chart, "png")], ["SVG", () => picture(chart, "svg")]];
  if (chart.dataset.csv) said.push(["CSV", () => save(chart.dataset.csv)]);
  return said.map(([format, onClick]) => {
    const choice = document.createElement("button");
    choice.type = "button";
    choice.className = "btn btn-sm";
    choice.textContent = format;
    choice.setAttribute("aria-label", `${chart.dataset.title} as ${format}`);
    choice.addEventListener("click", onClick);
    return choice;
  });
}

function menu(chart) {
  const details = document.createElement("details");
  details.className = "menu";
  const summary = document.createElement("summary");
  const label = `Download ${chart.dataset.title}`;
  summary.className = "icon-button";
  summary.title = label;
  summary.setAttribute("aria-label", label);
  summary.append(icon("download"));
  const list = document.createElement("div");
  list.className = "menu-choices";
  list.append(...choices(chart));
  details.append(summary, list);
  return details;
}

/** Move the chart into a window of its own, with what steers it, and back when that is closed. */
async function fullScreen(chart) {
  const place = document.createComment("chart");
  const dialog = document.createElement("dialog");
  dialog.className = "chart-full";
  const head = document.createElement("div");
  head.className = "chart-full-head";
  const title = document.createElement("h2");
  title.textContent = chart.dataset.title;
  dialog.setAttribute("aria-label", `${chart.dataset.title}, full screen`);
  const close = button("Leave full screen", "arrows-minimize", () => dialog.close());
  close.autofocus = true;
  const page = chart.closest("#run") ?? document.body;
  // Copies are heard by the page as the first ones are, and shown alike.
  const view = page.querySelector(".run-view")?.cloneNode(true);
  const chips = chart.dataset.chips === undefined ? null : page.querySelector(".expression-chips")?.cloneNode(true);
  head.append(title, ...(view ? [view] : []), ...choices(chart), close);
  chart.replaceWith(place);
  dialog.append(head, ...(chips ? [chips] : []), chart);
  page.append(dialog);
  const resize = async () => { if (chart.data) (await load()).Plots.resize(chart); };
  dialog.addEventListener("close", () => {
    place.replaceWith(chart);
    dialog.remove();
    resize();
  });
  dialog.showModal();
  await resize();
}

/** Give charts that have a title their tools, once each. */
export function equip(root = document) {
  for (const chart of root.querySelectorAll(".chart[data-title]:not([data-equipped])")) {
    chart.dataset.equipped = "";
    const tools = document.createElement("span");
    tools.className = "chart-tools";
    tools.append(menu(chart), button(`${chart.dataset.title}: full screen`, "arrows-maximize", () => fullScreen(chart)));
    const head = chart.closest("figure")?.querySelector("figcaption") ?? chart.closest(".card")?.querySelector(".card-header");
    if (chart.dataset.tools) document.getElementById(chart.dataset.tools).append(tools);
    else head?.append(tools);
  }
}

document.addEventListener("htmx:afterSettle", () => equip());
equip();
