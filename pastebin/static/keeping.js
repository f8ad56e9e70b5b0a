/* My pastes with their owner tokens, in this browser's storage; each entry is a line of the saved list. */

const key = "pastebin.mine";
const most = 5000;
const slugs = /^[A-Za-z0-9][A-Za-z0-9_-]{1,62}[A-Za-z0-9]$/;
const tokens = /^[A-Za-z0-9]{16,64}$/;

/* The newest first; nothing that is no entry, whoever has written it there. */
export function all() {
  let found = [];
  try {
    found = JSON.parse(localStorage.getItem(key) ?? "[]");
  } catch {
    /* storage is forbidden, or somebody else's */
  }
  return Array.isArray(found) ? found.filter(isEntry) : [];
}

/* Put these in front; of a paste that is there twice the newer token counts. False where nothing can be kept. */
export function keep(entries) {
  const found = new Map();
  for (const entry of [...entries.filter(isEntry), ...all()]) {
    if (!found.has(entry.slug)) found.set(entry.slug, entry);
  }
  const sorted = [...found.values()].sort((one, other) => moment(other) - moment(one));
  return write(sorted.slice(0, most));
}

export function forget(gone) {
  return write(all().filter((entry) => !gone.has(entry.slug)));
}

/* The entry for what the server answers to a new paste. */
export function entryOf(created) {
  const { slug, url, token, created_at, expires_at, title, files } = created;
  const name = files?.length === 1 ? files[0].name : null;
  return { server: location.origin, slug, url, token, created_at, expires_at, title, name };
}

/* The entries of a saved list, the newest first, and how many lines are of no paste of this site. */
export function read(text) {
  const entries = [];
  let foreign = 0;
  for (const line of text.split("\n").filter((one) => one.trim())) {
    let entry = null;
    try {
      entry = JSON.parse(line);
    } catch {
      /* counted below */
    }
    if (isEntry(entry) && isHere(entry)) entries.push(entry);
    else foreign += 1;
  }
  /* of one moment the last in the list is the newest */
  entries.reverse().sort((one, other) => moment(other) - moment(one));
  return { entries, foreign };
}

/* As `read` takes it, and as the command line client has it: the oldest first. */
export function written(entries) {
  return entries.toReversed().map((entry) => `${JSON.stringify(entry)}\n`).join("");
}

function isEntry(entry) {
  return typeof entry === "object" && entry !== null && slugs.test(entry.slug) && tokens.test(entry.token);
}

function isHere(entry) {
  const said = [entry.url, entry.server].filter((value) => typeof value === "string");
  return said.length === 0 || said.some((address) => URL.canParse(address) && new URL(address).host === location.host);
}

function moment(entry) {
  return Date.parse(entry.created_at) || 0;
}

function write(entries) {
  try {
    localStorage.setItem(key, JSON.stringify(entries));
    return true;
  } catch {
    return false;
  }
}
