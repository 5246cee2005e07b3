// The offline page tries again by itself.
document.querySelector("[data-reload]").addEventListener("click", () => location.reload());

setInterval(async () => {
  try {
    const answer = await fetch("/health", { cache: "no-store" });
    if (answer.ok) location.reload();
  } catch {
    // still away
  }
}, 3000);
