// Small conveniences on top of pages that work without them: copying, closing menus and messages.
"use strict";

// Without this script, and over plain HTTP from elsewhere, nothing can be copied by a button.
if (navigator.clipboard) document.documentElement.dataset.copies = "";

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  const said = document.getElementById("announce");
  said.textContent = said.dataset.copied;
  button.dataset.copied = "";
  setTimeout(() => { said.textContent = ""; delete button.dataset.copied; }, 3000);
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  closeMenus(event.target.closest("details.menu"));
  if (button?.dataset.copy !== undefined) copy(button);
  if (button?.dataset.dismiss !== undefined) button.closest(".note").remove();
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest("details.menu[open]");
  if (event.key !== "Escape" || !menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// "Create variable": a dialog takes the value over from the field beside its button, which then
// holds the reference to the variable instead.
const variablePlace = document.getElementById("variable-dialog");

function openVariableDialog() {
  const dialog = variablePlace.querySelector("dialog");
  const value = dialog.querySelector("[name=value]");
  const entered = document.getElementById(dialog.dataset.source)?.value ?? "";
  if (entered && !entered.includes("${")) {
    value.value = entered;
    value.closest(".field").hidden = true;
    dialog.querySelector("[data-taken]").hidden = false;
  }
  dialog.addEventListener("close", () => variablePlace.replaceChildren());
  dialog.showModal();
}

function referTo({ field: id, reference, message }) {
  const field = document.getElementById(id);
  variablePlace.querySelector("dialog").close();
  document.getElementById("announce").textContent = message;
  if (!field) return;
  field.value = reference;
  if (field.type === "password") field.type = "text";
  field.focus();
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === variablePlace && variablePlace.firstElementChild) openVariableDialog();
});
document.addEventListener("variable-created", (event) => referTo(event.detail));
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close-dialog]")) event.target.closest("dialog").close();
});

// A dialog that the server sends to such a place opens at once, and is gone when it is closed.
document.addEventListener("htmx:afterSwap", ({ target }) => {
  const dialog = target.matches("[data-dialogs]") && target.querySelector("dialog");
  if (!dialog) return;
  dialog.addEventListener("close", () => target.replaceChildren());
  dialog.showModal();
});

// A form comes back from the server without its secrets; what was typed stays in the page.
let typedSecrets = [];

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const fields = detail.requestConfig.verb === "post" ? detail.target.querySelectorAll("[data-secret]") : [];
  typedSecrets = [...fields].map(({ id, value }) => [id, value]);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const [id, value] of typedSecrets) {
    const field = document.getElementById(id);
    if (!field || field.value) continue;
    field.value = value;
    if (value) document.getElementById(`${id}_again`)?.remove();
  }
  typedSecrets = [];
});

// A refused form came back inside the page: the first field in error takes the focus.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.requestConfig?.triggeringEvent?.type === "change") return;
  event.target.querySelector?.("[aria-invalid='true'], [data-takes-focus], .note[role='alert'][tabindex]")?.focus();
});

// Why a part of the page could not be had is said once, until something is answered again.
document.addEventListener("htmx:afterRequest", (event) => {
  const said = document.getElementById("trouble");
  const { successful, xhr } = event.detail;
  if (successful) said.replaceChildren();
  else if (xhr.getResponseHeader("X-Trouble") && !said.childElementCount) said.innerHTML = xhr.responseText;
});

// "Generate token": the dialog holds the token until it is closed; nothing of it is kept.
const tokenPlace = document.getElementById("token-dialog");

function openTokenDialog() {
  const dialog = tokenPlace.querySelector("dialog");
  dialog.addEventListener("close", () => tokenPlace.replaceChildren());
  dialog.showModal();
}

function use(button) {
  const field = document.getElementById(button.dataset.into);
  const token = document.getElementById(button.dataset.use).value;
  button.closest("dialog").close();
  if (!field) return;
  field.value = token;
  field.focus();
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === tokenPlace && tokenPlace.firstElementChild) openTokenDialog();
});
document.addEventListener("variable-created", (event) => {
  const said = tokenPlace.querySelector("[data-referred]");
  if (!said) return;
  said.querySelector("code").textContent = event.detail.reference;
  said.hidden = false;
});

// "Generate" beside a secret: 20 random bytes, URL-safe, readable until the page is left.
function generate(button) {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  const text = btoa(String.fromCharCode(...bytes));
  const field = document.getElementById(button.dataset.generate);
  field.type = "text";
  field.value = text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  field.focus();
}

for (const button of document.querySelectorAll("[data-generate]")) button.hidden = false;
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.use !== undefined) use(button);
  if (button?.dataset.generate !== undefined) generate(button);
});

// The Enter key in a field that has a button of its own does not send the whole form.
document.addEventListener("keydown", (event) => {
  const button = document.getElementById(event.target.dataset?.enter ?? "");
  if (event.key !== "Enter" || !button) return;
  event.preventDefault();
  button.click();
});
