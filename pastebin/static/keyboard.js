/* Keys for what a page has to offer, each a way to something that can be reached without them as well. They can be
   switched off (WCAG 2.1.4), in the dialog that tells of them: that is the page of keys, fetched when it is asked for. */

const OFF = "keys-off";
const [, slug, rest] = location.pathname.split("/");
const ownPages = ["admin", "api", "diff", "keys", "language", "look", "mine", "problems", "static"];
const link = document.querySelector("footer a[href='/keys']");
let isOff = false;

try {
  isOff = localStorage.getItem(OFF) !== null;
} catch {
  /* a browser that keeps nothing: keys are on */
}

function found(selector) {
  return [...document.querySelectorAll(selector)].find((one) => !one.disabled && one.checkVisibility());
}

/* The first of these that a page shows; whatever says `aria-keyshortcuts` comes before them. */
const places = {
  r: "a[data-raw], .links a[href$='/raw'], .links a[href*='/raw/']",
  c: "[data-copy-file]",
  q: ".qr summary, a[href$='/qr.svg'], a[href$='/qr']",
  w: "[data-wrap]",
  m: "main a[href^='/look'], footer a[href^='/look']",
  e: "a[href$='/edit']",
  d: "a[href$='/history'], a[href*='/diff']",
  "/": "main input[type=search], main input[name=q]",
};
const target = (key) => found(`[aria-keyshortcuts~="${key}"]`) ?? found(places[key]);
const files = () => [...document.querySelectorAll("section.file")];

function move(step) {
  const all = files();
  const here = all.indexOf(document.activeElement);
  const at = here >= 0 ? here : all.findLastIndex((one) => one.getBoundingClientRect().top < 24);
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  next.scrollIntoView();
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
}

async function copyLink() {
  const address = new URL(location.href);
  address.searchParams.delete("created");
  await navigator.clipboard.writeText(address.href);
  const told = (await dialog()).nextElementSibling;
  told.textContent = "";
  told.textContent = told.dataset.copied;
}

const actions = {
  n: { can: () => location.pathname !== "/", run: () => location.assign("/") },
  y: { can: () => Boolean(navigator.clipboard), run: copyLink },
  p: { can: () => Boolean(rest) && !ownPages.includes(slug), run: () => location.assign(`/${slug}`) },
  j: { can: () => files().length > 1, run: () => move(1) },
  k: { can: () => files().length > 1, run: () => move(-1) },
  "?": { can: () => link !== null, run: show },
};

function can(key) {
  return Object.hasOwn(actions, key) ? actions[key].can() : Object.hasOwn(places, key) && target(key) !== undefined;
}

function use(key) {
  if (Object.hasOwn(actions, key)) return actions[key].run();
  const place = target(key);
  return place.matches("input, select, textarea") ? place.focus() : place.click();
}

/* Made once; a status line for those who do not see stands behind it. */
let made = null;
const dialog = () => (made ??= make());

async function make() {
  const response = await fetch("/keys", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const told = page.querySelector("[data-keys]");
  const box = document.createElement("dialog");
  const title = document.createElement("h2");
  title.id = "keys-title";
  title.textContent = told.querySelector("h1").textContent;
  told.querySelector("h1").replaceWith(title);
  box.setAttribute("aria-labelledby", title.id);
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = told.dataset.close;
  close.addEventListener("click", () => box.close());
  box.append(...told.childNodes, close);
  watchSwitch(box);
  const status = document.createElement("p");
  status.className = "unseen";
  status.setAttribute("role", "status");
  status.dataset.copied = told.dataset.copied;
  document.body.append(box, status);
  return box;
}

async function show() {
  try {
    const box = await dialog();
    for (const row of box.querySelectorAll("[data-key]")) row.hidden = !can(row.dataset.key);
    box.showModal();
  } catch {
    location.assign(link.href);
  }
}

function watchSwitch(place) {
  const shown = place.querySelector("[data-switch]");
  const on = shown.querySelector("input");
  shown.hidden = false;
  on.checked = !isOff;
  on.addEventListener("change", () => {
    isOff = !on.checked;
    try {
      if (isOff) localStorage.setItem(OFF, "1");
      else localStorage.removeItem(OFF);
    } catch {
      /* for this page only */
    }
  });
}

addEventListener("keydown", (event) => {
  if (isOff || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.defaultPrevented) return;
  if (event.repeat || document.querySelector("dialog[open]")) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]") || !can(event.key)) return;
  event.preventDefault();
  use(event.key);
});
link?.addEventListener("click", (event) => {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || location.pathname === "/keys") return;
  event.preventDefault();
  show();
});
if (location.pathname === "/keys") watchSwitch(document);
