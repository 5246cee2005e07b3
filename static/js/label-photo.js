// One photo: a box and what its face was taken for belong together; the arrow keys lead to the next photo.
const part = (kind, index) => document.querySelector(`[data-photo-${kind}="${CSS.escape(index)}"]`);

function choose(index, isFromBox) {
  for (const one of document.querySelectorAll(".is-chosen")) one.classList.remove("is-chosen");
  part("box", index)?.classList.add("is-chosen");
  const face = part("face", index);
  face?.classList.add("is-chosen");
  if (isFromBox) face?.scrollIntoView({ block: "nearest" });
}

function indexOf(target) {
  const box = target.closest("[data-photo-box]");
  const face = target.closest("[data-photo-face]");
  return { index: box?.dataset.photoBox ?? face?.dataset.photoFace, isFromBox: Boolean(box) };
}

for (const kind of ["pointerover", "focusin", "click"]) {
  document.addEventListener(kind, (event) => {
    if (!(event.target instanceof Element)) return;
    const { index, isFromBox } = indexOf(event.target);
    if (index !== undefined) choose(index, isFromBox && kind !== "pointerover");
  });
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input:not([data-select]), textarea, select")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  document.querySelector(rel ? `a[rel=${rel}]` : "none")?.click();
});

if (location.hash.startsWith("#face-")) choose(location.hash.slice("#face-".length), true);
