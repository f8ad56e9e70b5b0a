/* The form for a new paste: many files, their size, drafts, and sending without leaving the page.
   Without it the form is sent by the browser, and everything can be asked for as well. */

import * as drafts from "./drafts.js";
import { watch } from "./dropping.js";
import { guess } from "./guessing.js";
import { entryOf, keep } from "./keeping.js";
import { Rows } from "./rows.js";
import { send } from "./sending.js";
import { say, unsay } from "./telling.js";
import { CutOff } from "./uploading.js";
import { allOf, filesize, made, moment, words } from "./words.js";

const form = document.querySelector("form.create");
const limits = { bytes: Number(form.dataset.maxBytes), files: Number(form.dataset.maxFiles) };
const field = (name) => form.elements.namedItem(name);
const text = field("content");
const exact = field("expires_at");
/* what is written beside the other options */
const own = new Set(["name", "content", "syntax", "reject_secrets"]);
const changes = [];
let rows = null;
let total = null;
let told = null;
let timer = 0;
let isSent = false;
/* a second try after a lost connection makes no second paste (Idempotency-Key) */
let attempt = null;

/*
 * Another module may change what is sent: `change({fields, parts})`, with a Map of options and a list of
 * `{name, syntax, text, blob}`, gives the same back, maybe with a `fragment` for the new address; null to leave it.
 */
export function beforeSending(change) {
  changes.push(change);
}

/* What is in the form now: of texts also as such. An empty text counts where it has a name. */
export function parts() {
  const first = { name: field("name").value, syntax: field("syntax").value, text: text.value, blob: new Blob([text.value]) };
  const others = rows.parts().filter((part) => part.name || part.blob.size);
  return text.value || (first.name && !others.length) ? [first, ...others] : others;
}

function arrange() {
  const chooser = field("file");
  const box = chooser.closest(".field");
  const [drop, list, sum, status] = allOf("dropping");
  box.append(drop, list, sum);
  box.after(status);
  box.classList.add("dropping");
  total = sum;
  told = status;
  rows = new Rows(list, field("syntax"), changed);
  const folder = drop.querySelector("input[type=file]");
  drop.querySelector("[data-do=folder]").addEventListener("click", () => folder.click());
  drop.querySelector("[data-do=text]").addEventListener("click", () => rows.add({}).name.focus());
  watch({ area: form, chooser, folder, most: limits.files, take, imageName: words("image") });
  takeOver(form.querySelector("details.texts"));
}

/* The places for more texts, which the page has for who runs no script, become rows where something is in them. */
function takeOver(places) {
  for (const place of places.querySelectorAll(".text")) {
    const [name, content] = [place.querySelector("input[type=text]").value, place.querySelector("textarea").value];
    const syntax = place.querySelector("input[type=hidden]")?.value ?? "";
    if (name || content) rows.add({ name, syntax, text: content });
  }
  places.remove();
}

function take(files) {
  const taken = rows.names();
  for (const { name, file } of files) {
    const free = rows.freeName(name, taken);
    taken.add(free);
    rows.add({ name: free, file }, { quietly: true });
  }
  rows.number();
  if (files.length) changed(words("added", { count: files.length }));
}

function changed(message = "") {
  attempt = null;
  if (message) told.textContent = message;
  clearTimeout(timer);
  timer = setTimeout(settle, 300);
}

/* What need not follow every key: the size, the guess, the draft. */
async function settle() {
  clearTimeout(timer);
  measure();
  if (!isSent) drafts.keep(form, rows.parts().filter((part) => part.text !== null));
  const guessed = await guess(field("name").value, text.value.slice(0, 200));
  const choice = field("syntax").options[0];
  choice.dataset.plain ??= choice.text;
  choice.text = guessed ? words("guessed", { syntax: guessed }) : choice.dataset.plain;
}

function measure() {
  const sent = parts();
  const size = sent.reduce((sum, part) => sum + part.blob.size, 0);
  const shown = { count: sent.length, size: filesize(size), limit: filesize(limits.bytes) };
  const meter = total.querySelector("meter");
  total.querySelector("output").textContent = sent.length ? words(sent.length === 1 ? "totalOne" : "total", shown) : "";
  meter.hidden = size < limits.bytes / 100;
  meter.value = size / limits.bytes;
  total.classList.toggle("wrong", size > limits.bytes || sent.length > limits.files);
  return { size, count: sent.length };
}

/* Local time on the page, UTC on the way. */
function tellTime() {
  const zone = document.querySelector("[data-zone]");
  zone.textContent = zone.dataset.zone;
  const local = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  if (exact.value) exact.value = local(new Date(`${exact.value}Z`));
  exact.min = local(new Date());
}

function options(publishes) {
  const fields = new Map();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value && !own.has(name)) {
      fields.set(name, value);
    }
  }
  if (exact.value) {
    fields.set("expires_at", new Date(exact.value).toISOString());
    fields.delete("expires_in");
  }
  fields.set("reject_secrets", String(!publishes));
  return fields;
}

