/* Encrypts what the create form holds, and sends that instead. What the server must not know is not sent at all. */

import { MOST_BYTES, Unfit, canSeal, seal } from "./sealing.js";

/* Options that the server needs. Title, names, syntax and password stay in the browser. */
const SENT = ["expires_in", "expires_at", "visibility", "max_reads", "analytics", "slug"];

const place = document.querySelector("[data-encrypting]");
const form = place.closest("form");
const choice = place.querySelector("input");
const told = place.querySelector("[data-told]");
let isBusy = false;

function tell(...content) {
  told.replaceChildren(...content);
  told.hidden = !content.length;
  if (content.length) told.focus();
}

function words(name) {
  return place.querySelector(`template[data-message=${name}]`).content.cloneNode(true);
}

async function message(fields) {
  const text = (fields.get("content") ?? "").replace(/\r\n/g, "\n");
  const chosen = ["file", "f"].flatMap((name) => fields.getAll(name)).filter((one) => one instanceof File && (one.name || one.size));
  const most = Math.min(MOST_BYTES, Number(place.dataset.most));
  if (chosen.reduce((sum, one) => sum + one.size, text.length) > most) throw new Unfit("size");
  const files = [];
  const only = fields.get("name")?.trim() ?? "";
  if (text) files.push({ name: chosen.length ? "" : only, bytes: new TextEncoder().encode(text) });
  for (const one of chosen) {
    const name = chosen.length === 1 && !text && only ? only : one.name;
    files.push({ name, bytes: new Uint8Array(await one.arrayBuffer()) });
  }
  if (!files.some((file) => file.bytes.length)) throw new Unfit("empty");
  return { title: fields.get("title")?.trim() ?? "", files };
}

function formatter(syntax) {
  if (syntax === "markdown") return "markdown";
  return syntax && syntax !== "text" ? "syntaxhighlighting" : "plaintext";
}

/* Where the paste is, behind the answer that also gives the browser the owner token; or what the server has against it. */
async function send(fields, sealing) {
  const sent = new FormData();
  for (const name of SENT) if (fields.get(name)) sent.set(name, fields.get(name));
  const parameters = { ...sealing.parameters };
  if (fields.get("max_reads")) {
    parameters.verifier = true;
    sent.set("password", sealing.verifier);
  }
  sent.set("encryption", JSON.stringify(parameters));
  sent.set("file", new Blob([sealing.ciphertext]), "encrypted");
  const response = await fetch(form.action, { method: "POST", body: sent, headers: { Accept: "text/html" } });
  if (response.redirected) return response.url; /* it is made, whatever became of showing it */
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const problems = [...page.querySelectorAll(".alert li")].map((one) => one.textContent.trim());
  throw new Error(problems.join("\n") || page.querySelector("main h1")?.textContent.trim() || String(response.status));
}

async function publish() {
  const fields = new FormData(form);
  const limited = Boolean(fields.get("max_reads"));
  const password = (fields.get("password") ?? "").trim() ? fields.get("password") : "";
  const sealing = await seal(await message(fields), password, {
    formatter: formatter(fields.get("syntax")),
    burns: fields.get("max_reads") === "1",
  });
  const address = await send(fields, sealing);
  /* others keep what was typed until it is saved */
  form.dispatchEvent(new CustomEvent("saved", { bubbles: true }));
  location.assign(`${address}#${limited ? "-" : ""}${sealing.key}`);
}

async function submitted(event) {
  if (event.target !== form || !choice.checked) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (isBusy) return;
  isBusy = true;
  told.classList.replace("wrong", "hint");
  tell(words("busy"));
  try {
    await publish();
  } catch (error) {
    told.classList.replace("hint", "wrong");
    if (error instanceof Unfit) tell(words(error.reason === "content" ? "browser" : error.reason));
    else if (error instanceof TypeError) tell(words("unreachable"));
    else tell(error.message);
  } finally {
    isBusy = false;
  }
}

if (canSeal()) {
  place.hidden = false;
  /* before any other module of the form hears of it, and sends what was typed */
  document.addEventListener("submit", submitted, { capture: true });
}
