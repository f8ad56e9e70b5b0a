// Tables whose columns sort, and trees that open and close as a whole. All of it can be read without.

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const digits = /[^\d.eE+\-\u2212]/g;

function number(text) {
  const value = parseFloat(text.replace(digits, "").replace("\u2212", "-"));
  return Number.isNaN(value) ? Infinity : value;
}

function sort(table, heading) {
  const column = heading.cellIndex;
  const isUp = heading.getAttribute("aria-sort") !== "ascending";
  const isNumeric = heading.classList.contains("end");
  const rows = [...table.tBodies[0].rows].map((row) => {
    const text = row.cells[column]?.textContent ?? "";
    return { row, text, value: isNumeric ? number(text) : 0 };
  });
  rows.sort((one, other) => {
    // what is empty comes last, whichever way
    if (!one.text || !other.text) return !one.text - !other.text;
    const order = isNumeric ? one.value - other.value : collator.compare(one.text, other.text);
    return isUp ? order : -order;
  });
  table.tBodies[0].replaceChildren(...rows.map(({ row }) => row));
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
}

for (const grid of document.querySelectorAll(".grid")) {
  const table = grid.querySelector("table");
  for (const heading of table.tHead.rows[0].querySelectorAll("th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = grid.dataset.sort;
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}

for (const tree of document.querySelectorAll(".drawing.tree")) {
  const branches = tree.querySelectorAll("details");
  if (branches.length < 2) continue;
  const folding = document.createElement("p");
  folding.className = "folding";
  for (const [text, isOpen] of [[tree.dataset.open, true], [tree.dataset.close, false]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => {
      for (const branch of branches) branch.open = isOpen;
    });
    folding.append(button);
  }
  tree.prepend(folding);
}
