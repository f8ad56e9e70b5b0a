/* Reading a paste with a script: lines are chosen and copied, long ones wrapped. Without it a number is still a link. */

import { copyFor } from "./clipboard.js";
import { format, merged, parse, spoken, typed } from "./line_ranges.js";

const root = document.documentElement;
const picks = document.querySelector("[data-picks]");
let picked = [];
let anchor = null;

/* The file that lines with this prefix are of. */
const fileOf = (prefix) => document.querySelector(`.file[data-lines="${CSS.escape(prefix)}"]`);
const line = (prefix, number) => document.getElementById(`${prefix}L${number}`);

function show(ranges) {
  for (const one of document.querySelectorAll(".line.picked")) one.classList.remove("picked");
  picked = ranges.filter(([prefix, first]) => line(prefix, first));
  for (const [prefix, first, last] of picked) {
    for (let number = first, one; number <= last && (one = line(prefix, number)); number += 1) one.classList.add("picked");
  }
  /* what the browser went to stays its target, whatever is chosen afterwards */
  document.querySelector(".line:target")?.classList.add("left");
  picks.hidden = picked.length === 0;
  if (picks.hidden) return;
  const isOne = picked.length === 1 && picked[0][1] === picked[0][2];
  const words = isOne ? picks.dataset.one : picks.dataset.several;
  picks.querySelector("output").textContent = words.replace("{lines}", spoken(picked));
  const raw = picks.querySelector("[data-pick=raw]");
  const address = picked.length === 1 ? rawOf(...picked[0]) : null;
  raw.hidden = address === null;
  if (address) raw.href = address;
}

/* The address of these lines' bytes; null where they can be had by another reading only. */
function rawOf(prefix, first, last) {
  const link = fileOf(prefix)?.querySelector("[data-raw]");
  if (!link) return null;
  const address = new URL(link.href);
  if (first) address.searchParams.set("lines", first === last ? `${first}` : `${first}-${last}`);
  return address.href;
}

/* The bytes as text where they are to be had, for a page shows pictures of what has no looks; else what it shows. */
async function fetched(address, shown) {
  if (address) {
    try {
      const response = await fetch(address, { signal: AbortSignal.timeout(15000) });
      if (response.ok) return await response.text();
    } catch {
      /* what is shown will do */
    }
  }
  return shown();
}

const withoutEnd = (text) => text.replace(/\r?\n$/, "");

async function textOf([prefix, first, last]) {
  const shown = () => {
    const texts = [];
    for (let number = first, one; number <= last && (one = line(prefix, number)); number += 1) texts.push(one.textContent);
    return texts.join("");
  };
  return withoutEnd(await fetched(rawOf(prefix, first, last), shown));
}

async function textOfAll() {
  const texts = [];
  for (const range of picked) texts.push(await textOf(range));
  return texts.join("\n");
}

/* A file is copied as it is; where only the page has it, without the line end that every line has there. */
function textOfFile(file) {
  const shown = () => withoutEnd(file.querySelector("pre code").textContent);
  return fetched(file.querySelector("[data-raw]")?.href, shown);
}

function choose(ranges) {
  show(merged(ranges));
  history.replaceState(history.state, "", picked.length ? `#${format(picked)}` : location.pathname + location.search);
}

/* A click takes a line, with Shift all from the last one that was taken, with Ctrl or Command one more. */
function onNumber(event) {
  const number = event.target.closest?.("a.n[href]");
  const [to] = number ? parse(number.hash) : [];
  if (!to) return;
  event.preventDefault();
  const isSame = anchor && anchor[0] === to[0];
  const adds = event.ctrlKey || event.metaKey;
  if (event.shiftKey && isSame) {
    const range = [to[0], Math.min(anchor[1], to[1]), Math.max(anchor[1], to[1])];
    choose(adds ? [...picked, range] : [range]);
    return;
  }
  anchor = to;
  choose(adds ? [...picked, to] : [to]);
}

function onPick(event) {
  const button = event.target.closest("[data-pick]");
  const what = button?.dataset.pick;
  if (what === "link") copyFor(button, `${picks.dataset.here}#${format(picked)}`);
  if (what === "text") copyFor(button, textOfAll());
  if (what === "none") choose([]);
}

/* On the first look as on every later one; a browser goes by itself only to what is the id of one line. */
function onAddress() {
  const ranges = parse(location.hash);
  show(ranges);
  if (!picked.length) return;
  anchor = picked.at(-1);
  line(picked[0][0], picked[0][1]).scrollIntoView({ block: "center" });
}

/* For who has no pointer: the numbers are typed, and what can be done with the lines comes next. */
function onTyped(event) {
  event.preventDefault();
  const field = event.target.querySelector("input");
  choose(typed(field.value, fileOf("") !== null));
  field.toggleAttribute("aria-invalid", picked.length === 0);
  if (!picked.length) return;
  anchor = picked.at(-1);
  line(picked[0][0], picked[0][1]).scrollIntoView({ block: "center" });
  picks.querySelector("button").focus({ preventScroll: true });
}

function wrapping(button) {
  const isOn = () => getComputedStyle(root).getPropertyValue("--wrap").trim() === "pre-wrap";
  const tell = () => button.setAttribute("aria-pressed", String(isOn()));
  tell();
  button.addEventListener("click", () => {
    const wraps = !isOn();
    root.style.setProperty("--wrap", wraps ? "pre-wrap" : "pre");
    root.style.setProperty("--code-width", wraps ? "auto" : "max-content");
    tell();
    const body = new URLSearchParams({ wrap: wraps ? "on" : "off" });
    /* kept for the next page, if it can be */
    fetch("/look", { method: "POST", body, headers: { Accept: "*/*" }, keepalive: true }).catch(() => {});
  });
}

for (const button of document.querySelectorAll(".scripted[hidden]")) button.hidden = false;
for (const button of document.querySelectorAll("[data-wrap]")) wrapping(button);
document.addEventListener("click", (event) => {
  onNumber(event);
  const copies = event.target.closest?.("[data-copy]");
  const copiesFile = event.target.closest?.("[data-copy-file]");
  if (copies) copyFor(copies, copies.dataset.copy);
  if (copiesFile) copyFor(copiesFile, textOfFile(copiesFile.closest(".file")));
});
for (const form of document.querySelectorAll("[data-lines-form]")) form.addEventListener("submit", onTyped);
picks.addEventListener("click", onPick);
addEventListener("hashchange", onAddress);
onAddress();
