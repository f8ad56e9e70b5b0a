/* How a form is sent: a bar that grows, the time that is left, and a way to cancel. */

import { upload } from "./uploading.js";
import { duration, filesize, made, words } from "./words.js";

const toldEvery = 5000;

/* As `upload`, with the bar in the place of `form`, which comes back unless a paste was made. */
export async function send(form, address, data, headers) {
  const shown = made("sending");
  const bar = shown.querySelector("progress");
  const line = shown.querySelector("[data-progress]");
  const told = shown.querySelector("[data-told]");
  const cancelling = new AbortController();
  const cancel = shown.querySelector("[data-do=cancel]");
  const began = performance.now();
  let last = began;
  cancel.addEventListener("click", () => cancelling.abort());
  const leaving = (event) => event.preventDefault();
  const onProgress = (sent, size) => {
    const now = performance.now();
    const seconds = ((now - began) / 1000) * (size / sent - 1);
    const text = { sent: filesize(sent), size: filesize(size), time: duration(seconds) };
    bar.value = sent / size;
    line.textContent = sent >= size ? words("storing") : words(now - began > 2000 ? "left" : "progress", text);
    if (now - last > toldEvery) {
      last = now;
      told.textContent = line.textContent;
    }
  };
  form.hidden = true;
  form.after(shown);
  cancel.focus();
  addEventListener("beforeunload", leaving);
  let answer = null;
  try {
    answer = await upload(address, data, { onProgress, signal: cancelling.signal, headers });
    return answer;
  } finally {
    removeEventListener("beforeunload", leaving);
    if (answer?.status !== 201) {
      shown.remove();
      form.hidden = false;
    }
  }
}
