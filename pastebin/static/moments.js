/* A field for an exact moment: the reader's own time on the page, UTC on the way to the server and without a script. */

const local = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

export function tellTime(field) {
  const zone = document.querySelector("[data-zone]");
  zone.textContent = zone.dataset.zone;
  if (field.value) field.value = local(new Date(`${field.value}Z`));
  field.min = local(new Date());
}

export function utc(value) {
  return new Date(value).toISOString();
}
