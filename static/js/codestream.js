// Small conveniences on top of pages that work without them: copying, closing menus and messages.
"use strict";

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

// A refused form came back inside the page: the first field in error takes the focus.
document.addEventListener("htmx:afterSettle", (event) => {
  event.target.querySelector?.("[aria-invalid='true'], .note[role='alert'][tabindex]")?.focus();
});

// Why a part of the page could not be had is said once, until something is answered again.
document.addEventListener("htmx:afterRequest", (event) => {
  const said = document.getElementById("trouble");
  const { successful, xhr } = event.detail;
  if (successful) said.replaceChildren();
  else if (xhr.getResponseHeader("X-Trouble") && !said.childElementCount) said.innerHTML = xhr.responseText;
});
