/* Files that come by hand: chosen, dropped, as a folder, or as a picture out of the clipboard. */

/* Calls `take([{name, file}])`; `most` bounds what is read of a folder. */
export function watch({ area, chooser, folder, most, take, imageName }) {
  for (const input of [chooser, folder]) {
    input.addEventListener("change", () => {
      take([...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file })));
      input.value = "";
    });
  }
  area.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    area.classList.add("dragging");
  });
  for (const kind of ["dragleave", "dragend", "drop"]) {
    area.addEventListener(kind, (event) => {
      if (kind !== "dragleave" || !area.contains(event.relatedTarget)) area.classList.remove("dragging");
    });
  }
  area.addEventListener("drop", async (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    take(await dropped(event.dataTransfer, most));
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files.map((file) => ({ name: nameOf(file, imageName), file })));
  });
}

/* Everything that was dropped, folders with their files; of very many only so many that they are too many. */
async function dropped(transfer, most) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ name: file.name, file }));
  const found = [];
  const waiting = entries.reverse();
  while (waiting.length && found.length <= most) {
    const entry = waiting.pop();
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file) found.push({ name: entry.fullPath.replace(/^\/+/, "") || file.name, file });
    } else if (entry.isDirectory) waiting.push(...(await inside(entry, most)).reverse());
  }
  return found;
}

async function inside(directory, most) {
  const reader = directory.createReader();
  const found = [];
  /* it gives a hundred at a time, and none at the end */
  while (found.length <= most) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) break;
    found.push(...some);
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/* Browsers call every picture of the clipboard image.png. */
function nameOf(file, imageName) {
  if (file.name && file.name !== "image.png") return file.name;
  return `${imageName}.${(file.type.split("/")[1] ?? "bin").replace("jpeg", "jpg").replace(/[^a-z0-9]/g, "")}`;
}
