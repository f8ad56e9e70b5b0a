/* The files and texts beside the first text: a list in which each can be named, moved and taken out. */

import { filesize, made, words } from "./words.js";

const longestName = Number(document.querySelector("form.create").dataset.maxNameBytes);
const pictures = /^image\/(png|jpeg|gif|webp|avif)$/;
const pictureBytes = 20 * 1024 * 1024;
const utf8 = new TextEncoder();

export class Rows {
  /* `list` gets a row for each; `syntaxes` is the select whose choices the rows have as well; `onChange` hears of it. */
  constructor(list, syntaxes, onChange) {
    this.list = list;
    this.syntaxes = syntaxes;
    this.onChange = onChange;
    this.rows = [];
    list.addEventListener("click", (event) => this.act(event));
    list.addEventListener("input", () => this.onChange());
    list.addEventListener("focusin", (event) => this.offer(event.target));
    list.addEventListener("pointerdown", (event) => this.offer(event.target));
  }

  /* `file` is a File or null; then `text` is typed here. */
  add({ name = "", file = null, text = "", syntax = "" }, { quietly = false } = {}) {
    const element = made("row");
    const row = { element, file };
    for (const part of ["name", "syntax", "size", "text", "picture"]) row[part] = element.querySelector(`.row-${part}`);
    row.wrong = element.querySelector(".wrong");
    row.name.value = name;
    if (syntax) {
      this.offer(row.syntax);
      row.syntax.value = syntax;
    }
    if (file) row.size.textContent = filesize(file.size);
    else {
      row.text.hidden = false;
      row.text.value = text;
    }
    if (file && pictures.test(file.type) && file.size <= pictureBytes) paint(file, row.picture);
    this.rows.push(row);
    this.list.append(element);
    if (!quietly) {
      this.number();
      this.onChange();
    }
    return row;
  }

  clear() {
    this.rows = [];
    this.list.replaceChildren();
    this.onChange();
  }

  /* What is to be sent, in order; `blob` is the file itself, so nothing is read before it is sent. */
  parts() {
    return this.rows.map((row) => ({
      name: row.name.value,
      syntax: row.syntax.value,
      text: row.file ? null : row.text.value,
      blob: row.file ?? new Blob([row.text.value]),
    }));
  }

  /* Whether every name will do; `taken` is that of the first text. What does not is told beside it. */
  check(taken) {
    const seen = new Set(taken ? [taken] : []);
    let first = null;
    for (const row of this.rows) {
      const name = row.name.value;
      let message = "";
      if (utf8.encode(name).length > longestName) message = words("nameLong", { limit: longestName });
      else if (name && seen.has(name)) message = words("nameTwice");
      seen.add(name);
      this.blame(row, message);
      if (message) first ??= row;
    }
    first?.name.focus();
    return first === null;
  }

  blame(row, message) {
    row.wrong.textContent = message;
    row.wrong.hidden = !message;
    if (message) row.name.setAttribute("aria-invalid", "true");
    else row.name.removeAttribute("aria-invalid");
  }

  names() {
    return new Set(this.rows.map((row) => row.name.value));
  }

  /* A name that is not `taken` yet: `a.png`, `a-2.png`. */
  freeName(name, taken) {
    const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
    let free = name;
    for (let number = 2; taken.has(free); number += 1) free = `${name.slice(0, dot)}-${number}${name.slice(dot)}`;
    return free;
  }

  number() {
    const first = 2;
    this.rows.forEach((row, index) => {
      for (const element of row.element.querySelectorAll("[data-label]")) {
        element.setAttribute("aria-label", element.dataset.label.replace("{number}", String(first + index)));
      }
      row.element.querySelector("[data-do=up]").disabled = index === 0;
      row.element.querySelector("[data-do=down]").disabled = index === this.rows.length - 1;
    });
  }

  /* Five hundred choices are put into a row when somebody wants to choose. */
  offer(select) {
    if (!select.matches?.(".row-syntax") || select.length > 1) return;
    select.append(...[...this.syntaxes.options].slice(1).map((option) => option.cloneNode(true)));
  }

  act(event) {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    const index = this.rows.findIndex((row) => row.element.contains(button));
    const row = this.rows[index];
    if (button.dataset.do === "remove") {
      this.rows.splice(index, 1);
      row.element.remove();
      const next = this.rows[Math.min(index, this.rows.length - 1)];
      (next?.element.querySelector("[data-do=remove]") ?? document.getElementById("f-file")).focus();
      this.number();
      this.onChange(words("removed", { name: row.name.value || String(index + 2) }));
      return;
    }
    const there = index + (button.dataset.do === "up" ? -1 : 1);
    this.rows.splice(index, 1);
    this.rows.splice(there, 0, row);
    const after = this.rows[there + 1]?.element ?? null;
    this.list.insertBefore(row.element, after);
    this.number();
    (button.disabled ? row.element.querySelector("button:not(:disabled)") : button).focus();
    this.onChange(words("moved", { number: there + 2 }));
  }
}

/* A small picture of a picture; what the browser cannot read has none. */
async function paint(file, canvas) {
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: 96, resizeQuality: "medium" });
    canvas.width = Math.min(bitmap.width, 480);
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    canvas.hidden = false;
    bitmap.close();
  } catch {
    /* no picture, then */
  }
}
