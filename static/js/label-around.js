// The photo that a face was found in, with the face marked: what goes on around it often tells what it means.

/** Begin to fetch a face's photo, which is needed soon. */
export function fetchPhoto(face) {
  if (!face.photo || face.photo.image) return;
  const image = new Image();
  image.alt = `The photo ${face.file}; the marked face is asked about`;
  image.src = face.photo.url;
  image.decode().catch(() => {}); // a picture that is gone shows its text
  face.photo.image = image;
}

/** The photo with the face's box, and the face itself in the corner that is farther from it. */
export function photoOf(face) {
  fetchPhoto(face);
  const { image, width, height, box: [x, y, w, h] } = face.photo;
  const frame = document.createElement("div");
  frame.className = "review-around";
  frame.style.setProperty("--ratio", width / height);
  const mark = document.createElement("i");
  const edges = { left: x / width, top: y / height, width: w / width, height: h / height };
  for (const [edge, share] of Object.entries(edges)) mark.style[edge] = `${100 * share}%`;
  const crop = face.image;
  crop.toggleAttribute("data-left", x + w / 2 > width / 2);
  frame.append(image, mark);
  const whole = document.createDocumentFragment();
  whole.append(frame, crop);
  return whole;
}
