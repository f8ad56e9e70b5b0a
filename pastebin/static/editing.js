// The form that edits a paste: it asks before typed text is left behind, and saves with Ctrl+Enter.

const form = document.querySelector("#edit");
let isTyped = form.dataset.typed === "yes";

form.addEventListener("input", () => { isTyped = true; });
form.addEventListener("submit", () => { isTyped = false; });
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) {
    event.preventDefault();
    form.requestSubmit();
  }
});
window.addEventListener("beforeunload", (event) => {
  if (isTyped) event.preventDefault();
});
// back in the history with what was typed before
window.addEventListener("pageshow", (event) => { if (event.persisted) isTyped = true; });
