/* The page of an owner: its link is copied, and a moment is one of the reader's own time. */

import { copyFor } from "./clipboard.js";
import { tellTime, utc } from "./moments.js";

const link = document.querySelector(".command a");
const button = document.querySelector("[data-copy]");
const exact = document.querySelector("[name=expires_at]");

button.hidden = false;
button.addEventListener("click", () => copyFor(button, link.href));
if (exact) {
  tellTime(exact);
  exact.form.addEventListener("formdata", ({ formData }) => {
    if (exact.value) formData.set("expires_at", utc(exact.value).slice(0, 19));
  });
}
