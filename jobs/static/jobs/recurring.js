/* The list of recurring jobs: what is selected stays so when the rows are renewed. */
(() => {
  "use strict";

  const boxes = () => [...document.querySelectorAll('input[name="recurring_job"]')];
  const chosen = new Set();
  let focused = "";

  // Buttons for a selection wait for one; without script they answer that nothing was selected.
  const show = () => {
    const all = document.getElementById("recurring-all");
    const count = boxes().filter((box) => box.checked).length;
    for (const button of document.querySelectorAll("[data-needs-selection]")) button.disabled = !count;
    for (const box of boxes()) box.closest("tr").classList.toggle("on", box.checked);
    if (all) {
      all.hidden = false;
      all.checked = count > 0 && count === boxes().length;
      all.indeterminate = count > 0 && !all.checked;
    }
    const told = document.getElementById("recurring-selected");
    const text = !count ? "" : count === 1 ? told?.dataset.one : told?.dataset.many.replace("%n", count);
    if (told && told.textContent !== text) told.textContent = text;
  };

  document.addEventListener("change", (event) => {
    if (event.target.id === "recurring-all") for (const box of boxes()) box.checked = event.target.checked;
    else if (event.target.name !== "recurring_job") return;
    show();
  });

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id !== "recurring-rows") return;
    chosen.clear();
    for (const box of boxes()) if (box.checked) chosen.add(box.value);
    const active = document.activeElement;
    focused = event.detail.target.contains(active) ? active.id || (active.name && `box-${active.value}`) : "";
  });

  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "recurring-rows") return;
    for (const box of boxes()) box.checked = chosen.has(box.value);
    show();
    if (!focused) return;
    const box = focused.startsWith("box-") && boxes().find((each) => `box-${each.value}` === focused);
    (box || document.getElementById(focused))?.focus({ preventScroll: true });
  });

  document.addEventListener("DOMContentLoaded", show);
  window.addEventListener("pageshow", show);
})();
