// The page of a data set that is being imported: shows what fits the state, and the data set once it is there.
const card = document.querySelector("[data-importing]");

function show(state) {
  for (const element of document.querySelectorAll("[data-when]")) {
    element.hidden = !element.dataset.when.split(" ").includes(state);
  }
}

document.addEventListener("job-snapshot", (event) => {
  if (String(event.detail.id) === card.dataset.importing) show(event.detail.state);
});
document.addEventListener("job-over", (event) => {
  if (String(event.detail.id) === card.dataset.importing && event.detail.state === "finished") location.reload();
});
