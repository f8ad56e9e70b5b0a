/* The list of my pastes, with those that only this browser's storage knows: a cookie holds some eighty. */

import { all, forget, keep, read, written } from "./keeping.js";

const atOnce = 50;
const list = document.querySelector("[data-rows]");
const more = document.querySelector("[data-more]");
const shown = new Set([...list.children].map((row) => row.dataset.slug));
const forgotten = new Set();
let waiting = [];

/* What was made without a script is in the cookie only; from here on it is in both. */
async function join() {
  try {
    const response = await fetch("/mine/export", { signal: AbortSignal.timeout(15000) });
    if (response.ok) keep(read(await response.text()).entries.filter(({ slug }) => !forgotten.has(slug)));
  } catch {
    /* the next time will do */
  }
}

async function showMore() {
  const next = waiting.splice(0, atOnce);
  const pastes = next.map(({ slug, token }) => ({ slug, token }));
  more.hidden = waiting.length === 0;
  if (pastes.length === 0) return;
  try {
    const response = await fetch("/mine/rows", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/html" },
      body: JSON.stringify({ pastes }),
      signal: AbortSignal.timeout(30000),
    });
    if (!response.ok) throw new Error(response.statusText);
    const rows = new DOMParser().parseFromString(await response.text(), "text/html").querySelectorAll("li");
    list.append(...rows);
    document.querySelector("[data-empty]").hidden = list.children.length > 0;
  } catch {
    waiting = [...next, ...waiting];
    more.hidden = false;
  }
}

function save(event) {
  const entries = all();
  if (entries.length === 0) return;
  event.preventDefault();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([written(entries)], { type: "application/jsonl" }));
  link.download = event.currentTarget.download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/* All of a list is kept here, and the server hears of so much of it as fits into its cookie. */
async function take(event) {
  const form = event.currentTarget;
  const file = form.elements.namedItem("file").files[0];
  if (!file || form.dataset.taken) return;
  event.preventDefault();
  const { entries } = read(await file.text());
  keep(entries);
  const held = new DataTransfer();
  if (entries.length) held.items.add(new File([written(entries.slice(0, 100))], file.name, { type: file.type }));
  if (entries.length) form.elements.namedItem("file").files = held.files;
  form.dataset.taken = "true";
  form.submit();
}

/* What the cookie still has is not brought back by an answer that is on its way. */
function forgetAll(gone) {
  for (const slug of gone) forgotten.add(slug);
  forget(forgotten);
}

list.addEventListener("submit", (event) => {
  if (event.target.getAttribute("action") !== "/mine/forget") return;
  forgetAll([event.target.elements.namedItem("slug").value]);
});
document.querySelector("form:has([name=which])")?.addEventListener("submit", () => {
  forgetAll([...list.querySelectorAll("[data-over]")].map((row) => row.dataset.slug));
});
document.querySelector("[data-export]").addEventListener("click", save);
document.querySelector("[data-import]").addEventListener("submit", take);
more.querySelector("button").addEventListener("click", showMore);
await join();
waiting = all().filter((entry) => !shown.has(entry.slug));
await showMore();
