/* Which syntax a name or a first line speaks for, as the server will guess it. Nothing that is typed leaves the page. */

let table = null;

/* The label of the guess, or an empty string; the list of syntaxes is asked for when it is first needed. */
export async function guess(name, head) {
  const program = /^#![ \t]*(?:\S*\/)?(?:env[ \t]+(?:-\S+[ \t]+|\w+=\S+[ \t]+)*)?([\w.+-]+)/.exec(head)?.[1];
  if (!name && !program) return "";
  table ??= load();
  const { byPattern, byAlias } = await table;
  const base = name.split(/[/\\]/).at(-1).trim();
  for (const spelling of [base, base.toLowerCase()]) {
    for (const candidate of candidates(spelling)) {
      const found = byPattern.get(candidate);
      if (found) return found;
    }
  }
  const known = program?.toLowerCase();
  return byAlias.get(known) ?? byAlias.get(known?.replace(/-?[\d.]+$/, "")) ?? "";
}

/* The name itself, then its extensions, the longest first. */
function candidates(name) {
  const found = [name];
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) found.push(`*${name.slice(dot)}`);
  return name ? found : [];
}

async function load() {
  const byPattern = new Map();
  const byAlias = new Map();
  try {
    const response = await fetch("/api/v1/syntaxes", { signal: AbortSignal.timeout(10000) });
    for (const { label, aliases, name, patterns } of response.ok ? await response.json() : []) {
      for (const pattern of patterns) if (!byPattern.has(pattern)) byPattern.set(pattern, label);
      for (const alias of [name, ...aliases]) byAlias.set(alias.toLowerCase(), label);
    }
  } catch {
    /* without the list nothing is guessed here */
  }
  return { byPattern, byAlias };
}
