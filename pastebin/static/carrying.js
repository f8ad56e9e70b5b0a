/* What stands behind # in the address, such as a key that no server is sent, goes along to pages that lead back here. */

function carry() {
  for (const link of document.querySelectorAll("a[data-carry]")) link.hash = location.hash;
  for (const form of document.querySelectorAll("form[data-carry]")) {
    form.setAttribute("action", form.getAttribute("action").replace(/#.*/, "") + location.hash);
  }
  for (const link of document.querySelectorAll("a[data-whole]")) link.textContent = link.href;
  const hasKey = location.hash.length > 1;
  for (const note of document.querySelectorAll("[data-keyless]")) note.hidden = hasKey;
}

addEventListener("hashchange", carry);
carry();
