/* One form on its way to the server, as a stream; it knows nothing of the page. */

export class Cancelled extends Error {}
export class CutOff extends Error {}

/*
 * POST `form` (FormData: files are read from disk while they are sent) and give `{status, location, body}`, with the
 * decoded JSON as body. `onProgress(sent, size)` hears of bytes; `signal` (AbortSignal) stops it.
 * Throws Cancelled, and CutOff when there is no answer.
 */
export function upload(address, form, { onProgress, signal, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new Cancelled());
      return;
    }
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const end = (settle, value) => {
      signal?.removeEventListener("abort", stop);
      settle(value);
    };
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress?.(event.loaded, event.total);
    };
    request.onload = () => end(resolve, answerOf(request));
    request.onerror = () => end(reject, new CutOff());
    request.onabort = () => end(reject, new Cancelled());
    signal?.addEventListener("abort", stop, { once: true });
    request.send(form);
  });
}

function answerOf(request) {
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    /* not everything on the way answers in JSON */
  }
  return { status: request.status, location: request.getResponseHeader("Location"), body };
}
