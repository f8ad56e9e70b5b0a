/* What is typed and not yet saved, kept in this browser; each tab has a draft of its own. Never a password. */

const key = "pastebin.drafts";
const most = 5;
const secret = new Set(["password", "newlines", "reject_secrets"]);

/* The draft of this tab, which a reload should bring back; else the newest that another has left. */
export function found() {
  const drafts = load();
  const own = drafts[tab()];
  if (own) return { id: tab(), draft: own, isOwn: true };
  const [id, draft] = Object.entries(drafts).sort(([, one], [, other]) => other.at - one.at)[0] ?? [];
  return draft ? { id, draft, isOwn: false } : null;
}

/* Keep `texts` ([{name, syntax, text}]) and the fields of `form`; with nothing typed there is no draft. */
export function keep(form, texts) {
  const fields = {};
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value && !secret.has(name)) fields[name] = value;
  }
  const drafts = load();
  delete drafts[tab()];
  if (fields.content || fields.title || fields.name || texts.length) drafts[tab()] = { at: Date.now(), fields, texts };
  if (!save(drafts)) save({ [tab()]: drafts[tab()] });
}

export function discard(id = tab()) {
  const drafts = load();
  delete drafts[id];
  save(drafts);
}

function tab() {
  try {
    let id = sessionStorage.getItem(key);
    if (!id) {
      id = `${Date.now()}.${Math.random()}`;
      sessionStorage.setItem(key, id);
    }
    return id;
  } catch {
    return "none";
  }
}

function load() {
  try {
    const drafts = JSON.parse(localStorage.getItem(key) ?? "{}");
    const whole = Object.entries(drafts).filter(([, draft]) => draft && draft.at && draft.fields && Array.isArray(draft.texts));
    return Object.fromEntries(whole);
  } catch {
    return {};
  }
}

/* False where it does not fit, or nothing can be kept. */
function save(drafts) {
  const newest = Object.entries(drafts).filter(([, draft]) => draft).sort(([, one], [, other]) => other.at - one.at);
  try {
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(newest.slice(0, most))));
    return true;
  } catch {
    return false;
  }
}
