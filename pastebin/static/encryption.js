/* The page of an encrypted paste. The key is in the part of its link that no server is sent; what is decrypted is shown
   as text, as a raster image or as a download, and never as markup. */

import { Unfit, asText, canSeal, derive, keyOf, open, toBase64 } from "./sealing.js";

const LINES_WITH_NUMBERS = 20_000;
/* control and line-breaking characters, and the marks that reorder or hide text */
const INVISIBLE = /[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]/g;
const IMAGES = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
];

const page = document.querySelector("[data-sealed]");
const form = page.querySelector("form");
const told = page.querySelector("[data-told]");
const parameters = JSON.parse(page.dataset.sealed);
const isLimited = page.dataset.limited === "yes";
/* what has been fetched stays: a wrong password asks for nothing twice */
let ciphertext = null;
let isBusy = false;
const ready = page.querySelector("[data-ready]");

function tell(name, kind = "alert") {
  told.replaceChildren(page.querySelector(`template[data-message=${name}]`).content.cloneNode(true));
  told.className = kind;
  told.hidden = false;
}

function ask({ key = false } = {}) {
  form.hidden = false;
  if (key) page.querySelector("[data-key]").open = true;
  (key ? form.elements.key : form.elements.password).focus();
}

/* The key that was typed, or pasted as a part of a link, else that of the address. */
function key() {
  const typed = form.elements.key.value.trim();
  return keyOf(typed ? typed.slice(typed.indexOf("#") + 1) : location.hash);
}

async function begin() {
  page.querySelector("[data-waiting]").hidden = true;
  if (!canSeal()) return tell(isSecureContext ? "browser" : "insecure");
  if (!key()) {
    tell(location.hash.length > 1 ? "cut" : "missing");
    return ask({ key: true });
  }
  if (ready && isLimited) return undefined; /* who has just made it wants the link, not the only reading */
  if (isLimited || location.hash.startsWith("#-")) {
    form.hidden = false;
    page.querySelector("[data-before]").hidden = false;
    return undefined;
  }
  return attempt(true);
}

async function attempt(isFirst) {
  const secret = key();
  if (!secret) {
    tell("cut");
    return ask({ key: true });
  }
  if (isBusy) return undefined;
  isBusy = true;
  form.setAttribute("aria-busy", "true");
  form.querySelector("button").disabled = true;
  try {
    const made = await derive(secret, form.elements.password.value, parameters);
    ciphertext ??= await (isLimited ? taken(made.verifier) : fetched());
    show(await open(ciphertext, made.key, parameters));
  } catch (error) {
    fail(error, isFirst);
  } finally {
    isBusy = false;
    form.removeAttribute("aria-busy");
    form.querySelector("button").disabled = false;
  }
  return undefined;
}

function fail(error, isFirst) {
  const reason = error instanceof Unfit ? error.reason : "unreachable";
  /* of content that the server gave for the right verifier a wrong key is no explanation */
  const isDamaged = reason === "content" || (reason === "key" && ciphertext && isLimited && parameters.verifier);
  if (isDamaged) tell("damaged");
  else if (reason !== "key") tell(reason);
  else if (isFirst) tell("asked", "notice");
  else tell(ciphertext && isLimited ? "kept" : "wrong");
  if (ciphertext && isLimited) offer();
  if (reason === "key" && !isDamaged) ask();
}

async function fetched() {
  return bytes(await fetch(`/${page.dataset.slug}/raw`));
}

/* Uses up a reading, unless the verifier says that the key or the password is wrong. */
async function taken(verifier) {
  const body = new URLSearchParams(parameters.verifier ? { password: verifier } : {});
  return bytes(await fetch(`/${page.dataset.slug}/reveal`, { method: "POST", body }));
}

function bytes(response) {
  if (response.ok) return response.arrayBuffer();
  const reasons = { 403: "key", 404: "gone", 429: "many", 451: "gone" };
  throw new Unfit(reasons[response.status] ?? "unreachable");
}

/* What was used up must not be lost: as a file that any client of this format can open. */
function offer() {
  const link = page.querySelector("[data-keep]");
  const content = { ...parameters, ct: toBase64(new Uint8Array(ciphertext)) };
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content)], { type: "application/octet-stream" }));
  link.download = `${page.dataset.slug}.encrypted.json`;
  link.parentElement.hidden = false;
}

