/* PrivateBin's format, version 2: what it holds and how it is encrypted. Nothing here knows of a page or a server.

   A message is {title, files: [{name, bytes}]}. A first file that is text travels as PrivateBin's text, all others as
   its attachments; what PrivateBin has no place for (title, name of the text) is in a member of its own. */

/* Of JSON, before it is compressed and after it was: what would be more does not fit into a browser's strings. */
export const MOST_BYTES = 128 * 1024 * 1024;

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const KEY_BYTES = 32;
const ITERATIONS = 600_000;
const VERIFIER = "pastebin verifier";

/* `reason`: "link" (no whole key), "key" (key, password or content are not what they were), "content" (was decrypted,
   and is nothing that is known here), "size", "browser" (cannot do what this takes). */
export class Unfit extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

export function canSeal() {
  return Boolean(globalThis.crypto?.subtle && globalThis.CompressionStream && globalThis.DecompressionStream);
}

export function toBase58(bytes) {
  let number = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let text = "";
  for (; number; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  const zeros = bytes.findIndex((byte) => byte);
  return ALPHABET[0].repeat(zeros < 0 ? bytes.length : zeros) + text;
}

/* The key in the fragment of a link, or null; `-` before it asks for a confirmation, `&` ends it. */
export function keyOf(fragment) {
  const text = fragment.replace(/^#?-?/, "").replace(/[&?].*$/, "");
  if (!text || text.length > 2 * KEY_BYTES) return null;
  let number = 0n;
  for (const letter of text) {
    const digit = ALPHABET.indexOf(letter);
    if (digit < 0) return null;
    number = number * 58n + BigInt(digit);
  }
  const bytes = [];
  for (; number; number >>= 8n) bytes.unshift(Number(number & 255n));
  const zeros = text.match(/^1*/)[0].length;
  return bytes.length + zeros === KEY_BYTES ? Uint8Array.from([...Array(zeros).fill(0), ...bytes]) : null;
}

/* Both keys that one key and password make: the one of the content, and what proves to a server that they are known. */
export async function derive(secret, password, parameters) {
  const [, salt, iterations, bits] = parameters.adata[0];
  const subtle = crypto.subtle;
  const material = await subtle.importKey("raw", joined(secret, encoded(password)), "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: fromBase64(salt), iterations };
  const made = await subtle.deriveBits(how, material, bits);
  const again = await subtle.importKey("raw", made, "HKDF", false, ["deriveBits"]);
  const proof = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoded(VERIFIER) };
  const verifier = toBase64(new Uint8Array(await subtle.deriveBits(proof, again, 256)));
  try {
    return { key: await subtle.importKey("raw", made, "AES-GCM", false, ["encrypt", "decrypt"]), verifier };
  } catch {
    throw new Unfit("browser"); /* some know no key of 192 bits */
  }
}

/* Encrypt a message: {parameters, ciphertext, key, verifier}. The key is for the link, the verifier for a read limit. */
export async function seal(message, password, { formatter = "plaintext", burns = false } = {}) {
  const packed = await through(await pack(message), new CompressionStream("deflate-raw"));
  const secret = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const salt = toBase64(crypto.getRandomValues(new Uint8Array(8)));
  const cipher = [toBase64(iv), salt, ITERATIONS, 256, 128, "aes", "gcm", "zlib"];
  const parameters = { v: 2, adata: [cipher, formatter, 0, burns ? 1 : 0] };
  const { key, verifier } = await derive(secret, password, parameters);
  const ciphertext = await crypto.subtle.encrypt(gcm(parameters), key, packed);
  return { parameters, ciphertext, key: toBase58(secret), verifier };
}

/* The message. Throws Unfit. */
export async function open(ciphertext, key, parameters) {
  let packed;
  try {
    packed = await crypto.subtle.decrypt(gcm(parameters), key, ciphertext);
  } catch {
    throw new Unfit("key");
  }
  const isPlain = parameters.adata[0][7] === "none";
  return unpack(isPlain ? new Uint8Array(packed) : await through(packed, new DecompressionStream("deflate-raw")));
}

function gcm(parameters) {
  const [iv, , , , tagLength] = parameters.adata[0];
  return { name: "AES-GCM", iv: fromBase64(iv), tagLength, additionalData: encoded(JSON.stringify(parameters.adata)) };
}

export async function pack({ title = "", files }) {
  const [first, ...others] = files;
  const text = first && asText(first.bytes);
  const attached = text === null ? files : others;
  const more = { ...(title && { title }), ...(text !== null && first.name && { name: first.name }) };
  const urls = await Promise.all(attached.map(({ bytes }) => dataUrl(bytes)));
  const names = attached.map(({ name }, index) => name || `file-${index + 1}`);
  const content = { paste: text ?? "" };
  /* one as every client understands it, several as PrivateBin has had them since 1.7.7 */
  if (urls.length === 1) [content.attachment, content.attachment_name] = [urls[0], names[0]];
  else if (urls.length) [content.attachment, content.attachment_name] = [urls, names];
  if (Object.keys(more).length) content.pastebin = more;
  const bytes = encoded(JSON.stringify(content));
  if (bytes.length > MOST_BYTES) throw new Unfit("size");
  return bytes;
}

export function unpack(bytes) {
  try {
    const content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const { title, name } = content.pastebin ?? {};
    const urls = listed(content.attachment);
    const names = listed(content.attachment_name);
    const files = urls.map((url, index) => ({ name: words(names[index]), bytes: bytesOf(url) }));
    const text = content.paste ?? "";
    if (typeof text !== "string") throw new Unfit("content");
    if (text || !files.length) files.unshift({ name: words(name), bytes: encoded(text) });
    return { title: words(title), files };
  } catch {
    throw new Unfit("content");
  }
}

/* Text that is UTF-8 as it is, or null. */
export function asText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

export function toBase64(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/* The browser makes the address, piece by piece and beside the page. */
function dataUrl(bytes) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Unfit("size"));
    reader.readAsDataURL(new Blob([bytes], { type: "application/octet-stream" }));
  });
}

function bytesOf(url) {
  const [, coding, data] = /^data:[^,]*?(;base64)?,([^]*)$/i.exec(url);
  return coding ? fromBase64(data) : encoded(decodeURIComponent(data));
}

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

async function through(bytes, transform) {
  const pieces = [];
  let size = 0;
  try {
    const reader = new Blob([bytes]).stream().pipeThrough(transform).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.length;
      if (size > MOST_BYTES) {
        reader.cancel().catch(() => {});
        throw new Unfit("size");
      }
      pieces.push(next.value);
    }
  } catch (error) {
    throw error instanceof Unfit ? error : new Unfit("content");
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

function encoded(text) {
  return new TextEncoder().encode(text);
}

function listed(value) {
  return value === undefined || value === null ? [] : [value].flat();
}

function words(value) {
  return typeof value === "string" ? value : "";
}
