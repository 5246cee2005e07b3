// Parts of a page that the server renders, fetched anew when they have changed.

const going = new Map(); // selector of a part that is on its way -> whether it has changed again

/**
 * Replace the part by what the server has now; `address()` says where, `onShown` is called after each time.
 * Where the server cannot be reached the part stays: toast.js tells of it, or the banner.
 *
 * One request at a time for a part; what changes meanwhile is fetched by the next, so the last state is always
 * shown. The part is named as its request's source, because htmx takes the body where none is named, and of
 * the requests that wait for the same source it forgets all but the last.
 */
export async function fetchPart(selector, address, onShown) {
  if (going.has(selector)) {
    going.set(selector, true);
    return;
  }
  try {
    do {
      going.set(selector, false);
      const part = document.querySelector(selector);
      const asked = window.htmx.ajax("GET", address(), { source: part, target: part, swap: "outerHTML" });
      if (await asked.then(() => true, () => false)) onShown?.();
    } while (going.get(selector));
  } finally {
    going.delete(selector);
  }
}
