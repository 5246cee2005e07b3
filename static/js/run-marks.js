// How runs on one chart are told apart, by their places in the table: by hue, and for those who tell hues badly
// and for print by dash and symbol too. The words are Plotly's, as in charts.js; the shapes are for the table.

const HUES = [215, 35, 150, 300, 85, 255, 5, 180, 330, 115]; // neighbours get distant ones
const LIGHTNESS = { light: [40, 28], dark: [62, 78] }; // of the first ten, and of the others
const DASHES = { solid: "none", dash: "7 4", dot: "2 3", dashdot: "8 3 2 3", longdash: "13 4", longdashdot: "13 3 2 3" };
const SYMBOLS = { // but the star, which marks the best epoch
  "circle": "M-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
  "square": "M-3.5,-3.5h7v7h-7z",
  "diamond": "M0,-5L5,0L0,5L-5,0z",
  "triangle-up": "M0,-5L4.6,3.5H-4.6z",
  "x": "M-4.5,-2.5L-2.5,-4.5L0,-2L2.5,-4.5L4.5,-2.5L2,0L4.5,2.5L2.5,4.5L0,2L-2.5,4.5L-4.5,2.5L-2,0z",
  "cross": "M-1.6,-5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
  "triangle-down": "M0,5L4.6,-3.5H-4.6z",
};

const inTurn = (all, place) => all[place % all.length];

/** Colour in the present theme, dash and symbol of the run at a place. */
export function runMark(place) {
  const lightness = LIGHTNESS[document.documentElement.dataset.bsTheme] ?? LIGHTNESS.light;
  return {
    colour: `hsl(${inTurn(HUES, place)}, 58%, ${lightness[place < HUES.length ? 0 : 1]}%)`,
    dash: inTurn(Object.keys(DASHES), place), symbol: inTurn(Object.keys(SYMBOLS), place),
  };
}

/** Show in a row of the table what the run's line looks like. */
export function drawSwatch(swatch, { colour, dash, symbol }) {
  swatch.style.color = colour;
  swatch.innerHTML = `<svg viewBox="0 0 48 12"><line x2="48" y1="6" y2="6" stroke-dasharray="${DASHES[dash]}"/>
    <path d="${SYMBOLS[symbol]}" transform="translate(24 6)"/></svg>`;
}
