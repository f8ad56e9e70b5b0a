/* What modules show is said by the page, in the reader's language: `words("total", {count: 2})` fills in `{count}`. */

const said = document.getElementById("words");

export function words(key, values = {}) {
  const text = said?.dataset[key] ?? "";
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

const templates = new Map();

/* What the page holds as HTML for its modules, in a `data-html`: the first element, or all of them. */
export function made(id) {
  return allOf(id)[0];
}

export function allOf(id) {
  if (!templates.has(id)) {
    const template = document.createElement("template");
    template.innerHTML = document.getElementById(id).dataset.html;
    templates.set(id, template);
  }
  return [...document.importNode(templates.get(id).content, true).children];
}

const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/* Bytes as the server writes them: `17 B`, `1.5 KiB`. */
export function filesize(size) {
  if (size < 1024) return `${size} B`;
  let amount = size / 1024;
  let unit = 0;
  while (Math.round(amount * 10) / 10 >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${String(Math.round(amount * 10) / 10)} ${units[unit]}`;
}

export const language = document.documentElement.lang || undefined;

/* Seconds as people say them, in the largest unit that fits. */
export function duration(seconds) {
  const [amount, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const shown = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 };
  return new Intl.NumberFormat(language, shown).format(Math.max(1, amount));
}

export function moment(at) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
}
