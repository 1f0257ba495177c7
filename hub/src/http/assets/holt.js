// What pages do beyond links and forms: live progress, and copying a link. Every page works without.
"use strict";

/** Follows a start until it is ready or failed. */
async function follow(card) {
  const bar = document.getElementById("progress-bar");
  const message = document.getElementById("progress-message");
  const log = document.getElementById("progress-log");
  const tell = (event) => {
    if (typeof event.progress === "number") bar.value = Math.max(bar.value, event.progress);
    if (event.message && event.message !== message.textContent) {
      message.textContent = event.message;
      const seen = [...log.children].some((line) => line.textContent === event.message);
      if (!seen) {
        const line = document.createElement("li");
        line.textContent = event.message;
        log.append(line);
      }
    }
    if (event.ready) location.replace(card.dataset.to);
    else if (event.failed) location.reload();
    return Boolean(event.ready || event.failed);
  };
  for (;;) {
    try {
      const answer = await fetch(card.dataset.progress, { headers: { "X-XSRFToken": card.dataset.xsrf } });
      if (answer.status === 400 || answer.status === 403 || answer.status === 404) return location.reload();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const pieces = (rest + value).split("\n\n");
        rest = pieces.pop();
        for (const piece of pieces) {
          if (piece.startsWith("data: ") && tell(JSON.parse(piece.slice(6)))) return;
        }
      }
    } catch {
      // The hub may be restarting: the start goes on, and so do we.
    }
    await new Promise((resume) => setTimeout(resume, 1000));
  }
}

for (const card of document.querySelectorAll("[data-progress]")) follow(card);
for (const card of document.querySelectorAll("[data-reload]")) {
  setTimeout(() => location.reload(), Number(card.dataset.reload));
}
for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  button.hidden = !navigator.clipboard;
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  });
}
// A menu closes when something else is clicked, or with Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
