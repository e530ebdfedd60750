/* Selecting rows; and rows that change in place, never under a selection or the pointer. */
(() => {
  "use strict";

  const form = () => document.getElementById("act");
  const rows = () => document.getElementById("rows");
  const boxes = () => [...rows().querySelectorAll('input[name="job"]:not(:disabled)')];
  const all = () => rows().querySelector("input[data-all]");

  const show = () => {
    if (!form()) return;
    const found = boxes();
    const picked = found.filter((box) => box.checked);
    for (const box of found) box.closest("tr").classList.toggle("on", box.checked);
    if (all()) {
      all().checked = picked.length > 0 && picked.length === found.length;
      all().indeterminate = picked.length > 0 && picked.length < found.length;
    }
    const everything = form().elements.all.value === "1";
    const words = form().querySelector(".picked");
    words.hidden = !picked.length && !everything;
    words.querySelector("[data-count]").textContent = everything ? form().dataset.total : picked.length;
    for (const button of form().querySelectorAll('button[name="action"]')) button.disabled = !picked.length && !everything;
  };

  const choose = (everything) => {
    form().elements.all.value = everything ? "1" : "";
    for (const box of boxes()) box.checked = everything;
    show();
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-all]")) for (const box of boxes()) box.checked = event.target.checked;
    if (!event.target.matches('#rows input[type="checkbox"]')) return;
    if (form()) form().elements.all.value = "";
    show();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-everything]")) return choose(true);
    if (event.target.closest("[data-none]")) return choose(false);
    // A click anywhere in a row, but on what does something itself.
    const row = event.target.closest("#rows tbody tr");
    if (!row || event.target.closest("a, button, input, summary, label") || getSelection().toString()) return;
    const box = row.querySelector('input[name="job"]:not(:disabled)');
    if (!box) return;
    box.checked = !box.checked;
    if (form()) form().elements.all.value = "";
    show();
  });

  // While somebody selects, points at a row or has the focus in one, it stays as it is.
  const held = () => {
    const here = rows();
    if (!here) return false;
    return boxes().some((box) => box.checked) || here.matches(":hover") || here.contains(document.activeElement);
  };

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id !== "rows" || !held()) return;
    event.preventDefault();
    const fresh = new Map([...event.detail.fragment.querySelectorAll("tbody tr")].map((row) => [row.id, row]));
    for (const row of rows().querySelectorAll("tbody tr")) {
      const next = fresh.get(row.id);
      row.classList.toggle("gone", !next);
      const box = row.querySelector('input[name="job"]');
      if (box && !next) box.disabled = true;
      if (next) [...row.cells].forEach((cell, n) => {
        if (n && next.cells[n] && cell.innerHTML !== next.cells[n].innerHTML) cell.innerHTML = next.cells[n].innerHTML;
      });
    }
    show();
  });
  document.addEventListener("htmx:oobAfterSwap", show);
  document.addEventListener("DOMContentLoaded", show);
})();
