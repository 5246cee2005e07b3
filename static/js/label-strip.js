// The faces around the present one: those just answered, with what was said, and those to come.

const BEFORE = 5;
const AFTER = 9;

/** Draw the strip. `name` tells what was said of a face; `go` shows the face at a place. */
export function drawStrip(strip, shown, at, { name, go }) {
  const from = Math.max(0, at - BEFORE);
  const wanted = shown.slice(from, at + AFTER + 1);
  const had = new Map([...strip.children].map((child) => [child.face, child]));
  strip.replaceChildren(...wanted.map((face, i) => {
    const item = had.get(face) ?? thumb(face, () => go(shown.indexOf(face)));
    item.toggleAttribute("data-here", from + i === at);
    const button = item.firstElementChild;
    button.lastElementChild.textContent = face.said ? name(face.said) : "";
    if (from + i === at) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    return item;
  }));
}

function thumb(face, press) {
  const item = document.createElement("li");
  item.face = face;
  const button = document.createElement("button");
  button.type = "button";
  button.title = face.file;
  button.addEventListener("click", () => {
    press();
    button.blur(); // keys are for the face
  });
  const image = new Image();
  image.src = face.url;
  image.alt = face.file;
  const said = document.createElement("span");
  button.append(image, said);
  item.append(button);
  return item;
}
