/* Lines of files as the end of an address: `#L3`, `#L10-L20`, `#f2-L3,f2-L10-L20`. A range is [prefix, first, last]. */

const ITEM = /^([a-z][a-z0-9]*-)?L([1-9][0-9]{0,8})(?:-L?([1-9][0-9]{0,8}))?$/;
const MOST = 100;

/* The ranges that are named, those of a file together and in order; none for what names anything else. */
export function parse(hash) {
  const items = hash.replace(/^#/, "").split(",", MOST + 1);
  if (items.length > MOST) return [];
  const ranges = [];
  let prefix = "";
  for (const item of items) {
    const found = ITEM.exec(item);
    if (!found) return [];
    prefix = found[1] ?? prefix;
    const ends = [Number(found[2]), Number(found[3] ?? found[2])];
    ranges.push([prefix, Math.min(...ends), Math.max(...ends)]);
  }
  return merged(ranges);
}

/* The same in what people type: `10`, `10-20, 30`; `2:10` in the second of several files. */
export function typed(text, isOne) {
  const items = text.trim().split(/\s*[,;\s]\s*/);
  const named = items.map((item) => {
    const found = /^(?:([1-9][0-9]{0,3}):)?L?([0-9]+)(?:[-\u2013]L?([0-9]+))?$/i.exec(item);
    if (!found || (isOne && found[1])) return "";
    return `${isOne ? "" : `f${found[1] ?? 1}-`}L${found[2]}${found[3] ? `-L${found[3]}` : ""}`;
  });
  return parse(named.join(","));
}

export function format(ranges) {
  return ranges.map(([prefix, first, last]) => `${prefix}L${first}${last > first ? `-L${last}` : ""}`).join(",");
}

/* For people: `3, 10–20`. */
export function spoken(ranges) {
  return ranges.map(([, first, last]) => (last > first ? `${first}–${last}` : `${first}`)).join(", ");
}

/* The same lines in as few ranges as can be; files stay in the order in which they came. */
export function merged(ranges) {
  const files = [...new Set(ranges.map(([prefix]) => prefix))];
  return files.flatMap((prefix) => {
    const made = [];
    for (const [, first, last] of ranges.filter(([own]) => own === prefix).sort((one, other) => one[1] - other[1])) {
      const before = made.at(-1);
      if (before && first <= before[2] + 1) before[2] = Math.max(before[2], last);
      else made.push([prefix, first, last]);
    }
    return made;
  });
}
