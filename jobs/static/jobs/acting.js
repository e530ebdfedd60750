/* Deleting asks in a dialog; without this script the server asks on a page of its own. */
(() => {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const dialog = document.getElementById("confirm");
    if (!dialog || !dialog.showModal) return;
    const form = dialog.querySelector("form");
    const title = dialog.querySelector("h2");
    const copied = dialog.querySelector("[data-copied]");
    const reason = form.elements.namedItem("reason");

    const ask = (fields) => {
      const count = fields.getAll("job").length;
      const all = fields.get("all") === "1";
      if (!all && !count) return false;
      title.textContent = all
        ? title.dataset.all
        : count === 1 ? title.dataset.one : title.dataset.many.replace("{n}", count);
      reason.value = fields.get("reason") || "";
      copied.replaceChildren();
      // Copied, because the live update may replace the form while the dialog is open.
      for (const [name, value] of fields) {
        if (["csrfmiddlewaretoken", "confirmed", "reason"].includes(name)) continue;
        const input = document.createElement("input");
        input.type = "hidden";
        input.name = name;
        input.value = value;
        copied.append(input);
      }
      dialog.showModal();
      reason.focus();
      return true;
    };

    document.addEventListener("submit", (event) => {
      const from = event.target;
      const address = (event.submitter && event.submitter.hasAttribute("formaction")) ? event.submitter.formAction : from.action;
      if (from === form || typeof address !== "string" || address !== form.action) return;
      const fields = new FormData(from, event.submitter);
      if (fields.get("action") !== "delete" || fields.get("confirmed") === "1") return;
      if (ask(fields)) event.preventDefault();
    });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  });
})();
