/* Lets one scroll through a text of any length: lines are fetched when they come near, and let go when they are far.
   Without it the same lines are had by links, a window at a time. */

const MOST_CHUNKS = 4;
const NEAR_PIXELS = 2000;
const BEFORE = 10;
const PAUSE_MS = 2000;

class Viewer {
  constructor(box) {
    this.box = box;
    this.pre = box.querySelector("pre");
    this.code = this.pre.querySelector("code");
    this.place = box.querySelector("[data-place]");
    this.told = box.querySelector("[data-told]");
    this.chunks = [this.wrapped(box)];
    this.code.replaceChildren(this.chunks[0].node);
    this.prefix = /^(.*)L\d+$/.exec(this.code.querySelector(".line")?.id ?? "L1")?.[1] ?? "";
    this.busy = null;
    this.pauseUntil = 0;
    this.pre.classList.add("scrolls");
    for (const link of box.querySelectorAll("[data-step]")) link.hidden = true;
    this.slider = this.madeSlider();
    this.pre.addEventListener("scroll", () => this.scrolled(), { passive: true });
    box.addEventListener("submit", (event) => this.submitted(event));
    box.addEventListener("click", (event) => this.clicked(event));
    this.scrolled();
  }

  get count() { return Number(this.box.dataset.count) || Infinity; }
  get first() { return this.chunks[0].first; }
  get last() { return this.chunks.at(-1).last; }

  wrapped(box) {
    const node = document.createElement("span");
    node.className = "chunk";
    node.append(...box.querySelector("pre code").childNodes);
    return { first: Number(box.dataset.first), last: Number(box.dataset.last), node };
  }

