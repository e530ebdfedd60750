/* An update leaves the groups alone while jobs are selected, and keeps scroll position and focus. */
(() => {
  "use strict";

  let scrolled = 0;
  let focused = "";

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const old = event.detail.target;
    if (old.id !== "failures") return;
    if (old.querySelector("input:checked")) {
      event.detail.shouldSwap = false;
      return;
    }
    scrolled = old.querySelector(".scroll")?.scrollLeft || 0;
    focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  });

  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "failures") return;
    const scroll = document.querySelector("#failures .scroll");
    if (scroll) scroll.scrollLeft = scrolled;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  });
})();
