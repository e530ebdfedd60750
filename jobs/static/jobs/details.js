/* Live parts of a job's page: only what has changed is sent, and what somebody opened stays open. */
(() => {
  "use strict";

  const cards = () => document.getElementById("job-cards");

  // The server leaves out what this page shows already.
  document.addEventListener("htmx:configRequest", (event) => {
    if (cards() && event.detail.verb === "get") event.detail.parameters.seen = cards().dataset.version;
  });

  const keyed = (root, selector) => [...root.querySelectorAll(`${selector}[data-key]`)];
  let focused = "";
  let anchor = null;

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    const open = new Set(keyed(target, "details[open]").map((element) => element.dataset.key));
    for (const details of keyed(fragment, "details"))
      if (open.has(details.dataset.key)) details.open = true;
    const active = document.activeElement;
    focused = target.contains(active) ? (active.closest("[data-key]") || active).dataset.key || "" : "";
    if (target.id !== "job-cards") return;
    // The newest card's traceback is folded when another becomes the newest: not under the eyes of who reads it.
    const read = target.querySelector(".newest[data-card]:has(.trace)");
    if (read && window.scrollY > 0)
      for (const details of keyed(fragment, "details"))
        if (details.dataset.key === `plain-${read.dataset.card}` && !fragment.querySelector(".newest").contains(details)) details.open = true;
    // What is read stays where it is when a card comes in above it.
    const all = [...target.querySelectorAll("[data-card]")];
    const top = (card) => card.getBoundingClientRect().top;
    const seen = all.find((card) => top(card) >= 0 && top(card) < window.innerHeight) || all.find((card) => card.getBoundingClientRect().bottom > 0);
    anchor = seen && window.scrollY > 0 ? { card: seen.dataset.card, top: seen.getBoundingClientRect().top } : null;
  });

  document.addEventListener("htmx:oobAfterSwap", () => {
    if (focused) {
      const [found] = keyed(document, "").filter((element) => element.dataset.key === focused);
      const summary = found && (found.querySelector("summary") || found);
      if (summary) summary.focus({ preventScroll: true });
      focused = "";
    }
    if (!anchor) return;
    const card = [...document.querySelectorAll("[data-card]")].find((one) => one.dataset.card === anchor.card);
    if (card) window.scrollBy(0, card.getBoundingClientRect().top - anchor.top);
    anchor = null;
  });
})();
