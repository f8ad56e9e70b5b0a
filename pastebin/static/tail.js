/* Lets the page of a paste grow while the paste is written. Without it the page has a link that loads what is new. */

const box = document.querySelector("[data-tail]");
const code = box.querySelector("code");
const status = document.querySelector("[data-status]");
const follow = document.querySelector("[data-follow]");
const again = document.querySelector("[data-again]");
const cut = document.querySelector("[data-cut]");
/* so much stays on the page */
const mostCharacters = 1_000_000;
let shown = code.textContent.length;
let waiting = "";

function tell(state) {
  if (status.dataset.state === state) return;
  status.dataset.state = state;
  status.textContent = status.dataset[state];
}

/* What has come is put on the page once a frame, however often it comes. */
function show() {
  const text = waiting;
  waiting = "";
  code.append(text);
  shown += text.length;
  while (shown > mostCharacters && code.childNodes.length > 1) {
    shown -= code.firstChild.length;
    code.firstChild.remove();
    cut.hidden = false;
  }
  if (follow.checked) box.scrollTop = box.scrollHeight;
}

function take(text) {
  if (!waiting) requestAnimationFrame(show);
  waiting += text;
}

function end(source, state) {
  source.close();
  tell(state);
  again.hidden = state === "gone";
  if (state === "over") again.textContent = again.dataset.whole;
}

function listen() {
  const source = new EventSource(box.dataset.tail);
  source.onopen = () => tell("following");
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.addEventListener("over", () => end(source, "over"));
  source.addEventListener("gone", () => end(source, "gone"));
  source.onerror = () => {
    tell("lost");
    /* an answer that is none is not asked for again by itself: the page as a whole is */
    if (source.readyState === EventSource.CLOSED) again.hidden = false;
  };
  addEventListener("pagehide", () => source.close(), { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true });
}

follow.closest("label").hidden = false;
again.hidden = true;
/* who scrolls up reads there; who comes back to the end goes on with it */
box.addEventListener("scroll", () => {
  follow.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
}, { passive: true });
follow.addEventListener("change", () => {
  if (follow.checked) box.scrollTop = box.scrollHeight;
});
box.scrollTop = box.scrollHeight;
listen();
