/* Keeps a page of figures fresh. Without it everything is there, as of when the page was loaded. */

const fresh = document.querySelector("[data-fresh]");
const strip = document.querySelector("[data-live]");
const stale = document.querySelector("[data-stale]");
const pause = document.querySelector("[data-pause]");
/* a little less than the time between two looks, which come when they can */
const leastSeconds = 0.9 * Number(fresh?.dataset.seconds ?? 5);
let isPaused = false;
let due = false;
let last = Date.now();
let isBusy = false;

/* The page is asked for once more, and what it shows put in the place of what was shown; open tables stay open. */
async function refresh() {
  if (isBusy || isPaused || document.hidden || Date.now() - last < leastSeconds * 1000) return;
  isBusy = true;
  due = false;
  let newer = null;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    newer = page.querySelector("[data-fresh]");
    if (newer) exchange(newer);
  } catch {
    /* the next time will do */
  } finally {
    last = Date.now();
    isBusy = false;
    if (stale) stale.hidden = newer !== null;
  }
}

function exchange(newer) {
  const active = document.activeElement;
  const figure = fresh.contains(active) ? active.closest("figure") : null;
  const tag = active?.tagName.toLowerCase();
  for (const open of fresh.querySelectorAll("figure:has(details[open])")) {
    newer.querySelector(`#${CSS.escape(open.id)} details`)?.setAttribute("open", "");
  }
  const places = [...fresh.querySelectorAll(".table")].map((table) => [table.scrollLeft, table.scrollTop]);
  fresh.replaceChildren(...newer.childNodes);
  fresh.querySelectorAll(".table").forEach((table, index) => table.scrollTo(...(places[index] ?? [0, 0])));
  if (figure) fresh.querySelector(`#${CSS.escape(figure.id)} ${tag}`)?.focus({ preventScroll: true });
}

function listen() {
  const text = strip.querySelector("[data-live-text]");
  const source = new EventSource(strip.dataset.live);
  strip.hidden = false;
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    const latest = told.changes.at(-1);
    text.textContent = strip.dataset.pace.replace("{people}", told.people).replace("{bots}", told.bots)
      + (latest ? `; ${strip.dataset.latest.replace("{change}", `${latest.slug} ${latest.kind.replace("_", " ")}`)}` : "");
    strip.classList.toggle("busy", told.people + told.bots > 0);
    const change = told.changes.length ? `${latest.at}${latest.slug}${latest.kind}` : "";
    if (told.people + told.bots > 0 || change !== strip.dataset.change) due = true;
    strip.dataset.change = change;
    if (due) refresh();
  };
  source.onerror = () => {
    text.textContent = strip.dataset.lost;
    strip.classList.remove("busy");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  addEventListener("pagehide", () => source.close(), { once: true });
}

if (pause) {
  const words = { true: pause.dataset.pause, false: pause.textContent };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = words[isPaused];
  });
}
if (fresh && strip) listen();
else if (fresh) setInterval(refresh, Number(fresh.dataset.seconds) * 1000);
