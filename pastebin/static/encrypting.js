/* Encrypts what the create form holds before it is sent. What the server must not know is not sent at all. */

import { beforeSending } from "./creating.js";
import { MOST_BYTES, Unfit, canSeal, seal } from "./sealing.js";
import { allOf } from "./words.js";

/* What the server has to know. Title, names, syntaxes and password stay in the browser. */
const SENT = ["expires_in", "expires_at", "visibility", "max_reads", "analytics", "slug"];

const place = document.getElementById("encrypting");
let choice = null;
let last = null;

async function message(fields, parts) {
  if (parts.reduce((sum, part) => sum + part.blob.size, 0) > MOST_BYTES) throw new Unfit("size");
  const files = [];
  for (const { name, blob } of parts) files.push({ name, bytes: new Uint8Array(await blob.arrayBuffer()) });
  if (!files.some((file) => file.bytes.length)) throw new Unfit("empty");
  return { title: fields.get("title")?.trim() ?? "", files };
}

function formatter(syntax) {
  if (syntax === "markdown") return "markdown";
  return syntax && syntax !== "text" ? "syntaxhighlighting" : "plaintext";
}

/* The same again, for a second try after a lost connection: it must not become another paste. */
function isSame(one, other) {
  const alike = (part, index) => {
    const before = other.parts[index];
    const content = part.text === null ? part.blob === before.blob : part.text === before.text;
    return content && part.name === before.name && part.syntax === before.syntax;
  };
  const options = ({ fields }) => JSON.stringify([...fields]);
  return options(one) === options(other) && one.parts.length === other.parts.length && one.parts.every(alike);
}

async function encrypted({ fields, parts }) {
  const typed = fields.get("password") ?? "";
  const reads = fields.get("max_reads") ?? "";
  const how = { formatter: formatter(parts[0]?.syntax), burns: reads === "1" };
  const sealing = await seal(await message(fields, parts), typed.trim() ? typed : "", how);
  const sent = new Map(SENT.filter((name) => fields.get(name)).map((name) => [name, fields.get(name)]));
  const parameters = { ...sealing.parameters };
  if (reads) {
    /* proves that the key is known, so that a wrong one uses up no reading; it says nothing about the key */
    parameters.verifier = true;
    sent.set("password", sealing.verifier);
  }
  sent.set("encryption", JSON.stringify(parameters));
  const part = { name: "", syntax: "", text: null, blob: new Blob([sealing.ciphertext]) };
  return { fields: sent, parts: [part], fragment: `#${reads ? "-" : ""}${sealing.key}` };
}

async function change(going) {
  if (!choice.checked) return null;
  const input = { fields: new Map(going.fields), parts: [...going.parts] };
  input.fields.delete("reject_secrets");
  if (last && isSame(input, last.input)) return last.made;
  place.setAttribute("aria-busy", "true");
  try {
    last = { input, made: await encrypted(input) };
    return last.made;
  } catch (error) {
    const reason = error instanceof Unfit && error.reason !== "content" ? error.reason : "browser";
    throw Object.assign(error, { told: place.dataset[reason] });
  } finally {
    place.removeAttribute("aria-busy");
  }
}

if (canSeal()) {
  place.append(...allOf("encrypting"));
  choice = place.querySelector("input");
  place.hidden = false;
  beforeSending(change);
}
