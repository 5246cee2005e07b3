// What is wrong with the page as it stands, as a list of sentences. Read by test_every_page.py.
async () => {
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  const wrong = [];
  const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const short = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 110);

  const overflow = document.documentElement.scrollWidth - innerWidth;
  if (overflow > 0) wrong.push(`wider than the window by ${overflow} px`);

  const headings = document.querySelectorAll("h1");
  if (headings.length !== 1) wrong.push(`${headings.length} headings of the first level`);

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) wrong.push(`the id ${id} is there twice`);

  const nameOf = (element) => (
    element.getAttribute("aria-label") || element.textContent.trim() || element.title || element.alt
    || [...(element.labels ?? [])].map((label) => label.textContent.trim()).join(" ")
    || (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim()
  );
  for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")) {
    if (shown(element) && !element.closest(".js-plotly-plot, [aria-hidden=true]") && !nameOf(element)) wrong.push(`no name: ${short(element)}`);
  }
  for (const image of document.images) if (!image.hasAttribute("alt")) wrong.push(`no alternative text: ${short(image)}`);

  // Contrast (WCAG 2.2, 1.4.3), whatever notation the colours are in: a canvas knows them all.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((c) => top[c] * top[3] + below[c] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null; // a picture or gradient: not judged here
      layers.push(pixel(style.backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), pixel(getComputedStyle(document.documentElement).backgroundColor));
  };
  const told = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(element)) continue;
    if (element.closest("svg, .visually-hidden, :disabled, [aria-disabled=true], .skip-link, option, noscript, script, style, .js-plotly-plot, .skeleton")) continue;
    const below = ground(element);
    if (!below) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(over(pixel(style.color), below)), luminance(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const key = `${element.tagName}.${element.className}`;
    if (ratio < needed - 0.01 && !told.has(key)) {
      told.add(key);
      wrong.push(`contrast ${ratio.toFixed(2)} of “${walker.currentNode.textContent.trim().slice(0, 40)}” in ${short(element)}`);
    }
  }
  return wrong;
}