function show({ title, files }) {
  told.hidden = true;
  form.hidden = true;
  page.querySelector("[data-keep]").parentElement.hidden = true;
  if (isLimited) used();
  if (title) {
    const heading = document.createElement("bdi");
    heading.textContent = visible(title);
    document.querySelector("h1").replaceChildren(heading);
    document.title = visible(title);
  }
  page.querySelector("[data-files]").replaceChildren(...files.map((file, index) => shown(file, index)));
  document.querySelector("h1").focus();
}

/* One reading less; after the last one there is nothing to manage. */
function used() {
  const left = Number(page.dataset.left) - 1;
  document.querySelector("[data-reads]").textContent = String(left);
  if (left) return;
  tell("last", "notice");
  document.querySelector(".heading a").remove();
}

function shown({ name, bytes: content }, index) {
  const part = page.querySelector("template[data-file]").content.cloneNode(true);
  const section = part.querySelector("section");
  const heading = part.querySelector("h2");
  heading.id = `name-${index + 1}`;
  section.setAttribute("aria-labelledby", heading.id);
  if (name) heading.querySelector("bdi").textContent = visible(name);
  else if (index) heading.querySelector("bdi").textContent += ` ${index + 1}`;
  part.querySelector("[data-size]").textContent = size(content.length);
  const link = part.querySelector("[data-download]");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  link.download = visible(name) || `${page.dataset.slug}.txt`;
  const text = asText(content);
  const kind = text === null ? imageType(content) : "";
  if (!text) part.querySelector("pre").remove();
  if (text !== null) write(part, text, heading.id);
  else if (kind) picture(part, kind, content, name);
  else part.querySelector("[data-binary]").hidden = false;
  return part;
}

function write(part, text, label) {
  if (!text) {
    part.querySelector("[data-empty]").hidden = false;
    return;
  }
  const pre = part.querySelector("pre");
  const code = pre.querySelector("code");
  const copy = part.querySelector("[data-copy]");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", () => copied(copy, text));
  pre.hidden = false;
  pre.setAttribute("aria-labelledby", label);
  const lines = text.replace(/\n$/, "").split("\n");
  if (lines.length > LINES_WITH_NUMBERS) {
    pre.classList.add("mere");
    code.textContent = text;
    return;
  }
  pre.classList.add(`d${String(lines.length).length}`);
  code.replaceChildren(...lines.map(numbered));
}

function numbered(text) {
  const line = document.createElement("span");
  const number = document.createElement("a");
  line.className = "line";
  number.className = "n";
  number.setAttribute("aria-hidden", "true");
  line.append(number, `${text}\n`);
  return line;
}

function picture(part, kind, content, name) {
  const image = document.createElement("img");
  image.src = `data:${kind};base64,${toBase64(content)}`;
  image.alt = visible(name);
  const frame = part.querySelector("[data-image]");
  frame.append(image);
  frame.hidden = false;
}

function imageType(content) {
  const isWebp = asText(content.slice(0, 4)) === "RIFF" && asText(content.slice(8, 12)) === "WEBP";
  const found = IMAGES.find(([, magic]) => magic.every((byte, index) => content[index] === byte));
  return found?.[0] ?? (isWebp ? "image/webp" : "");
}

async function copied(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return;
  }
  const before = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = before; }, 2000);
}

function visible(text) {
  return text.replace(INVISIBLE, (mark) => {
    const code = mark.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}

function size(count) {
  const units = ["B", "KiB", "MiB"];
  let power = 0;
  for (; count >= 1024 && power < units.length - 1; power++) count /= 1024;
  return `${count.toFixed(1).replace(/\.0$/, "")} ${units[power]}`;
}

/* The one who has made it needs the whole link, which the server does not know. */
function greet() {
  const link = `${page.dataset.url}${location.hash}`;
  const shownLink = ready.querySelector("a");
  [shownLink.href, shownLink.textContent] = [link, link];
  const copy = ready.querySelector("[data-copy]");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", () => copied(copy, link));
  ready.hidden = false;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(false);
});
if (ready && key()) greet();
begin();