  madeSlider() {
    if (!this.box.dataset.count) return null;
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 1, max: this.count, step: 1, value: this.first });
    slider.setAttribute("aria-label", this.box.dataset.slider);
    slider.addEventListener("input", () => this.show(Number(slider.value), Number(slider.value)));
    slider.addEventListener("change", () => this.jump(Number(slider.value)));
    this.place.after(slider);
    return slider;
  }

  /* The lines from `line` on, as the page of them shows them. */
  async fetched(line, signal) {
    const address = new URL(this.box.dataset.page, location.href);
    if (line !== 1) address.searchParams.set("line", line);
    const response = await fetch(address, { headers: { Accept: "text/html" }, signal });
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const box = page.querySelector("[data-window]");
    if (!box) throw new Error("no lines");
    if (box.dataset.count) {
      this.box.dataset.count = box.dataset.count;
      this.slider ??= this.madeSlider();
    }
    if (box.querySelector("pre.screen")) this.asScreen(page);
    return this.wrapped(box);
  }

  /* Colours of a terminal may begin anywhere. */
  asScreen(page) {
    this.pre.classList.add("screen");
    const sheet = page.querySelector("link[data-screen]");
    if (sheet && !document.querySelector("link[data-screen]")) document.head.append(document.importNode(sheet, true));
  }

  /* One thing at a time; what is more urgent takes the place of what is under way. */
  async doing(work, { urgent = false } = {}) {
    if (this.busy && !urgent) return;
    if (!urgent && Date.now() < this.pauseUntil) return;
    this.busy?.abort();
    const own = new AbortController();
    this.busy = own;
    const late = setTimeout(() => own.abort(new DOMException("late", "TimeoutError")), 20000);
    try {
      await work(own.signal);
      if (this.told.textContent === this.box.dataset.failed) this.told.textContent = "";
      this.told.classList.add("unseen");
    } catch (error) {
      if (error.name === "AbortError") return;
      this.pauseUntil = Date.now() + PAUSE_MS;
      this.told.classList.remove("unseen");
      this.told.textContent = this.box.dataset.failed;
    } finally {
      clearTimeout(late);
      if (this.busy === own) this.busy = null;
    }
    requestAnimationFrame(() => this.scrolled());
  }

  async after(signal) {
    const chunk = await this.fetched(this.last + 1, signal);
    this.code.append(chunk.node);
    this.chunks.push(chunk);
    while (this.chunks.length > MOST_CHUNKS) {
      const gone = this.chunks.shift();
      this.keepingPlace(() => gone.node.remove());
    }
  }

  async before(signal) {
    const chunk = await this.fetched(Math.max(this.first - 500, 1), signal);
    const lines = chunk.node.children;
    /* lines that are long come in smaller windows, which may end before those that are here begin */
    if (chunk.last + 1 < this.first) return this.replace(chunk, chunk.last);
    while (chunk.last >= this.first && lines.length) {
      lines[lines.length - 1].remove();
      chunk.last -= 1;
    }
    if (!lines.length) return;
    this.keepingPlace(() => this.code.prepend(chunk.node));
    this.chunks.unshift(chunk);
    while (this.chunks.length > MOST_CHUNKS) this.chunks.pop().node.remove();
  }

  keepingPlace(change) {
    const height = this.pre.scrollHeight;
    const top = this.pre.scrollTop;
    change();
    this.pre.scrollTop = top + this.pre.scrollHeight - height;
  }

  replace(chunk, line) {
    this.code.replaceChildren(chunk.node);
    this.chunks = [chunk];
    this.see(line);
  }

  see(line) {
    this.box.querySelector(".line.at")?.classList.remove("at");
    const shown = document.getElementById(`${this.prefix}L${line}`);
    if (!shown) return;
    shown.classList.add("at");
    const top = shown.getBoundingClientRect().top - this.pre.getBoundingClientRect().top;
    if (top < 0 || top > this.pre.clientHeight - 24) this.pre.scrollTop += top - this.pre.clientHeight / 3;
  }

  jump(line, { remember = true } = {}) {
    const wanted = Math.min(Math.max(Math.trunc(line) || 1, 1), this.count);
    if (remember) history.pushState(null, "", `#${this.prefix}L${wanted}`);
    this.told.textContent = this.box.dataset.again;
    return this.doing(async (signal) => {
      if (wanted < this.first || wanted > this.last) {
        this.replace(await this.fetched(Math.max(wanted - BEFORE, 1), signal), wanted);
      } else {
        this.see(wanted);
      }
      this.pre.scrollIntoView({ block: "nearest" });
      this.told.textContent = this.place.textContent;
    }, { urgent: true });
  }

  toEnd() {
    return this.doing(async (signal) => {
      const chunk = await this.fetched("end", signal);
      this.replace(chunk, chunk.last);
      this.pre.scrollTop = this.pre.scrollHeight;
      this.pre.scrollIntoView({ block: "nearest" });
      history.pushState(null, "", `#${this.prefix}L${chunk.last}`);
    }, { urgent: true });
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.pre;
    if (this.last < this.count && scrollHeight - scrollTop - clientHeight < NEAR_PIXELS) {
      this.doing((signal) => this.after(signal));
    } else if (this.first > 1 && scrollTop < NEAR_PIXELS) {
      this.doing((signal) => this.before(signal));
    }
    const { left, top, bottom } = this.pre.getBoundingClientRect();
    const from = Math.max(top, 0) + 12;
    const to = Math.min(bottom, innerHeight) - 12;
    if (to > from) this.show(this.lineAt(left + 8, from) ?? this.first, this.lineAt(left + 8, to) ?? this.last, true);
  }

  lineAt(x, y) {
    const number = document.elementFromPoint(x, y)?.closest(".line")?.querySelector("[data-n]");
    return number && this.box.contains(number) ? Number(number.dataset.n) : null;
  }

  show(first, last, slides = false) {
    if (!this.box.dataset.count) return;
    const numbers = { first, last, count: this.count };
    this.place.textContent = this.box.dataset.position.replace(/\{(first|last|count)\}/g, (_, name) =>
      numbers[name].toLocaleString(document.documentElement.lang || undefined));
    if (slides && this.slider && document.activeElement !== this.slider) this.slider.value = first;
  }

  submitted(event) {
    if (!event.target.matches("[data-jump]")) return;
    event.preventDefault();
    this.jump(event.target.elements.line.valueAsNumber);
  }

  clicked(event) {
    const link = event.target.closest("[data-first-lines], [data-last-lines]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (link.matches("[data-first-lines]")) this.jump(1);
    else this.toEnd();
  }
}

const viewers = [...document.querySelectorAll("[data-window]")].map((box) => new Viewer(box));

/* A line that is not on the page yet can be named all the same. */
function followHash() {
  const named = /^#(.*?)L(\d+)/.exec(location.hash);
  const viewer = named && viewers.find((one) => one.prefix === named[1]);
  if (viewer) viewer.jump(Number(named[2]), { remember: false });
}

addEventListener("hashchange", followHash);
addEventListener("popstate", followHash);
if (location.hash) followHash();
