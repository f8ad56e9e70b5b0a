/* Copying, and saying that it was done: for everybody to see on the button, and aloud. */

const said = document.querySelector("[data-said]");
const SECONDS = 2;

/* `text` is a string or the promise of one. Whether it is on the clipboard. */
export async function copy(text) {
  try {
    /* the promise goes in as it is: some browsers take nothing any more once the click is long over */
    const blob = Promise.resolve(text).then((made) => new Blob([made], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    return insecurely(await text);
  }
}

/* Where a page came without TLS there is no `navigator.clipboard`. */
function insecurely(text) {
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    focused?.focus({ preventScroll: true });
  }
}

/* Copy for a button, which says what became of it for a moment. */
export async function copyFor(button, text) {
  if (button.dataset.label) return;
  let done = false;
  try {
    done = await copy(text);
  } catch {
    /* what was to be copied could not be had: the reader is told */
  }
  const words = done ? said.dataset.copied : said.dataset.failed;
  const shown = button.firstChild;
  button.dataset.label = shown.data;
  shown.data = words;
  said.textContent = words;
  setTimeout(() => {
    shown.data = button.dataset.label;
    delete button.dataset.label;
    said.textContent = "";
  }, SECONDS * 1000);
}
