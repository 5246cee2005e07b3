// Tables and lists stay scrolled where they are when news replace the part of the page that they are in.
const scrolledIn = (part) => [...part.querySelectorAll(".table-scroll, .happenings")];

let places = []; // in the part that is about to be replaced, by order
const hidden = new WeakMap(); // what has come -> those in it that cannot be scrolled yet, with their places

/** Scroll each to its place; answers those that are hidden, and so cannot be. */
function putBack(placed) {
  return placed.filter(([one, [left, top]]) => {
    [one.scrollLeft, one.scrollTop] = [left, top];
    return !one.checkVisibility();
  });
}

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  places = scrolledIn(detail.target).map((one) => [one.scrollLeft, one.scrollTop]);
});
document.addEventListener("htmx:afterSwap", ({ target }) => {
  hidden.set(target, putBack(scrolledIn(target).map((one, i) => [one, places[i] ?? [0, 0]])));
});
// By now the page has shown, say, the tab that had been chosen. The others may have been scrolled on since.
document.addEventListener("htmx:afterSettle", ({ target }) => putBack(hidden.get(target) ?? []));
