/* What is wrong, above the form and beside its fields, as the server's own page tells it. */

import { made } from "./words.js";

let shown = null;

/* `problems` are `{name, message}`, with the name of a field; what belongs to no field stands for itself. */
export function say(form, sentence, problems = []) {
  unsay();
  shown = made("alert");
  const [line, list] = [shown.querySelector("p"), shown.querySelector("ul")];
  line.textContent = sentence;
  line.hidden = !sentence;
  for (const { name, message } of problems) {
    const element = name ? document.getElementById(`f-${name}`) : null;
    const item = document.createElement("li");
    if (element) {
      const link = document.createElement("a");
      link.href = `#${element.id}`;
      link.textContent = element.labels?.[0]?.firstChild?.textContent.trim() ?? name;
      item.append(link, `: ${message}`);
      blame(element, message);
    } else item.textContent = name ? `${name}: ${message}` : message;
    list.append(item);
  }
  form.before(shown);
  shown.focus();
}

export function unsay() {
  document.querySelectorAll("main > .alert").forEach((alert) => alert.remove());
  document.querySelectorAll("form.create .wrong[data-said], form.create .wrong[id]").forEach((note) => note.remove());
  document.querySelectorAll("form.create .field [aria-invalid]").forEach((element) => element.removeAttribute("aria-invalid"));
}

function blame(element, message) {
  const note = document.createElement("p");
  note.className = "wrong";
  note.dataset.said = "";
  const id = `e-${element.name}`;
  let last = element;
  while (last.nextElementSibling?.matches(".wrong[data-said]")) last = last.nextElementSibling;
  if (last === element) note.id = id;
  note.textContent = message;
  element.setAttribute("aria-invalid", "true");
  const about = new Set((element.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
  element.setAttribute("aria-describedby", [...about.add(id)].join(" "));
  element.closest("details")?.setAttribute("open", "");
  last.after(note);
}
