// Tables and lists stay scrolled where they are when news replace the part of the page that they are in.
const SCROLLED = ".table-scroll, .happenings";
const placesIn = (part) => [...part.querySelectorAll(SCROLLED)].map((one) => [one.scrollLeft, one.scrollTop]);

let places = []; // in the part that is about to be replaced, by order
const settling = new WeakMap(); // what has come -> the places of what was there

function putBack(part) {
  const were = settling.get(part) ?? [];
  [...part.querySelectorAll(SCROLLED)].forEach((one, i) => {
    if (were[i]) [one.scrollLeft, one.scrollTop] = were[i];
  });
}

document.addEventListener("htmx:beforeSwap", ({ detail }) => { places = placesIn(detail.target); });
document.addEventListener("htmx:afterSwap", ({ target }) => {
  settling.set(target, places);
  putBack(target);
});
// What is hidden cannot be scrolled: by now the page has shown, say, the tab that had been chosen.
document.addEventListener("htmx:afterSettle", ({ target }) => putBack(target));