/* Names go with the files, where every program reads them alike; else, and syntaxes, in fields before them. */
function written({ fields, parts: files }) {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  files.forEach((part, index) => {
    if (/["\\\r\n]|%(22|0d|0a)/i.test(part.name)) data.append(`name-${index + 1}`, part.name);
    if (part.syntax) data.append(`syntax-${index + 1}`, part.syntax);
  });
  files.forEach((part, index) => data.append(`file-${index + 1}`, part.blob, part.name));
  return data;
}

async function submit(event) {
  event.preventDefault();
  unsay();
  const { size, count } = measure();
  const shown = { size: filesize(size), count, limit: filesize(limits.bytes) };
  if (count > limits.files) return say(form, words("tooMany", { ...shown, limit: limits.files }));
  if (size > limits.bytes) return say(form, words("tooLarge", shown));
  if (!rows.check(text.value ? field("name").value : "")) return;
  const sent = parts();
  try {
    let going = { fields: options(event.submitter?.name === "publish"), parts: sent };
    for (const change of changes) going = (await change(going)) ?? going;
    attempt ??= key();
    const answer = await send(form, form.getAttribute("action"), written(going), { "Idempotency-Key": attempt });
    if (answer.status === 201 && answer.body) return arrive(answer, going.fragment ?? "");
    attempt = null;
    refused(answer, sent);
  } catch (error) {
    say(form, error instanceof CutOff ? await whyCut(sent) : error.told ?? words("cancelled"));
  }
}

/* Without a draft, and with its token kept, to the new paste. */
function arrive(answer, fragment) {
  isSent = true;
  drafts.discard();
  keep([entryOf(answer.body)]);
  location.assign((answer.location ?? answer.body.url) + fragment);
}

function refused({ body }, sent) {
  const hasFirst = sent.length > rows.parts().filter((part) => part.name || part.blob.size).length;
  const isCredential = body?.type?.endsWith("/secret-found");
  if (body?.type?.endsWith("/slug-taken")) return say(form, "", [{ name: "slug", message: body.detail }]);
  const problems = (body?.errors ?? []).map(({ field: path, message }) => {
    const [, position, rest] = /^files\[(\d+)\](.*)$/.exec(path) ?? [];
    if (position === undefined) return { name: path.split(/[.[]/)[0], message };
    const number = Number(position) - (hasFirst ? 1 : 0);
    if (number < 0) return { name: rest === ".name" ? "name" : "content", message };
    return { name: "file", message: `${sent[position]?.name || number + 2}: ${message}` };
  });
  say(form, isCredential ? words("credentials") : problems.length ? "" : body?.detail ?? words("cut"), problems);
  if (isCredential) offerPublishing();
  return undefined;
}

function offerPublishing() {
  if (form.querySelector("button[name=publish]")) return;
  const button = document.createElement("button");
  Object.assign(button, { type: "submit", name: "publish", value: "yes", textContent: words("publish") });
  form.querySelector("button.primary").after(button);
}

/* A file that was changed since it was chosen can no longer be read, which looks like a lost connection. */
async function whyCut(sent) {
  for (const { name, blob } of sent) {
    try {
      await blob.slice(0, 1).arrayBuffer();
    } catch {
      return words("unreadable", { name });
    }
  }
  return words("cut");
}

function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function offerDraft() {
  const left = drafts.found();
  if (!left || text.value || field("title").value || field("name").value || rows.rows.length) return;
  const notice = made("draft");
  const time = moment(new Date(left.draft.at));
  notice.querySelector("span").textContent = words(left.isOwn ? "restored" : "draft", { time });
  const [restore, discard] = notice.querySelectorAll("button");
  restore.addEventListener("click", () => {
    fill(left.draft);
    drafts.discard(left.id);
    settle();
    notice.remove();
    text.focus();
  });
  discard.addEventListener("click", () => {
    drafts.discard(left.id);
    if (left.isOwn) empty();
    notice.remove();
    text.focus();
  });
  if (left.isOwn) {
    fill(left.draft);
    restore.remove();
  }
  form.before(notice);
}

function fill({ fields, texts }) {
  for (const [name, value] of Object.entries(fields)) {
    const element = field(name);
    if (element && element.type !== "file" && typeof value === "string") element.value = value;
  }
  for (const one of texts) rows.add({ name: String(one.name ?? ""), syntax: String(one.syntax ?? ""), text: String(one.text ?? "") });
  if (exact.value || field("slug").value) exact.closest("details").open = true;
}

function empty() {
  form.reset();
  rows.clear();
}

arrange();
tellTime();
offerDraft();
measure();
form.addEventListener("input", () => changed());
form.addEventListener("submit", submit);
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(form.querySelector("button.primary"));
});
addEventListener("pagehide", () => {
  if (!isSent) settle();
});
addEventListener("pageshow", (event) => {
  if (event.persisted && isSent) location.reload();
});
