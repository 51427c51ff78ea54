// What htmx leaves to us: toasts that go away, refusals that came from the ingress, and the upload's looks.
"use strict";
(() => {
  const SUCCESS_SHOWN_MS = 7000;
  const TOASTS_AT_ONCE = 5;
  const toasts = document.getElementById("toasts");

  const dismiss = (toast) => {
    // Focus must not fall off the page with the button that held it.
    if (toast.contains(document.activeElement)) document.getElementById("main").focus();
    toast.remove();
  };
  const arm = (toast) => {
    while (toasts.children.length > TOASTS_AT_ONCE) toasts.firstElementChild.remove();
    if (!toast.classList.contains("success")) return;
    let timer = setTimeout(dismiss, SUCCESS_SHOWN_MS, toast);
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("focusin", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", () => { timer = setTimeout(dismiss, SUCCESS_SHOWN_MS, toast); });
  };
  const showError = (message, traceId) => {
    const toast = document.getElementById("toast-error").content.firstElementChild.cloneNode(true);
    toast.querySelector(".toast-message").textContent = message;
    if (traceId) {
      toast.querySelector(".toast-trace").hidden = false;
      toast.querySelector(".toast-trace code").textContent = traceId;
    }
    toasts.append(toast);
  };
  [...toasts.querySelectorAll(".toast")].forEach(arm);
  new MutationObserver((changes) => {
    for (const change of changes)
      for (const node of change.addedNodes) if (node.classList && node.classList.contains("toast")) arm(node);
  }).observe(toasts, { childList: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dismiss]");
    if (button) dismiss(button.closest(".toast"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && toasts.lastElementChild) dismiss(toasts.lastElementChild);
  });

  // The console answers htmx with HTML always; a problem as JSON is the ingress's or the outermost layers'.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (!(xhr.getResponseHeader("Content-Type") || "").includes("json")) return;
    event.detail.shouldSwap = false;
    let problem = {};
    try { problem = JSON.parse(xhr.responseText); } catch { /* shown below without its words */ }
    showError(problem.detail || "That did not work. Try again in a few seconds.", problem.trace_id);
  });
  for (const name of ["htmx:sendError", "htmx:timeout"])
    document.addEventListener(name, () => showError("Rappit cannot be reached. Check your connection and try again."));

  let running = 0;
  const count = (difference) => {
    running = Math.max(0, running + difference);
    document.documentElement.classList.toggle("busy", running > 0);
  };
  document.addEventListener("htmx:beforeRequest", () => count(1));
  document.addEventListener("htmx:afterRequest", () => count(-1));

  const upload = document.querySelector("form[data-upload]");
  if (!upload) return;
  const drop = upload.querySelector("[data-drop]");
  const label = upload.querySelector("[data-file-name]");
  const bar = upload.querySelector("[data-upload-progress]");
  const input = upload.querySelector("input[type=file]");
  const showName = () => { label.textContent = input.files.length ? input.files[0].name : label.dataset.empty; };
  input.addEventListener("change", showName);
  showName();
  // The file input covers the zone, so the browser itself takes what is dropped.
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, () => drop.classList.add("over"));
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  upload.addEventListener("htmx:xhr:progress", (event) => {
    if (!event.detail.lengthComputable) return;
    bar.hidden = false;
    bar.value = (100 * event.detail.loaded) / event.detail.total;
  });
  upload.addEventListener("htmx:afterRequest", () => { bar.hidden = true; });
})();
